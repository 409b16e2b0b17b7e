"""How long the first bind and step take in a new process: with nothing compiled, and with the files of one before it.

Run as a program it is that process, and prints seconds as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

COUNT = 292  # tensors of the list, as many as GPT-2 medium has


def startup(selftest: bool) -> dict[str, dict[str, float]]:
    """Seconds by what was done, of a process with an empty cache directory and of one after it; printed too."""
    found: dict[str, dict[str, float]] = {}
    print("\n== first bind in a new process, seconds")
    with tempfile.TemporaryDirectory() as directory:
        for name in ("nothing compiled", "compiled before"):
            environment = {
                **os.environ,
                "SYMOPT_CACHE_DIR": directory,
                "PYTHONPATH": os.pathsep.join(sys.path),
            }
            command = [sys.executable, __file__, *(["--selftest"] if selftest else [])]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            found[name] = json.loads(done.stdout)
            print(f"{name}: " + ", ".join(f"{what} {seconds:.3f}" for what, seconds in found[name].items()))
    return found


def main() -> None:
    selftest = "--selftest" in sys.argv
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def took(what: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[what], last = now - last, now

    import symopt as so
    from symopt.emulatedarrays import emulated_gpus

    with emulated_gpus(1) if selftest else contextlib.nullcontext():
        from symopt.places import place_of

        place = place_of(so.gpu(0))
        took("imports")
        with place.current():
            place.zeros((1,), "float32")
        took("device")
        for name, count in (("one Adam", 1), ("clip and Adam list", 3 if selftest else COUNT)):
            symbol, arrays = _graph(so, place, count, clip=count > 1)
            executor = symbol.bind(so.gpu(0), args={**arrays, "lr": 1e-3}, aux_states=arrays)
            took(f"{name}: bind")
            executor.forward()
            executor.synchronize()
            took(f"{name}: first step")
    print(json.dumps(seconds))


def _graph(so: Any, place: Any, count: int, clip: bool) -> tuple[Any, dict[str, Any]]:
    """Adam on so many small tensors."""
    arrays = {f"{n}{k}": place.zeros((1000,), "float32") for n in "wgmv" for k in range(count)}
    sym = so.sym
    grads = [sym.var(f"g{k}") for k in range(count)]
    lr = sym.var("lr", shape=())
    attrs: dict[str, Any] = {"lr": lr}
    if clip:
        attrs["rescale_grad"] = sym.minimum(1 / (sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))) + 1e-6), 1.0)
    heads = []
    for k, g in enumerate(grads):
        w, m, v = (sym.var(f"{n}{k}") for n in "wmv")
        heads.append(sym.adam_update(w, g, m, v, out=w, **attrs))
    return sym.Group(heads), arrays


if __name__ == "__main__":
    main()

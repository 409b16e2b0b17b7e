"""Adam on float16 weights and gradients with a float32 copy of the weight: `mp_adam_update`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from dense import LR, Arrays, numpy_adam
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt import sym

# The gradient is read (2), the float16 weight written but never read (2), the float32 weight, mean and var are read
# and written (3 * 8).
BYTES = 28


def mp_adam(quick: bool) -> Iterable[Row]:
    """One tensor of 16M elements: the memory limit, and what torch and NumPy need a copy of the gradient for."""
    n = 1 << (20 if quick else 24)
    arrays = _arrays(n)
    work: dict[str, Work] = {OURS: _executor("mp_adam_update", arrays, lr=LR).forward}
    work["memory limit"] = _executor("mp_same_streams_update", _arrays(n)).forward  # the op is dense.py's
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch fused, copies"] = _torch(torch, arrays)
    work["numpy"] = _numpy({k: x.copy() for k, x in arrays.items()})
    seconds = measure(work, 7 if quick else 21)
    rate = BYTES * n / seconds[OURS] / 1e9
    remark = f"{rate:.1f} GB/s of {BYTES} bytes an element"
    yield Row(f"mp_adam float16, 1 x {n:,}", seconds, {"memory limit": 0.9}, remark=remark)


def _arrays(n: int) -> Arrays:
    rng = np.random.default_rng(0)
    w32 = rng.random(n, np.float32)
    arrays = {"w": w32.astype(np.float16), "g": rng.random(n, np.float32).astype(np.float16), "w32": w32}
    return arrays | {p: rng.random(n, np.float32) * np.float32(1e-3) for p in "mv"}


def _executor(op: str, arrays: Arrays, **attrs: Any) -> Any:
    w, g, m, v, w32 = map(sym.var, ("w", "g", "m", "v", "w32"))
    update = getattr(sym, op)(w, g, m, v, w32, out=w, **attrs)
    return update.bind(so.cpu(), args=arrays, aux_states=arrays)


def _torch(torch: Any, arrays: Arrays) -> Work:
    """torch has no such op: the gradient is widened, the float32 weight updated, the result rounded."""
    weight, grad = (torch.from_numpy(arrays[k].copy()) for k in ("w", "g"))
    master = torch.nn.Parameter(torch.from_numpy(arrays["w32"].copy()))
    master.grad = torch.empty_like(master)
    optimizer = torch.optim.Adam([master], lr=LR, fused=True)

    def step() -> None:
        with torch.no_grad():
            master.grad.copy_(grad)
            optimizer.step()
            weight.copy_(master)

    return step


def _numpy(arrays: Arrays) -> Work:
    def step() -> None:
        numpy_adam(arrays["w32"], arrays["g"].astype(np.float32), arrays["m"], arrays["v"])
        arrays["w"][...] = arrays["w32"]

    return step

"""What steps are predicted to take beside what they take; `symopt calibrate` first, on an idle machine.

PYTHONPATH=. python benchmarks/cost.py [--calibrate] [--threads N] [--elements N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from harness import foreign_work, machine

import symopt as so
from symopt import sym
from symopt.cost import calibrate
from symopt.dtypes import to_numpy

ROUNDS = 15
LR = 1e-3


class Job(NamedTuple):
    """A bound step, and what is done before each run of it."""

    name: str
    executor: Any
    before: Callable[[], None] = lambda: None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calibrate", action="store_true", help="measure this machine first")
    parser.add_argument("--threads", type=int, help="default: what symopt takes by itself")
    parser.add_argument(
        "--elements", type=int, default=1 << 24, help="of a tensor; default: 16M, 64 MB of float32"
    )
    options = parser.parse_args()
    so.set_num_threads(options.threads)
    print(machine())
    if options.calibrate:
        calibrate()
    print(f"{'step':<34} {'predicted':>10} {'measured':>10}  ratio  of the time to move its bytes")
    for job in jobs(options.elements):
        total, others = foreign_work()
        seconds = measured(job)
        now_total, now_others = foreign_work()
        busy = (now_others - others) / max(now_total - total, 1e-9)
        print(line(job, seconds, busy), flush=True)


def line(job: Job, seconds: float, busy: float) -> str:
    """A row: the quartile that noise of other work hardly reaches, since a prediction knows of none."""
    cost = job.executor.cost()
    if cost.seconds is None:
        raise SystemExit("this machine was not measured: add --calibrate")
    limit = sum(launch.limit or 0.0 for launch in cost.launches)
    ratio = cost.seconds / seconds
    remark = f"  {busy:.0%} of the machine was busy with something else" if busy > 0.05 else ""
    times = f"{cost.seconds * 1e3:>7.2f} ms {seconds * 1e3:>7.2f} ms"
    return f"{job.name:<34} {times}  {ratio:5.2f}  {limit / seconds:.0%}{remark}"


def measured(job: Job) -> float:
    """The lower quartile of some steps."""
    found = []
    for _ in range(ROUNDS + 1):
        job.before()
        start = time.perf_counter()
        job.executor.forward()
        found.append(time.perf_counter() - start)
    return sorted(found[1:])[ROUNDS // 4]


def jobs(n: int) -> Iterator[Job]:
    """Dense updates of n elements, in two dtypes; tables of which a tenth of the rows is touched."""
    w, g, m, v, w32 = (sym.var(name) for name in ("w", "g", "m", "v", "w32"))
    yield Job("sgd", bound(sym.sgd_update(w, g, lr=LR, out=w), (n,)))
    yield Job("sgd, momentum", bound(sym.sgd_mom_update(w, g, m, lr=LR, momentum=0.9, out=w), (n,)))
    yield Job("adam", bound(sym.adam_update(w, g, m, v, lr=LR, out=w), (n,)))
    yield Job(
        "adamw",
        bound(
            sym.adamw_update(w, g, m, v, sym.var("one", shape=()), lr=LR, eta=1.0, wd=0.01, out=w),
            (n,),
            one=1.0,
        ),
    )
    yield Job("lamb", bound(sym.lamb_update(w, g, m, v, lr=LR, t=1, wd=0.01, out=w), (n,)))
    yield Job(
        "group_adagrad, rows of 64", bound(sym.group_adagrad_update(w, g, m, lr=LR, out=w), (n // 64, 64))
    )
    for dtype in ("float16", "bfloat16"):
        yield Job(f"sgd, {dtype} with copies", bound(sym.mp_sgd_update(w, g, w32, lr=LR, out=w), (n,), dtype))
        mixed = sym.mp_adam_update(w, g, m, v, w32, lr=LR, out=w)
        yield Job(f"adam, {dtype} with copies", bound(mixed, (n,), dtype))
        yield Job(f"adam, {dtype}", bound(sym.adam_update(w, g, m, v, lr=LR, out=w), (n,), dtype))
    random = sym.adam_update(w, g, m, v, lr=LR, rounding="stochastic", seed=1, out=w)
    yield Job("adam, bfloat16 rounded at random", bound(random, (n,), "bfloat16"))
    yield Job("exp", bound(sym.elemwise_add(w, sym.exp(g), out=w), (n,)))
    for columns in (16, 64, 256):
        yield lazy(f"lazy adam, rows of {columns}", sym.adam_update(w, g, m, v, lr=LR, out=w), n, columns)
    yield lazy("lazy adagrad, rows of 64", sym.adagrad_update(w, g, m, lr=LR, out=w), n, 64)


def bound(symbol: Any, shape: tuple[int, ...], dtype: str = "float32", **given: Any) -> Any:
    """An executor on arrays of small numbers."""
    names = symbol.list_arguments() + symbol.list_auxiliary_states()
    shapes, _, states = symbol.infer_shape(w=shape)
    types, _, kept = symbol.infer_type(w=dtype)
    arrays = {}
    for name, like, kind in zip(names, [*shapes, *states], [*types, *kept], strict=True):
        arrays[name] = given.get(name)
        if arrays[name] is None:
            arrays[name] = np.full(like, 2.0**-10, to_numpy(np.dtype(kind).name))
    auxiliary = {name: arrays.pop(name) for name in symbol.list_auxiliary_states()}
    return symbol.bind(so.cpu(), args=arrays, aux_states=auxiliary)


def lazy(name: str, symbol: Any, n: int, columns: int) -> Job:
    """Other rows at each step, as in training."""
    n_rows = n // columns
    rng = np.random.default_rng(0)
    sets = [np.sort(rng.choice(n_rows, n_rows // 10, replace=False)) for _ in range(5)]
    gradient = so.sparse.row_sparse_array(
        (np.full((n_rows // 10, columns), 2.0**-10, np.float32), sets[0]), shape=(n_rows, columns)
    )

    def other_rows() -> None:
        sets.append(sets.pop(0))
        gradient.indices = sets[0]

    return Job(name, bound(symbol, (n_rows, columns), g=gradient), other_rows)


if __name__ == "__main__":
    main()

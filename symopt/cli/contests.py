"""What `bench` measures: a step with symopt, and what one would write with NumPy, on the same arrays."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import sym
from ..arrays import Array
from ..executor import Executor
from ..sparse import RowSparseArray
from ..symbol import Symbol

LR, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
Arrays = dict[str, Any]


class Contest(NamedTuple):
    """`about`: in words; `calls`: how often each runs before the clock is read again."""

    about: str
    executor: Executor
    numpy: Callable[[], None]
    calls: int = 1


class Times(NamedTuple):
    """Median seconds of a step, and of the same with NumPy."""

    symopt: float
    numpy: float


def measure(contest: Contest, rounds: int, tick: Callable[[], None] = lambda: None) -> Times:
    """Both in turn, so that noise of the machine falls on both alike; a round to warm up first. `tick` is called after
    each round."""
    work: Mapping[str, Callable[[], Any]] = {"symopt": contest.executor.forward, "numpy": contest.numpy}
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(rounds + 1):
        for name, run in work.items():
            start = time.perf_counter()
            for _ in range(contest.calls):
                run()
            if round_:
                times[name].append((time.perf_counter() - start) / contest.calls)
        tick()
    return Times(**{name: statistics.median(found) for name, found in times.items()})


def large(quick: bool) -> Contest:
    n = 1 << (18 if quick else 24)
    return _dense(f"Adam, {n:,} numbers", _tensors(1, n))


def many(quick: bool) -> Contest:
    n = 50 if quick else 1000
    return _dense(f"Adam, {n:,} tensors of 1,000", _tensors(n, 1000), calls=3)


def latency(quick: bool) -> Contest:
    return _dense("Adam, one tensor of 1,000", _tensors(1, 1000), calls=100)


def rows(quick: bool) -> Contest:
    """Lazy Adam on some rows of a table."""
    n_rows, n_listed, width = (2000, 100, 64) if quick else (200_000, 10_000, 64)
    rng = np.random.default_rng(0)
    w, m, v = (rng.random((n_rows, width), np.float32) for _ in range(3))
    data = rng.random((n_listed, width), np.float32)
    listed = np.sort(rng.choice(n_rows, n_listed, replace=False))
    arrays = {"w0": w, "g0": RowSparseArray(data, listed, w.shape, canonical=True), "m0": m, "v0": v}

    def numpy() -> None:
        m[listed] = BETA1 * m[listed] + (1 - BETA1) * data
        v[listed] = BETA2 * v[listed] + (1 - BETA2) * data * data
        w[listed] -= LR * m[listed] / (np.sqrt(v[listed]) + EPSILON)

    about = f"lazy Adam, {n_listed:,} of {n_rows:,} rows of {width}"
    return Contest(about, _bound(_adam(1), arrays), numpy)


CONTESTS: Mapping[str, Callable[[bool], Contest]] = {
    "large": large,
    "many": many,
    "latency": latency,
    "rows": rows,
}


def _tensors(count: int, size: int) -> Arrays:
    rng = np.random.default_rng(0)
    return {f"{name}{k}": rng.random(size, np.float32) for k in range(count) for name in "wgmv"}


def _dense(about: str, arrays: Arrays, calls: int = 1) -> Contest:
    count = len(arrays) // 4
    each = [tuple(arrays[f"{name}{k}"] for name in "wgmv") for k in range(count)]

    def numpy() -> None:
        for w, g, m, v in each:
            _numpy_adam(w, g, m, v)

    return Contest(about, _bound(_adam(count), arrays), numpy, calls)


def _numpy_adam(w: Array, g: Array, m: Array, v: Array) -> None:
    m[...] = BETA1 * m + (1 - BETA1) * g
    v[...] = BETA2 * v + (1 - BETA2) * g * g
    w -= LR * m / (np.sqrt(v) + EPSILON)


def _adam(count: int) -> Symbol:
    heads = []
    for k in range(count):
        w, g, m, v = (sym.var(f"{name}{k}") for name in "wgmv")
        rule: Callable[..., Symbol] = sym.adam_update
        heads.append(rule(w, g, m, v, lr=LR, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, out=w, name=f"u{k}"))
    return sym.Group(heads)


def _bound(symbol: Symbol, arrays: Arrays) -> Executor:
    return symbol.bind(args=arrays, aux_states=arrays)

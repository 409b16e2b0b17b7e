"""What `nan_guard` costs: a step on the same arrays without a guard, with one that raises, with one that skips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from dense import LR
from harness import OURS, Row, Work, measure

import symopt as so
from symopt import sym

Arrays = dict[str, Any]
SLOWER = 1.03  # what a guard that raises may cost


def guard_adam(quick: bool) -> Iterable[Row]:
    """16M elements."""
    yield from _rows("adam, 16M", *_adam([1 << (20 if quick else 24)]), 9 if quick else 41)


def guard_many(quick: bool) -> Iterable[Row]:
    """1,000 tensors of 1,000 elements, which stay in the cache."""
    yield from _rows("adam, 1,000 x 1,000", *_adam([1000] * (100 if quick else 1000)), 301)


def guard_lazy(quick: bool) -> Iterable[Row]:
    """A table of 1M x 64, of which a step touches 20,000 rows."""
    n_rows, touched = (100_000, 2_000) if quick else (1_000_000, 20_000)
    rng = np.random.default_rng(0)
    names = "wmv"
    arrays: Arrays = {n: rng.random((n_rows, 64), np.float32) for n in names}
    indices = np.sort(rng.choice(n_rows, touched, replace=False))
    data = rng.random((touched, 64), np.float32)
    arrays["g"] = so.sparse.row_sparse_array((data, indices), shape=(n_rows, 64))
    w = sym.var("w")
    update = sym.adam_update(w, *map(sym.var, "gmv"), lr=LR, out=w)
    yield from _rows(f"lazy adam, {n_rows:,} x 64, {touched:,}", update, arrays, 101)


def guard_mixed(quick: bool) -> Iterable[Row]:
    """float16 weights and gradients of 16M elements, with a float32 copy."""
    size = 1 << (20 if quick else 24)
    rng = np.random.default_rng(0)
    arrays: Arrays = {n: rng.random(size, np.float32) for n in "gmvx"}
    arrays["w"], arrays["g"] = arrays["x"].astype(np.float16), arrays["g"].astype(np.float16)
    w = sym.var("w")
    update = sym.mp_adam_update(w, *map(sym.var, "gmvx"), lr=LR, out=w)
    yield from _rows("mp_adam, float16, 16M", update, arrays, 9 if quick else 41)


def _adam(sizes: list[int]) -> tuple[so.Symbol, Arrays]:
    rng = np.random.default_rng(0)
    heads, arrays = [], {}
    for k, size in enumerate(sizes):
        names = [f"{n}{k}" for n in "wgmv"]
        arrays.update({n: rng.random(size, np.float32) for n in names})
        variables = [sym.var(n) for n in names]
        heads.append(sym.adam_update(*variables, lr=LR, out=variables[0]))
    return sym.Group(heads), arrays


def _rows(job: str, symbol: so.Symbol, arrays: Arrays, rounds: int) -> Iterator[Row]:
    states = set(symbol.list_auxiliary_states())
    args, aux = ({n: a for n, a in arrays.items() if (n in states) == kept} for kept in (False, True))
    guards: dict[str, Any] = {"no guard": None, '"raise"': "raise", '"skip"': "skip"}
    work: dict[str, Work] = {
        name: symbol.bind(so.cpu(), args=args, aux_states=aux, nan_guard=guard).forward
        for name, guard in guards.items()
    }
    work["NumPy looks first"] = _looking_first(work["no guard"], [*arrays.values()])
    seconds = measure(work, rounds)
    raising = {OURS: seconds['"raise"'], "no guard": seconds["no guard"]}
    yield Row(f"raise: {job}", raising, {"no guard": 1 / SLOWER})
    skipping = {OURS: seconds['"skip"'], **{n: seconds[n] for n in ("no guard", "NumPy looks first")}}
    yield Row(f"skip: {job}", skipping, {"NumPy looks first": 1.0})


def _looking_first(step: Work, arrays: list[Any]) -> Work:
    """What a user would write: no step where an input is not finite. It does not see what overflows in the formula."""
    dense = [getattr(a, "data", a) if hasattr(a, "indices") else a for a in arrays]

    def run() -> None:
        if all(np.isfinite(a).all() for a in dense):
            step()

    return run

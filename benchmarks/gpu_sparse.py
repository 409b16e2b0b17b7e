"""The GPU benchmark's cases with row_sparse gradients: a table of which a step touches few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gpu_formulas as formulas
import gpu_peers as peers
import numpy as np
from gpu_check import OURS, Case, Contender, Pick, View
from gpu_formulas import rate
from gpu_machine import Machine, Step

import symopt as so
from symopt import sym

Arrays = dict[str, Any]


def sparse(machine: Machine, quick: bool) -> Case:
    """Lazy Adam, 100,000 rows of a million times 64, ascending, each once; four sets, rotating."""
    n_rows, cols, listed = (1000, 64, 100) if quick else (1_000_000, 64, 100_000)
    host = np.random.default_rng(1)
    sets = []
    for _ in range(4):
        rows = np.sort(host.choice(n_rows, listed, replace=False))
        sets.append(_table(machine, n_rows, cols, rows))
    contenders = {
        OURS: Contender(_lazy_adam(canonical=True), formulas.adam),
        "symopt, order not promised": Contender(_lazy_adam(canonical=False), formulas.adam),
    }
    nbytes = 28 * listed * cols + 8 * listed
    return Case(nbytes, sets, contenders | peers.sparse_adam(True), _listed(machine), _others(machine))


def sparse_repeated(machine: Machine, quick: bool) -> Case:
    """The same in random order, a tenth of the entries repeating a row; the bytes of sorting are not counted."""
    n_rows, cols, listed = (1000, 64, 100) if quick else (1_000_000, 64, 100_000)
    host = np.random.default_rng(2)
    sets = []
    for _ in range(4):
        rows = host.choice(n_rows, listed - listed // 10, replace=False)
        rows = np.concatenate([rows, host.choice(rows, listed // 10)])
        sets.append(_table(machine, n_rows, cols, host.permutation(rows)))
    distinct = listed - listed // 10
    nbytes = (24 * distinct + 4 * listed) * cols + 8 * listed
    contenders = {OURS: Contender(_lazy_adam(canonical=False), formulas.adam)} | peers.sparse_adam(False)
    return Case(nbytes, sets, contenders, _listed(machine), _others(machine))


def _table(machine: Machine, n_rows: int, cols: int, rows: np.ndarray) -> Arrays:
    made: Arrays = {name: machine.random((n_rows, cols), scale=s) for name, s in (("w", 1), ("m", 0.1))}
    made["v"] = machine.xp.abs(machine.random((n_rows, cols), scale=0.1))
    made["data"] = machine.random((len(rows), cols))
    made["indices"] = machine.xp.asarray(rows)
    return made


def _lazy_adam(canonical: bool) -> Callable[[Machine, Arrays], Step]:
    def make(machine: Machine, arrays: Arrays) -> Step:
        parts = arrays["data"], arrays["indices"]
        grad = so.sparse.RowSparseArray(*parts, arrays["w"].shape, canonical=canonical)
        w = sym.var("w")
        update = sym.adam_update(
            w, sym.var("g"), sym.var("m"), sym.var("v"), lr=sym.var("lr", shape=()), out=w
        )
        args = {"w": arrays["w"], "g": grad, "lr": 0.0}
        executor = machine.bind(update, args, {n: arrays[n] for n in "mv"})
        return lambda t: executor.forward(lr=rate(t))

    return make


def _listed(machine: Machine) -> Callable[[Arrays], list[Pick]]:
    """A thousand or two of the listed rows; entries of one row are summed."""

    def picks(arrays: Arrays) -> list[Pick]:
        rows = machine.get(arrays["indices"])
        chosen = np.unique(rows)[:: max(1, len(rows) // 2000)]
        entries = np.flatnonzero(np.isin(rows, chosen))
        data = machine.get(arrays["data"][machine.xp.asarray(entries)]).astype(np.float64)
        g = np.zeros((len(chosen), data.shape[1]))
        np.add.at(g, np.searchsorted(chosen, rows[entries]), data)
        index = machine.xp.asarray(chosen)
        return [{**{name: View(arrays[name], index) for name in "wmv"}, "g": g}]

    return picks


def _others(machine: Machine) -> Callable[[Arrays], list[View]]:
    """Rows that no gradient lists."""

    def untouched(arrays: Arrays) -> list[View]:
        rows = np.setdiff1d(np.arange(arrays["w"].shape[0]), machine.get(arrays["indices"]))[:5000]
        return [View(arrays[name], machine.xp.asarray(rows)) for name in "wmv"]

    return untouched

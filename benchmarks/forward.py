"""What it costs to hand something over at every step: fresh gradients, and numbers that change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
from harness import OURS, Row, Work, measure

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

SIZE = 10  # elements of a tensor: next to nothing to compute
SETS = 5  # of gradients, taken in turn: as good as fresh, and none of them made while the clock runs
TABLE = (1000, 16)


def fresh(quick: bool) -> Iterable[Row]:
    """Adam on many small tensors: with the same arrays, with another gradient of each, with another rate and step."""
    for count in (1, 10) if quick else (1, 100, 1000, 10_000):
        executor = _adam(count)
        gradients = [{f"g{k}": np.ones(SIZE, np.float32) for k in range(count)} for _ in range(SETS)]
        work: dict[str, Work] = {
            OURS: executor.forward,
            "fresh gradients": _each(executor, cycle(gradients)),
            "numbers that change": _each(
                executor, cycle([{"lr": 0.1 / k, "t": float(k)} for k in (1, 2, 3)])
            ),
        }
        yield _row(f"adam, {count:,} x {SIZE}: forward()", work, count)


def fresh_rows(quick: bool) -> Iterable[Row]:
    """Lazy Adam on embeddings: with the same row_sparse gradients, and with others that list other rows."""
    for count in (1, 10) if quick else (1, 100, 1000):
        executor = _lazy_adam(count)
        random = np.random.default_rng(0)
        gradients = [{f"g{k}": _rows(random) for k in range(count)} for _ in range(SETS)]
        work: dict[str, Work] = {
            OURS: executor.forward,
            "fresh gradients": _each(executor, cycle(gradients)),
        }
        yield _row(f"lazy adam, {count:,} tables: forward()", work, count)


def _row(job: str, work: dict[str, Work], count: int) -> Row:
    seconds = measure(work, 31 if count < 1000 else 15, inner=max(200 // count, 1))
    each = (seconds["fresh gradients"] - seconds[OURS]) / count
    return Row(job, seconds, remark=f"{each * 1e6:.2f} us for each fresh gradient")


def _each(executor: Any, given: Iterator[dict[str, Any]]) -> Work:
    return lambda: executor.forward(**next(given))


def _adam(count: int) -> Any:
    """Bias correction by two scalar variables that all tensors share."""
    lr, t = sym.var("lr", shape=()), sym.var("t", shape=())
    rate = lr * sym.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    heads, arrays = [], dict[str, Any](lr=0.1, t=1.0)
    for k in range(count):
        w, g, m, v = (sym.var(f"{name}{k}") for name in "wgmv")
        heads.append(sym.adam_update(w, g, m, v, lr=rate, out=w, name=f"adam{k}"))
        arrays |= {f"{name}{k}": np.ones(SIZE, np.float32) for name in "wgmv"}
    return sym.Group(heads).bind(so.cpu(), args=arrays, aux_states=arrays)


def _lazy_adam(count: int) -> Any:
    heads, arrays = [], dict[str, Any]()
    for k in range(count):
        w, m, v = (sym.var(f"{name}{k}") for name in "wmv")
        g = sym.var(f"g{k}", stype="row_sparse")
        heads.append(sym.adam_update(w, g, m, v, lr=0.1, lazy_update=True, out=w, name=f"adam{k}"))
        arrays |= {f"{name}{k}": np.ones(TABLE, np.float32) for name in "wmv"}
        arrays[f"g{k}"] = _rows(np.random.default_rng(k))
    return sym.Group(heads).bind(so.cpu(), args=arrays, aux_states=arrays)


def _rows(random: np.random.Generator) -> RowSparseArray:
    """A gradient of some rows, ascending."""
    indices = np.sort(random.choice(TABLE[0], int(random.integers(1, 20)), replace=False))
    return RowSparseArray(np.ones((len(indices), TABLE[1]), np.float32), indices, TABLE)

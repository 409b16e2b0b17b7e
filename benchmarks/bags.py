"""Bags of ids of a table, and many tables at once, beside NumPy on the same id map and torch's EmbeddingBag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt.embedding import Bags, Segment, Table, Tables
from symopt.idmap import IdMap

DIM, BAG, LR = 32, 20, 0.1
N_TABLES = 26  # the categorical features of Criteo's logs


def bags(quick: bool) -> Iterable[Row]:
    """4096 bags of 20 ids out of a million rows of 32: sums, and a step of Adagrad through them."""
    n_rows, n_bags = (20_000, 512) if quick else (1_000_000, 4096)
    rng, rounds = np.random.default_rng(0), 5 if quick else 31
    ids, offsets = rng.integers(0, n_rows, n_bags * BAG), np.arange(n_bags + 1) * BAG
    grads = rng.standard_normal((n_bags, DIM), np.float32)
    table = Table(Segment(DIM, "adagrad", learning_rate=LR), reserve=n_rows)
    table.reinitialize(rng.permutation(n_rows))
    given, numpy = Bags(ids, offsets), _Numpy(n_rows, ids, offsets, grads)
    look: dict[str, Work] = {OURS: lambda: table.lookup(given), "numpy, the same map": numpy.look}
    step: dict[str, Work] = {
        OURS: lambda: table.apply_gradients(given, grads),
        "numpy, the same map": numpy.step,
    }
    torch = torch_or_none(so.num_threads())
    if torch:
        look["torch, rows by number"], step["torch, rows by number"] = _torch(
            torch, n_rows, ids, offsets, grads
        )
    job = f"{n_bags} bags of {BAG}"
    yield Row(f"{job}: sums", measure(look, rounds))
    yield Row(f"{job}: Adagrad", measure(step, rounds), remark="torch: forward, backward, sparse Adagrad")


def tables(quick: bool) -> Iterable[Row]:
    """26 tables of 100,000 rows of 16, a batch for each: `Tables` beside one table after the other."""
    rng, n_rows = np.random.default_rng(0), 2000 if quick else 100_000
    segment = Segment(16, "adagrad", learning_rate=LR)
    named = {f"table{k:02}": Table(segment, reserve=n_rows * 5 // 4) for k in range(N_TABLES)}
    for table in named.values():
        table.reinitialize(rng.integers(0, 1 << 40, n_rows))
    every = Tables(named)
    for n in (256, 2000):
        ids = {name: rng.choice(table.ids(), n) for name, table in named.items()}
        batch: dict[str, Any] = {name: (x, np.ones((n, 16), np.float32)) for name, x in ids.items()}
        rounds = 5 if quick else 31
        for job, work in (
            (
                "lookup",
                {OURS: lambda ids=ids: every.lookup(ids), "one by one": lambda ids=ids: _look(named, ids)},
            ),
            (
                "Adagrad",
                {
                    OURS: lambda batch=batch: every.apply_gradients(batch),
                    "one by one": lambda batch=batch: _step(named, batch),
                },
            ),
        ):
            seconds = measure(work, rounds)
            remark = f"{seconds[OURS] / N_TABLES * 1e6:.0f} us a table"
            yield Row(f"{N_TABLES} tables, {n} ids each: {job}", seconds, remark=remark)


def _look(named: dict[str, Table], ids: dict[str, Any]) -> None:
    for name, its in ids.items():
        named[name].lookup(its)


def _step(named: dict[str, Table], batch: dict[str, Any]) -> None:
    for name, pair in batch.items():
        named[name].apply_gradients(*pair)


class _Numpy:
    """Bags with an id map and NumPy's indexing."""

    def __init__(self, n_rows: int, ids: Any, offsets: Any, grads: Any) -> None:
        self.map, self.ids, self.offsets, self.grads = IdMap(), ids, offsets, grads
        self.map.get_or_insert(np.random.default_rng(0).permutation(n_rows))
        self.weight, self.history = (np.zeros((n_rows, DIM), np.float32) for _ in range(2))

    def look(self) -> Any:
        return np.add.reduceat(self.weight[self.map.get(self.ids)], self.offsets[:-1])

    def step(self) -> None:
        slots, inverse = np.unique(self.map.get(self.ids), return_inverse=True)
        sums = np.zeros((len(slots), DIM), np.float32)
        np.add.at(sums, inverse, np.repeat(self.grads, BAG, 0))
        self.history[slots] += sums * sums
        self.weight[slots] -= LR * sums / (np.sqrt(self.history[slots]) + 1e-7)


def _torch(torch: Any, n_rows: int, ids: Any, offsets: Any, grads: Any) -> tuple[Work, Work]:
    """EmbeddingBag has no map: its ids are numbers of rows."""
    given = torch.from_numpy(ids), torch.from_numpy(offsets)
    layer = torch.nn.EmbeddingBag(n_rows, DIM, mode="sum", include_last_offset=True, sparse=True)
    optimizer, grad = torch.optim.Adagrad(layer.parameters(), lr=LR), torch.from_numpy(grads)

    def step() -> None:
        optimizer.zero_grad()
        layer(*given).backward(grad)
        optimizer.step()

    return lambda: layer(*given), step

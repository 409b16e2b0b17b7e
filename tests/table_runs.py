"""A table that meets everything which a table may meet, batch after batch, and what it is after each of them.

PATH FIRST DURABILITY   as a program: go on with batch FIRST, and print how many are done after each
"""

from __future__ import annotations

import functools
import hashlib
import sys
from typing import Any

import numpy as np

from symopt.embedding import Admission, RandomUniform, Segment, Table
from symopt.embedding.ondisk import OnDisk

N, DIM = 60, 7


def own_weights(ids: Any, dim: int) -> Any:
    """First weights by a function of the ids."""
    return np.sin(ids[:, None] + np.arange(dim)) / 10


def table(path: Any = None, **options: Any) -> Table:
    """Three rules, of which one counts products, one is by a function, one has decay of rows that are not touched;
    admission by counts, rows that have to leave, and rows that expire."""
    segments = [
        Segment(3, "adagrad", learning_rate=lambda done: 0.1 / (1 + done), initializer=RandomUniform()),
        Segment(2, "adam", learning_rate=0.01, weight_decay=0.01, decay="decoupled_global"),
        Segment(2, "ftrl", learning_rate=0.1, initializer=own_weights),
    ]
    return Table(
        segments, admission=Admission(1), max_rows=150, policy="least_recent", path=path, track=1000, **options
    )  # fmt: skip


def batch(t: Table, k: int) -> None:
    """Batch number `k`."""
    rng = np.random.default_rng(k)
    ids = rng.zipf(1.2, N) % 400 - 200
    values = rng.normal(size=(N, DIM))
    now = 1_000_000 + 60 * k
    if k % 7 == 5:
        t.assign_add(ids[:20], values[:20], now)
    elif k % 7 == 4:
        t.reinitialize(ids[:3], now)
    elif k % 7 == 6:
        t.evict(where=lambda rows: rows["updates"] > 4)
    else:
        t.apply_gradients(ids, values, req_time=now, duplicates=("sum", "sequential")[k % 2])


def digest(t: Table) -> str:
    """All that a table knows, in a few letters."""
    found = hashlib.sha256()
    rows = t._rows
    ids, slots = rows.map.pairs()
    entries = t.lookup_entry(ids)
    arrays = [ids, slots, rows.map.free(), entries.weights, entries.timestamps, entries.updates]
    arrays += entries.states.values()
    assert t.admission is not None
    for generation in ("young", "old"):
        counts = t.admission.state_dict()["counts"][generation]
        order = np.argsort(counts["ids"])
        arrays += [counts["ids"][order], counts["counts"][order]]
    for array in arrays:
        found.update(repr((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
    numbers = [t.steps, t.latest, t.admission.blocked, rows.logs, rows.scales]
    numbers += [part.hyper.products for part in rows.parts]
    found.update(repr(numbers).encode())
    return found.hexdigest()[:16]


class Model:
    """The same batches in memory: `model[n]` is the digest after `n` of them."""

    def __init__(self) -> None:
        self.table = table()
        self.digests = [digest(self.table)]

    def __getitem__(self, n: int) -> str:
        while len(self.digests) <= n:
            batch(self.table, len(self.digests) - 1)
            self.digests.append(digest(self.table))
        return self.digests[n]

    def which(self, t: Table, among: Any) -> int:
        """The number of batches after which the table is as `t`."""
        found = digest(t)
        return next((n for n in among if self[n] == found), -1)


@functools.cache
def model() -> Model:
    """One for all tests."""
    return Model()


def _loop(path: str, first: int, durability: Any) -> None:
    t = table(OnDisk(path, durability=durability, log_bytes=40_000))
    for k in range(first, first + 2000):
        batch(t, k)
        print(k + 1, flush=True)


if __name__ == "__main__":
    _loop(sys.argv[1], int(sys.argv[2]), sys.argv[3])

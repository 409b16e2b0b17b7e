"""The id map beside a dict, a sorted array with searchsorted, and tables in Numba, in batches of 100,000 random ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import util
from itertools import cycle
from typing import Any

import numpy as np
from harness import OURS, Row, Work, measure

from symopt.idmap import IdMap, sum_by, unique

BATCH = 100_000
ALL = (-(2**63), 2**63 - 1)
Ids = np.ndarray[Any, np.dtype[np.int64]]
DICT, SORTED = "dict", "searchsorted"


@dataclass
class Contender:
    """A table: how to make it, and what it does with a batch."""

    make: Callable[[], Any]
    insert: Callable[[Any, Ids], Any]
    get: Callable[[Any, Ids], Any]
    remove: Callable[[Any, Ids], Any] | None
    nbytes: Callable[[Any], int]


class Sorted:
    """All ids in order, and the row of each."""

    def __init__(self) -> None:
        self.ids, self.rows = np.empty(0, np.int64), np.empty(0, np.int64)

    def get(self, ids: Ids) -> Ids:
        at = np.searchsorted(self.ids, ids)
        at[at == len(self.ids)] = 0
        return np.where(self.ids[at] == ids, self.rows[at], -1)

    def insert(self, ids: Ids) -> None:
        """Of new ids."""
        order = np.argsort(ids)
        at = np.searchsorted(self.ids, ids[order])
        rows = np.arange(len(self.ids), len(self.ids) + len(ids))[order]
        self.ids, self.rows = np.insert(self.ids, at, ids[order]), np.insert(self.rows, at, rows)

    def remove(self, ids: Ids) -> None:
        """Of ids that are present."""
        at = np.searchsorted(self.ids, ids)
        self.ids, self.rows = np.delete(self.ids, at), np.delete(self.rows, at)


def dict_insert(table: dict[int, int], ids: Ids) -> list[int]:
    return [table.setdefault(i, len(table)) for i in ids.tolist()]


def dict_get(table: dict[int, int], ids: Ids) -> Ids:
    get = table.get
    return np.array([get(i, -1) for i in ids.tolist()])


def dict_remove(table: dict[int, int], ids: Ids) -> list[int]:
    return [table.pop(i, -1) for i in ids.tolist()]


def contenders() -> dict[str, Contender]:
    found = {
        OURS: Contender(IdMap, IdMap.get_or_insert, IdMap.get, IdMap.remove, IdMap.memory_bytes),
        DICT: Contender(dict, dict_insert, dict_get, dict_remove, lambda t: sys.getsizeof(t) + 32 * len(t)),
        SORTED: Contender(
            Sorted, Sorted.insert, Sorted.get, Sorted.remove, lambda t: int(t.ids.nbytes + t.rows.nbytes)
        ),
    }
    if util.find_spec("numba"):
        from idmap_numba import PEERS

        for name, kind in PEERS.items():
            found[name] = Contender(kind, kind.insert, kind.get, None, kind.nbytes.fget)
    return found


def id_map(quick: bool) -> Iterable[Row]:
    """1M and 10M ids: built from nothing, hits, misses, ids taken out and put back."""
    for n, dict_target, sorted_target in ((1_000_000, 15, 2), (10_000_000, 0, 4)):
        yield from _at(n // 10 if quick else n, {DICT: dict_target, SORTED: sorted_target}, quick)


def _at(n: int, targets: dict[str, float], quick: bool) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    ids = np.unique(rng.integers(*ALL, n + n // 100))
    rng.shuffle(ids)
    ids = ids[:n]
    every, tables, size = contenders(), dict[str, Any](), f"{n // 1_000_000 or n / 1e6}M ids"

    def building(name: str, each: Contender) -> Work:
        def build() -> None:
            tables.pop(name, None)
            tables[name] = each.make()
            for start in range(0, n, BATCH):
                each.insert(tables[name], ids[start : start + BATCH])

        return build

    work = {name: building(name, each) for name, each in every.items()}
    yield Row(f"insert {size}", measure(work, 1 if quick else 5 if n <= 1_000_000 else 2))
    used = ", ".join(f"{name} {each.nbytes(tables[name]) / n:.1f}" for name, each in every.items())
    hits = [ids[rng.integers(0, n, BATCH)] for _ in range(20)]
    misses = [rng.integers(*ALL, BATCH) for _ in range(20)]
    rounds = 5 if quick else 41
    for job, batches, goal in (("hit", hits, targets), ("miss", misses, {})):
        work = {name: _over(batches, each.get, tables[name]) for name, each in every.items()}
        remark = f"bytes an id: {used}" if job == "hit" else ""
        yield Row(f"{job}, {size}", measure(work, rounds), goal, remark=remark)
    taken = [ids[start : start + BATCH] for start in range(0, n, BATCH)]
    work = {name: _back(taken, each, tables[name]) for name, each in every.items() if each.remove}
    yield Row(f"remove, insert again, {size}", measure(work, rounds if n <= 1_000_000 else 5))


def _over(batches: list[Ids], get: Callable[[Any, Ids], Any], table: Any) -> Work:
    """A batch after the other, so that none is found in the cache."""
    following = cycle(batches)
    return lambda: get(table, next(following))


def _back(batches: list[Ids], each: Contender, table: Any) -> Work:
    following = cycle(batches)

    def replace() -> None:
        ids = next(following)
        assert each.remove
        each.remove(table, ids)
        each.insert(table, ids)

    return replace


def id_batches(quick: bool) -> Iterable[Row]:
    """100,000 ids of which a third are distinct: which, and sums of their rows of 32."""
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 40_000, BATCH) << 20 for _ in range(10)]
    work: dict[str, Work] = {
        OURS: _over(batches, lambda _, ids: unique(ids), None),
        "numpy.unique": _over(
            batches, lambda _, ids: np.unique(ids, return_inverse=True, return_counts=True), None
        ),
    }
    yield Row("unique, 100,000 ids", measure(work, 5 if quick else 41))
    values = rng.random((BATCH, 32), np.float32)
    inverses = [unique(ids).inverse for ids in batches]
    n = BATCH
    work = {
        OURS: _over(inverses, lambda _, inverse: sum_by(inverse, n, values), None),
        "numpy.add.at": _over(inverses, lambda _, inverse: _added(inverse, n, values), None),
        "a copy of the rows": lambda: values.copy(),
    }
    yield Row("sum_by, 100,000 x 32", measure(work, 5 if quick else 41))


def _added(inverse: Ids, n: int, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    np.add.at(np.zeros((n, values.shape[1]), np.float32), inverse, values)

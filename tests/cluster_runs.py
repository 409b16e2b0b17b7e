"""One training, on a table in this process or in parts at shards: what it does step by step, and what is there then."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

import numpy as np
from table_runs import own_weights

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Admission, RandomUniform, Segment, Table

N = 16


def rate(done: int) -> float:
    return 0.1 / (1 + done)


def segments(kind: str) -> list[Segment]:
    """ "small": one, which is made fast; "full": rules with states, with decay of all rows, first weights of ids."""
    adagrad = Segment(2, "adagrad", learning_rate=rate, initializer=RandomUniform())
    if kind == "small":
        return [adagrad]
    adam = Segment(2, "adam", learning_rate=0.01, weight_decay=0.01, decay="decoupled_global")
    return [adagrad, adam, Segment(1, "ftrl", learning_rate=0.1, initializer=own_weights)]


def options(kind: str) -> dict[str, Any]:
    """Ids have to be admitted, and rows have to leave."""
    return {
        "segments": segments(kind), "admission": Admission(1), "max_rows": 40, "policy": "least_recent", "track": 1000,
        "seed": 3,
    }  # fmt: skip


def sharded(cluster: Cluster, kind: str = "small") -> ShardedTable:
    return ShardedTable(cluster, **options(kind))


def plain(cluster: Cluster) -> ShardedTable:
    """Every id has a row as soon as it comes."""
    return ShardedTable(cluster, segments("small"))


def step(t: Any, k: int, seed: int = 0) -> Any:
    """Step number `k`: one push. What it answers."""
    rng = np.random.default_rng([seed, k])
    ids = rng.zipf(1.2, N) % 100 - 50
    values = rng.normal(size=(N, t.dim)).astype(np.float32)
    now, kind = 1_000_000 + 60 * k, k % 8
    if kind == 3:
        return t.lookup(ids, missing="initialize", req_time=now).tobytes()
    if kind == 4:
        return t.reinitialize(ids[:3], now).tolist()
    if kind == 5:
        return t.assign_add(ids[:6], values[:6], now)
    if kind == 6:
        return sorted(t.evict(where=lambda rows: rows["updates"] > 4).tolist())
    if kind == 7:
        applied = t.apply_gradients(ids, values, req_time=now)
        return [applied.updated, applied.born, applied.blocked, sorted(applied.evicted.tolist())]
    push = t.push if isinstance(t, ShardedTable) else t.apply_gradients
    push(ids, values, req_time=now, duplicates=("sum", "sequential")[k % 2])
    return None


def digest(t: Any) -> str:
    """All that a table knows but for where its rows are, in a few letters."""
    found = hashlib.sha256()
    ids = np.sort(t.ids())
    entries = t.lookup_entry(ids)
    arrays = [ids, entries.weights, entries.timestamps, entries.updates]
    arrays += [entries.states[name] for name in sorted(entries.states)]
    for counts in t.admission.state_dict()["counts"].values():
        order = np.argsort(counts["ids"])
        arrays += [counts["ids"][order], counts["counts"][order]]
    for array in arrays:
        found.update(repr((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes())
    touched = {name: np.sort(x, axis=None).tolist() for name, x in t.touched.state_dict().items()}
    numbers = [t.latest, t.admission.blocked, touched]
    found.update(repr(numbers).encode())
    found.update(repr(numbers_of(t._rows)).encode())
    return found.hexdigest()[:16]


def numbers_of(rows: Any) -> list[Any]:
    """What a table keeps beside its rows; a driver, and every shard, knows the same."""
    return [rows.steps, list(rows.logs), list(rows.scales), [dict(p.hyper.products) for p in rows.parts]]


class Model:
    """The same in one table: what each step answers, and what is there and was counted before each."""

    def __init__(self, kind: str = "small", seed: int = 0) -> None:
        self.kind, self.seed, self.table = kind, seed, Table(**options(kind))
        self.told: list[Any] = []
        self.digests, self.stats = [digest(self.table)], [self._stats()]

    def _stats(self) -> dict[str, int]:
        return asdict(self.table.stats)

    def grow(self, n: int) -> Model:
        """Be at least `n` steps long."""
        for k in range(len(self.told), n):
            self.told.append(step(self.table, k, self.seed))
            self.digests.append(digest(self.table))
            self.stats.append(self._stats())
        return self

"""Embedding tables: lookup and update of rows all over memory, births, several segments in one pass."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from importlib import util
from typing import Any

import numpy as np
from dense import LR
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt.embedding import Segment, Table
from symopt.idmap import IdMap
from symopt.lang import State, Tensor, Updated, updated

EPSILON = 1e-7
DIM, BATCH = 32, 100_000
PER_SECOND = 3.5e6, 2e6  # rows, at 1M and at 10M: targets
Array = np.ndarray


@so.update_op
def table_streams_update(weight: Tensor, grad: Tensor, history: State) -> Updated:
    """Reads and writes what AdaGrad does: the memory limit of the same pass."""
    return updated(weight + grad, history=history + 1)


class Batches:
    """Ids of a table with n rows, in another order every time, so that no row is still in a cache."""

    def __init__(self, n: int, size: int) -> None:
        rng = np.random.default_rng(0)
        self.ids = np.unique(rng.integers(-(2**63), 2**63, n * 5 // 4))[:n]
        rng.shuffle(self.ids)
        self._batches = [self.ids[rng.permutation(n)[:size]] for _ in range(16)]
        self._next = 0
        self.grads = rng.standard_normal((size, DIM)).astype(np.float32)

    def take(self) -> Array:
        self._next = (self._next + 1) % len(self._batches)
        return self._batches[self._next]

    def fill(self, table: Table) -> Table:
        """A row for each id."""
        table.reserve(len(self.ids))
        for some in np.array_split(self.ids, max(1, len(self.ids) // BATCH)):
            table.apply_gradients(some, np.ones((len(some), table.dim), np.float32))
        return table


def lookup_and_update(quick: bool) -> Iterable[Row]:
    """Lookup, then AdaGrad: 100,000 ids, each once, of 1M and of 10M."""
    for n, target in zip((20_000, 60_000) if quick else (1_000_000, 10_000_000), PER_SECOND):
        batches = Batches(n, 2_000 if quick else BATCH)
        size = len(batches.grads)
        table = batches.fill(Table(Segment(DIM, "adagrad", learning_rate=LR)))
        work: dict[str, Work] = {OURS: _step(table, batches)}
        if n < 5_000_000:  # the others need as much memory again
            streams = batches.fill(Table(Segment(DIM, table_streams_update)))
            work["memory limit"] = _step(streams, batches)
        work |= _peers(batches)
        seconds = measure(work, 5 if quick else 21)
        remark = (
            f"{size / seconds[OURS] / 1e6:.1f} M rows/s, {table.row_bytes} bytes a row, {_moved(table)} moved"
        )
        targets = {"numpy indexing": 1.8}
        yield Row(f"table, {n:,} x {DIM}, {size:,} ids", seconds, targets, limit=size / target, remark=remark)


def threads(quick: bool) -> Iterable[Row]:
    """The same with one thread and with two."""
    n = 20_000 if quick else 1_000_000
    batches = Batches(n, 2_000 if quick else BATCH)
    step = _step(batches.fill(Table(Segment(DIM, "adagrad", learning_rate=LR))), batches)
    before = so.num_threads()
    work = {OURS: _with_threads(2, step), "one thread": _with_threads(1, step)}
    seconds = measure(work, 5 if quick else 31)
    so.set_num_threads(before)
    yield Row(f"table, {n:,} x {DIM}, two threads", seconds, {"one thread": 1.5})


def segments(quick: bool) -> Iterable[Row]:
    """A bias, a vector and another one, each with its rule: rows of three segments, and three tables."""
    n = 20_000 if quick else 1_000_000
    batches = Batches(n, 2_000 if quick else BATCH)
    parts = [
        Segment(1, "ftrl", learning_rate=LR),
        Segment(15, "adagrad", learning_rate=LR),
        Segment(16, "group_adagrad", learning_rate=LR),
    ]
    one, three = batches.fill(Table(parts)), [batches.fill(Table(part)) for part in parts]

    def apart() -> None:
        ids = batches.take()
        grads = np.split(batches.grads, [1, 16], axis=1)
        np.concatenate([table.lookup(ids) for table in three], axis=1)
        for table, grad in zip(three, grads):
            table.apply_gradients(ids, grad)

    seconds = measure({OURS: _step(one, batches), "three tables": apart}, 5 if quick else 21)
    yield Row(f"rows of three segments, {n:,}", seconds)


def narrow(quick: bool) -> Iterable[Row]:
    """Adam, whose rows each have a count of their own, on rows of 8 and of 32: how much the counts cost."""
    n = 20_000 if quick else 1_000_000
    batches = Batches(n, 2_000 if quick else BATCH)
    work = {}
    for name, clock in ((OURS, "row"), ("one clock for all rows", "table")):
        adam = Segment(DIM, "torch_adam", learning_rate=LR, clock=clock)
        work[name] = _step(batches.fill(Table(adam)), batches)
    yield Row(f"Adam in a table, {n:,} x {DIM}", measure(work, 5 if quick else 21))


def births(quick: bool) -> Iterable[Row]:
    """A first gradient for each of a million ids, in batches: in slots of rows that left, and in a table that grows."""
    n = 20_000 if quick else 1_000_000
    batches = Batches(n, n)
    used = batches.fill(Table(Segment(DIM, "adagrad", learning_rate=LR)))
    times: dict[str, list[float]] = {OURS: [], "growing, fresh memory": [], "fresh memory alone": []}
    for _ in range(3):
        used.evict(batches.ids)
        fresh = Table(Segment(DIM, "adagrad", learning_rate=LR))
        memory = np.zeros((n, fresh.row_bytes), np.uint8)
        work = (used, fresh, memory)
        for name, on in zip(times, work):
            begin = time.perf_counter()
            if isinstance(on, Table):
                batches.fill(on)
            else:
                on.fill(1)
            times[name].append(time.perf_counter() - begin)
    found = {name: statistics.median(seconds) for name, seconds in times.items()}
    yield Row(
        f"births of {n:,} rows", found, remark=f"{n / found[OURS] / 1e6:.2f} M births/s, each with an update"
    )


def _step(table: Table, batches: Batches) -> Work:
    out = np.empty(batches.grads.shape, np.float32)

    def step() -> None:
        ids = batches.take()
        table.lookup(ids, out=out)
        table.apply_gradients(ids, batches.grads)

    return step


def _with_threads(count: int, step: Work) -> Work:
    def run() -> None:
        so.set_num_threads(count)
        step()

    return run


def _moved(table: Table) -> str:
    """Bytes for each row: the map twice, the row read, shown, read and written again, its gradient."""
    lookup = 64 + 2 * 4 * DIM
    update = 64 + 2 * table.row_bytes + 4 * DIM
    return f"{lookup + update} bytes"


# ---- peers: the same map of ids, weights and states in arrays of their own


def _peers(batches: Batches) -> dict[str, Work]:
    ids = IdMap(len(batches.ids))
    ids.get_or_insert(batches.ids)
    weight, history = (np.zeros((len(batches.ids), DIM), np.float32) for _ in range(2))
    found = {"numpy indexing": _numpy(batches, ids, weight, history)}
    if util.find_spec("numba"):
        found["numba loop"] = _numba(batches, ids, weight, history)
    torch = torch_or_none(so.num_threads())
    if torch:
        found["torch Adagrad, no map"] = _torch(torch, batches, ids)
    return found


def _numpy(batches: Batches, ids: IdMap, weight: Array, history: Array) -> Work:
    def step() -> None:
        slots, g = ids.get(batches.take()), batches.grads
        weight[slots]  # what the lookup gives
        h = history[slots] + g * g
        history[slots] = h
        weight[slots] -= LR * g / (np.sqrt(h) + EPSILON)

    return step


def _numba(batches: Batches, ids: IdMap, weight: Array, history: Array) -> Work:
    import numba

    @numba.njit(error_model="numpy")
    def look(slots: Array, weight: Array, out: Array) -> None:
        for k in range(len(slots)):
            out[k] = weight[slots[k]]

    @numba.njit(error_model="numpy")
    def update(slots: Array, weight: Array, history: Array, grads: Array, lr: Any, epsilon: Any) -> None:
        for k in range(len(slots)):
            w, h, g = weight[slots[k]], history[slots[k]], grads[k]
            for j in range(len(g)):
                h[j] += g[j] * g[j]
                w[j] -= lr * g[j] / (np.sqrt(h[j]) + epsilon)

    out = np.empty(batches.grads.shape, np.float32)

    def step() -> None:
        slots = ids.get(batches.take())
        look(slots, weight, out)
        update(slots, weight, history, batches.grads, np.float32(LR), np.float32(EPSILON))

    return step


def _torch(torch: Any, batches: Batches, ids: IdMap) -> Work:
    """An Embedding with a sparse gradient; ids are numbers of rows already, found outside of what is measured."""
    parameter = torch.nn.Parameter(torch.zeros(len(batches.ids), DIM))
    optimizer = torch.optim.Adagrad([parameter], lr=LR, eps=EPSILON)
    slots = [torch.from_numpy(ids.get(batches.take())) for _ in range(16)]
    grads, turn = torch.from_numpy(batches.grads), iter(range(1 << 62))

    def step() -> None:
        rows = slots[next(turn) % 16]
        parameter.detach().index_select(0, rows)
        parameter.grad = torch.sparse_coo_tensor(rows[None], grads, parameter.shape, check_invariants=False)
        optimizer.step()

    return step


JOBS: dict[str, Callable[[bool], Iterable[Row]]] = {
    "table": lookup_and_update,
    "table_threads": threads,
    "table_segments": segments,
    "table_adam": narrow,
    "table_births": births,
}

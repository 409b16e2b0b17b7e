"""How long a row takes here: of a rule, in a table, timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import config
from ..distributed.partition import Partition
from ..embedding.segment import Segment
from ..embedding.table import Table

_SHARDS = 8  # that rows are sorted by


class RowSeconds(NamedTuple):
    """Seconds of one core for a row that is looked up, updated, and packed: `row_read`, `row_update` and `row_pack` of
    Hosts."""

    read: float
    update: float
    pack: float


def measure_rows(
    segments: Segment | Sequence[Segment], *, rows: int = 500_000, batch: int = 20_000, rounds: int = 15
) -> RowSeconds:
    """Look up and update `batch` rows of a table with `rows`, others each time, and take the median.

    No id is there twice, which is most work for a row that was sent. One thread. Do it when nothing else runs.

    >>> segment = Segment(4, "adagrad", learning_rate=0.1)
    >>> found = measure_rows(segment, rows=500, batch=100, rounds=3)
    >>> all(0 < seconds < 1 for seconds in found)
    True
    """
    rng = np.random.default_rng(0)
    ids = rng.permutation(rows) * 0x9E3779B1
    table = Table(segments, reserve=rows)
    grads = rng.standard_normal((batch, table.dim)).astype(table.dtype)
    threads = config.threads_set()
    config.set_num_threads(1)
    try:
        for some in np.array_split(ids, -(-rows // batch)):
            table.apply_gradients(some, grads[: len(some)])
        times = [_once(table, rng.permutation(ids)[:batch], grads) for _ in range(rounds + 1)][1:]
    finally:
        config.set_num_threads(threads)
    return RowSeconds(*(statistics.median(each) for each in zip(*times)))


def _once(table: Table, ids: npt.NDArray[Any], grads: npt.NDArray[Any]) -> tuple[float, ...]:
    """Seconds per row: of a lookup, of an update, and of packing one way."""
    started = time.perf_counter()
    rows = table.lookup(ids)
    between = time.perf_counter()
    table.apply_gradients(ids, grads[: len(ids)])
    ended = time.perf_counter()
    _pack(ids, rows)
    packed = time.perf_counter()
    n = len(ids)
    return (between - started) / n, (ended - between) / n, (packed - ended) / n / 2


def _pack(ids: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
    """What a worker does with rows both ways: sort them by shards, copy them into a message, and out of one, back."""
    split = Partition(_SHARDS).split(ids)
    sent = split.scatter(rows).copy()
    split.gather(sent.copy())

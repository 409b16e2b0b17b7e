"""Monolith's occurrence filter: counts up to 15 in about 2.8 bytes an id, that forgets the ids seen longest ago."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.jit import compile_written
from ..idmap.given import chosen_engine
from ..state import Commit, Differences, nothing, plan_arrays
from .judged import Judged
from .mixing import mixed
from .options import whole
from .repeats import repeats
from .slidingcode import AHEAD, COUNT_BITS, FAILURES, FULLEST, HEAD, PROBES, TURNS, USED, seen_function
from .slots import Ids

Counts = npt.NDArray[np.int64]

_LEAST_CAPACITY, _LEAST_SPLITS, _MOST = 300, 5, (1 << 32) - 1
_ROOM = 1.2  # cells for each id that a split is made for


class SlidingFilter:
    """How often ids were seen, up to 15, for about `capacity` ids; those seen longest ago are forgotten.

    A cell has 16 bits: 12 of the id's hash, its signature, and a count of 4. `splits` arrays of cells follow each other
    in a ring. Ids go into the split at the head, at the first of 16 cells from their hash on that is empty or has their
    signature, or else into the next split; a count found in an older split is carried over. When the head is full, the
    next split is the head, and the oldest is emptied. An id that finds no cell at all is answered with 15.

    So a count may be wrong: too high for two ids of one signature, too low for an id that was forgotten. With as many
    ids as `capacity` 1 % are wrong, with twice as many half of them.

    The structure and all figures are Monolith's (sliding_hash_filter.cc), but not the hash: there the signature is
    bits 17 to 28 of the id itself, so that all ids below 131072 share one.

    >>> seen = SlidingFilter(capacity=1000)
    >>> ids = np.array([7, 7, -7, 7])
    >>> seen.add(ids, np.array([1, 1, 1, 20])).tolist()
    [0, 1, 0, 2]
    >>> seen.count(ids[1:3]).tolist()
    [15, 1]
    """

    def __init__(self, capacity: int = 10_000_000, splits: int = 7, engine: str = "auto") -> None:
        self.capacity = whole("capacity", capacity, 1, _MOST)
        self.splits = whole("splits", splits, _LEAST_SPLITS, 1000)
        in_split = max(self.capacity, _LEAST_CAPACITY) // (splits - AHEAD + 1)
        self._starts = int(in_split * _ROOM)  # cells at which an id may begin
        self._full = in_split - 1
        self._cells = np.zeros(
            (splits, self._starts + PROBES), np.uint16
        )  # the system's zeros: not in memory yet
        self._numbers = np.zeros(USED + splits, np.int64)
        self._seen = _seen_native if chosen_engine(engine) == "native" else _seen_in_python

    def judge(self, ids: Ids, counts: Counts | None, thresholds: Counts) -> Judged:
        """Which occurrences (n,) had `thresholds` before them. All ids are judged by what was counted before."""
        batch = repeats(ids, counts)
        olds = self.count(batch.ids)[batch.inverse] + batch.earlier
        return Judged(olds >= thresholds, lambda: self._see(batch.ids, batch.sums, True))

    def add(self, ids: Ids, counts: Counts) -> Counts:
        """Count each id (n,) so many more times (n,), at least once, in this order; how often each was seen before."""
        return self._see(ids, counts, True)

    def count(self, ids: Ids) -> Counts:
        """How often each id was seen, as far as it is known; changes nothing."""
        return self._see(ids, np.ones(len(ids), np.int64), False)

    def _see(self, ids: Ids, counts: Counts, writes: bool) -> Counts:
        starts, signatures = self._hashed(ids)
        olds = np.empty(len(ids), np.int64)
        counts = np.ascontiguousarray(counts, np.int64)
        self._seen(self._cells, self._numbers, self._full, starts, signatures, counts, olds, writes)
        return olds

    def forget(self, ids: Ids) -> None:
        """Nothing: another id may have the same cell. Cells are freed when their split is emptied."""

    def __len__(self) -> int:
        """How many cells are used."""
        return int(self._numbers[USED:].sum())

    @property
    def failures(self) -> int:
        """How many ids were let through for want of a cell."""
        return int(self._numbers[FAILURES])

    def memory_bytes(self) -> int:
        """Bytes of all cells. The system provides them when they are first written to."""
        return self._cells.nbytes + self._numbers.nbytes

    def state_dict(self) -> dict[str, Any]:
        """All cells, the numbers beside them, and what they were made for."""
        return {
            "capacity": self.capacity,
            "splits": self.splits,
            "cells": self._cells,
            "numbers": self._numbers,
        }

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it; `capacity` and `splits` must be the same."""
        own = self.state_dict()
        both = found.names(path, own, state)
        prefix = f"{path}/" if path else ""
        for name in ("capacity", "splits"):
            if name in both:
                found.compare(f"{prefix}{name}", "the filter's " + name, own[name], state[name])
        if "numbers" in both and not self._are_possible(state["numbers"]):
            found.different.append(f"{prefix}numbers: no numbers that this filter could have")
            return nothing
        arrays: dict[str, Any] = {name: own[name] for name in ("cells", "numbers") if name in both}
        return plan_arrays(arrays, {name: state[name] for name in arrays}, found, path)

    def _are_possible(self, numbers: Any) -> bool:
        """Whether the head is a split and nothing is negative: native code goes where the head says."""
        given = np.asarray(numbers)
        return given.shape != self._numbers.shape or bool((given >= 0).all() and given[HEAD] < self.splits)

    def _hashed(self, ids: Ids) -> tuple[Counts, npt.NDArray[np.uint16]]:
        """Where each id begins in a split, and its signature. From different bits of one hash."""
        words = mixed(np.ascontiguousarray(ids))
        starts = ((words >> np.uint64(32)) * np.uint64(self._starts)) >> np.uint64(32)
        return starts.view(np.int64), (words & np.uint64((1 << 16 - COUNT_BITS) - 1)).astype(np.uint16)


@cache
def _compiled() -> Callable[..., None]:
    return compile_written(seen_function())["seen"]


def _seen_native(
    cells: npt.NDArray[np.uint16],
    numbers: Counts,
    full: int,
    starts: Counts,
    signatures: npt.NDArray[np.uint16],
    counts: Counts,
    olds: Counts,
    writes: bool,
) -> None:
    splits, stride = cells.shape
    cells_at, numbers_at, *given = (x.ctypes.data for x in (cells, numbers, starts, signatures, counts, olds))
    *read, olds_at = given
    _compiled()(cells_at, numbers_at, splits, stride, full, *read, len(olds), olds_at, writes)


def _seen_in_python(
    cells: npt.NDArray[np.uint16],
    numbers: Counts,
    full: int,
    starts: Counts,
    signatures: npt.NDArray[np.uint16],
    counts: Counts,
    olds: Counts,
    writes: bool,
) -> None:
    """The definition of what `slidingcode` does."""
    splits, _ = cells.shape
    rows = [memoryview(row) for row in cells]  # indexed several times as fast as NumPy's
    given = zip(starts.tolist(), signatures.tolist(), counts.tolist())
    for k, (start, signature, count) in enumerate(given):
        head, turns = int(numbers[HEAD]), int(numbers[TURNS])
        split, place = _first_cell(rows, ((head + step) % splits for step in range(AHEAD)), start, signature)
        if place < 0:
            numbers[FAILURES] += writes
            olds[k] = FULLEST
            continue
        old, is_new = rows[split][place] & FULLEST, rows[split][place] == 0
        if is_new:
            old = _older_count(rows, head, min(turns, splits - AHEAD), start, signature)
        olds[k] = old
        if not writes:
            continue
        rows[split][place] = signature << COUNT_BITS | min(FULLEST, old + count)
        if is_new:
            numbers[USED + split] += 1
            if numbers[USED + head] >= full:
                oldest = (head + AHEAD) % splits
                numbers[HEAD], numbers[TURNS] = (head + 1) % splits, turns + 1
                cells[oldest] = 0
                numbers[USED + oldest] = 0


def _first_cell(rows: list[memoryview], among: Any, start: int, signature: int) -> tuple[int, int]:
    """The split and the place of the first cell that is empty or has the signature; place -1 if none."""
    for split in among:
        row = rows[split]
        for place in range(start, start + PROBES):
            if row[place] == 0 or row[place] >> COUNT_BITS == signature:
                return split, place
    return -1, -1


def _older_count(rows: list[memoryview], head: int, ages: int, start: int, signature: int) -> int:
    """The count in the youngest split behind the head that has the signature."""
    for age in range(1, ages + 1):
        split, place = _first_cell(rows, [(head - age) % len(rows)], start, signature)
        if place >= 0 and rows[split][place]:
            return rows[split][place] & FULLEST
    return 0

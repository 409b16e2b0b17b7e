"""How often ids without a row were seen: exactly, or of the latest ids only where there is a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..given import Given
from ..idmap import IdMap, unique
from ..state import Commit, Differences
from .judged import Judged
from .loading import vector
from .options import whole
from .repeats import Counts, earlier, repeats
from .slots import Ids

MOST = 2**32 - 1  # counts stop here
_DTYPE = np.dtype(np.uint32)


class ExactCounters:
    """How often each id was seen, up to 2**32 - 1. Nothing is estimated.

    `capacity`: at most so many ids are counted; None: all of them, however many come. With a bound there are two
    generations of capacity / 2 ids: ids that are seen go into the young one; when it is full it becomes the old one,
    and what was old is forgotten. So an id keeps its count as long as fewer than capacity / 2 others are seen in
    between. An id that comes several times in one call is seen once, with all of its counts.

    >>> counters = ExactCounters()
    >>> counters.add(np.array([7, 5, 7]), np.array([1, 1, 1])).tolist()
    [0, 0, 1]
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = None if capacity is None else whole("capacity", capacity, 2)
        self._room = None if self.capacity is None else self.capacity // 2
        self._young, self._old = _Generation(), _Generation()

    def judge(self, ids: Ids, counts: Counts | None, thresholds: Counts) -> Judged:
        """Which occurrences (n,) had `thresholds` before them. Ids that are admitted are forgotten, others counted."""
        batch = repeats(ids, counts)
        admitted = self.count(batch.ids)[batch.inverse] + batch.earlier >= thresholds
        leaves = np.zeros(len(batch.ids), np.bool_)
        leaves[batch.inverse[admitted]] = True

        def commit() -> None:
            self.forget(batch.ids[leaves])
            self._add_distinct(batch.ids[~leaves], batch.sums[~leaves])

        return Judged(admitted, commit)

    def add(self, ids: Ids, counts: Counts) -> Counts:
        """Count each id (n,) so many more times (n,), in this order; how often each was seen before."""
        distinct, inverse, _ = unique(ids)
        sums = np.zeros(len(distinct), np.int64)
        np.add.at(sums, inverse, counts)
        olds: Counts = self._add_distinct(distinct, sums)[inverse] + earlier(inverse, counts)
        return np.minimum(olds, MOST)

    def count(self, ids: Ids) -> Counts:
        """How often each id was seen, as far as it is remembered; changes nothing."""
        return np.maximum(
            self._young.count(ids), self._old.count(ids)
        )  # what came back to the young is larger there

    def forget(self, ids: Ids) -> None:
        """Drop the counts of ids."""
        for generation in (self._young, self._old):
            generation.drop(ids)

    def __len__(self) -> int:
        """How many counts are kept."""
        return len(self._young.ids) + len(self._old.ids)

    def memory_bytes(self) -> int:
        """Bytes of maps and counts."""
        return self._young.memory_bytes() + self._old.memory_bytes()

    def state_dict(self) -> dict[str, Any]:
        """Ids and counts of both generations."""
        return {"young": self._young.entries(), "old": self._old.entries()}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it. The capacity may be another: it is filled, and kept to from then on."""
        given = Given(state, found, path)
        given.names({"young": 0, "old": 0})
        read = {name: _Generation.read(given.part(name)) for name in ("young", "old") if name in given}

        def commit() -> None:
            self._young, self._old = read.get("young", self._young), read.get("old", self._old)

        return commit

    def _add_distinct(self, ids: Ids, counts: Counts) -> Counts:
        """`add` for ids that are all different."""
        if self._room is None:
            return self._young.add(ids, counts, 0)
        olds = np.empty(len(ids), np.int64)
        at = 0
        while at < len(ids):  # `room` ids at most are looked at each time, so each is twice at most
            part = slice(at, at + self._until_full(ids[at : at + self._room]))
            olds[part] = self._young.add(ids[part], counts[part], self._old.count(ids[part]))
            at = part.stop
            if len(self._young.ids) >= self._room:
                self._young, self._old = _Generation(), self._young
        return olds

    def _until_full(self, ids: Ids) -> int:
        """How many of the ids the young generation takes before it is full."""
        assert self._room is not None
        new = np.cumsum(self._young.ids.get(ids) < 0)
        return int(np.searchsorted(new, self._room - len(self._young.ids))) + 1


class _Generation:
    """Ids and their counts."""

    def __init__(self) -> None:
        self.ids = IdMap()
        self._counts = np.zeros(0, _DTYPE)  # by slot of the map; 0 where the slot is free

    def add(self, ids: Ids, counts: Counts, carried: Counts | int) -> Counts:
        """Add to the counts of distinct ids; new ones begin with what is carried over. What each count was."""
        self._reach(self.ids.n_slots + len(ids))  # before ids have slots: there may be no memory
        slots = self.ids.get_or_insert(ids).slots
        olds = self._counts[slots].astype(np.int64)
        olds = np.where(olds == 0, carried, olds)
        self._counts[slots] = np.minimum(olds + counts, MOST)
        return olds

    def count(self, ids: Ids) -> Counts:
        """The counts of ids; 0 for those not here."""
        slots = self.ids.get(ids)
        if not len(self._counts):
            return np.zeros(len(ids), np.int64)
        return np.where(slots >= 0, self._counts[slots], 0).astype(np.int64)

    def drop(self, ids: Ids) -> None:
        """Take ids out; they may be missing or repeated."""
        if len(self.ids):
            slots = self.ids.remove(ids)
            self._counts[slots[slots >= 0]] = 0

    def memory_bytes(self) -> int:
        """Bytes of the map and the counts."""
        return self.ids.memory_bytes() + self._counts.nbytes

    def entries(self) -> dict[str, Any]:
        """Ids, and how often each was seen."""
        ids, slots = self.ids.pairs()
        return {"ids": ids, "counts": self._counts[slots]}

    @classmethod
    def read(cls, given: Given) -> _Generation:
        """A generation with the entries of a state."""
        result = cls()
        given.names({"ids": 0, "counts": 0})
        ids, counts = vector(given, "ids", np.int64), vector(given, "counts", _DTYPE)
        if len(ids) != len(counts):
            given.found.different.append(f"{given.path}: {len(ids)} ids, and {len(counts)} counts")
        elif len(ids):
            result.add(ids, counts.astype(np.int64), 0)
        return result

    def _reach(self, n: int) -> None:
        """Make room for counts of slots below n."""
        if n > len(self._counts):
            grown = np.zeros(max(n, 2 * len(self._counts)), _DTYPE)
            grown[: len(self._counts)] = self._counts
            self._counts = grown

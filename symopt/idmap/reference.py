"""Pairs of ids and slots in sorted arrays, with NumPy alone: slower, and the definition of what native code returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import inserted
from .given import Int64s
from .inserted import Inserted, too_many_slots

_SMALL = 1024  # pairs; up to here, and up to a sixteenth of all, new ones are kept apart


class _Sorted(NamedTuple):
    """Pairs in order of their ids."""

    ids: Int64s
    slots: Int64s

    def find(self, ids: Int64s) -> Int64s:
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        at = np.searchsorted(self.ids, ids)
        at[at == len(self.ids)] = 0
        return np.where(self.ids[at] == ids, self.slots[at], -1)

    def merged(self, other: _Sorted) -> _Sorted:
        at = np.searchsorted(self.ids, other.ids)
        return _Sorted(np.insert(self.ids, at, other.ids), np.insert(self.slots, at, other.slots))

    def without(self, slots: Int64s) -> _Sorted:
        kept = ~np.isin(self.slots, slots)
        return _Sorted(self.ids[kept], self.slots[kept])


class _State(NamedTuple):
    """All that changes, so that one assignment changes it: most pairs, recent ones, the stack of freed slots."""

    old: _Sorted
    recent: _Sorted
    free: Int64s
    n_slots: int


class SortedPairs:
    """The same methods as `NativePairs`, at 16 bytes an id; a batch of new ids costs a pass over some of the others."""

    load = 1.0

    def __init__(self, seed: int = 0, reserve: int = 0) -> None:
        none = np.empty(0, np.int64)
        self._state = _State(_Sorted(none, none), _Sorted(none, none), none, 0)

    @property
    def count(self) -> int:
        return len(self._state.old.ids) + len(self._state.recent.ids)

    @property
    def n_slots(self) -> int:
        return self._state.n_slots

    @property
    def memory_bytes(self) -> int:
        old, recent, free, _ = self._state
        return sum(x.nbytes for x in (*old, *recent, free))

    def free(self) -> Int64s:
        return self._state.free.copy()

    def find(self, ids: Int64s, slots: Int64s) -> None:
        np.maximum(self._state.old.find(ids), self._state.recent.find(ids), out=slots)

    def insert(self, ids: Int64s) -> Inserted:
        old, recent, free, n_slots = self._state
        slots = np.empty(len(ids), np.int64)
        self.find(ids, slots)
        missing = np.flatnonzero(slots < 0)
        new_ids, inverse, _ = distinct(ids[missing])
        reused = min(len(new_ids), len(free))
        fresh = len(new_ids) - reused
        if n_slots + fresh > inserted.MOST_SLOTS:
            raise too_many_slots()
        new_slots = np.concatenate([free[::-1][:reused], np.arange(n_slots, n_slots + fresh)])
        slots[missing] = new_slots[inverse]
        order = np.argsort(new_ids)
        recent = recent.merged(_Sorted(new_ids[order], new_slots[order]))
        if len(recent.ids) > max(_SMALL, len(old.ids) // 16):
            old, recent = old.merged(recent), _Sorted(recent.ids[:0], recent.slots[:0])
        self._state = _State(old, recent, free[: len(free) - reused], n_slots + fresh)
        return Inserted(slots, new_slots, new_ids)

    def remove(self, ids: Int64s) -> Int64s:
        old, recent, free, n_slots = self._state
        once, inverse, _ = distinct(ids)
        found = np.empty(len(once), np.int64)
        self.find(once, found)
        slots = np.full(len(ids), -1, np.int64)
        slots[first_places(inverse, len(once))] = found
        gone = found[found >= 0]
        if len(gone):
            stack = np.concatenate([free, gone])
            self._state = _State(old.without(gone), recent.without(gone), stack, n_slots)
        return slots

    def pairs(self) -> tuple[Int64s, Int64s]:
        old, recent, _, _ = self._state
        return np.concatenate([old.ids, recent.ids]), np.concatenate([old.slots, recent.slots])

    def put(self, ids: Int64s, slots: Int64s, free: Int64s) -> int:
        once, inverse, _ = distinct(ids)
        if len(once) < len(ids):
            return int(np.flatnonzero(np.arange(len(ids)) != first_places(inverse, len(once))[inverse])[0])
        order = np.argsort(ids)
        none = ids[:0].copy()
        pairs = _Sorted(ids[order], slots[order])
        self._state = _State(pairs, _Sorted(none, none), free.copy(), len(ids) + len(free))
        return len(ids)

    def reserve(self, n: int) -> None:
        """Nothing: sorted arrays are made anew whenever they grow."""

    def has_room(self, n: int) -> bool:
        """No: each insertion makes new arrays."""
        return False

    def make_room(self, n: int) -> None:
        """Nothing: each insertion makes new arrays."""

    def copy(self) -> SortedPairs:
        made = SortedPairs()
        made._state = self._state  # whose arrays nobody writes to
        return made


def distinct(ids: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Distinct ids in order of first occurrence, where in them each id is, and how often each occurs."""
    found, first, inverse, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return found[order], rank[inverse], counts[order]


def first_places(inverse: Int64s, n: int) -> Int64s:
    """Where each of `n` numbers occurs first, when they are numbered by first occurrence."""
    highest = np.maximum.accumulate(inverse) if n else inverse
    return np.searchsorted(highest, np.arange(n))

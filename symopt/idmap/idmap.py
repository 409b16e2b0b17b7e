"""A map from ids to numbers of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, ShapeError, StateError
from .given import Int64s, as_ids, chosen_engine
from .inserted import Inserted
from .native import NativePairs
from .reference import SortedPairs
from .unique import unique


class IdMap:
    """Gives each id, any int64, the number of a slot, densely from 0 on; slots of removed ids are given again.

    Methods take batches: one-dimensional integers of any dtype, uint64 by its bits. The same calls give the same slots,
    on both engines: missing ids get slots in order of first occurrence, freed slots first, the last freed the first.

    `engine`: "native" needs llvmlite, "reference" NumPy only, "auto" takes what is installed. The native one takes 16
    to 24 bytes an id, and 4 to 5 a freed slot, unless more are reserved. There are at most 2**32 slots; TooLateError
    beyond.

    A batch is inserted whole or not at all, also when memory runs out. Native code releases the GIL: `get` may run in
    several threads at once, but while anything else runs, nothing may. `seed` (any integer) changes where ids are kept,
    never a result.

    >>> m = IdMap()
    >>> m.get_or_insert([7, -1, 7]).slots
    array([0, 1, 0])
    >>> m.get([-1, 8])
    array([ 1, -1])
    """

    def __init__(self, reserve: int = 0, *, seed: int = 0, engine: str = "auto") -> None:
        self.seed = seed
        self.engine = chosen_engine(engine)
        self._reserved = _not_negative(reserve)
        self._pairs = self._made()

    def __len__(self) -> int:
        """How many ids are present."""
        return self._pairs.count

    def __repr__(self) -> str:
        return f"IdMap({len(self)} ids, {self.n_slots} slots, engine={self.engine!r})"

    @property
    def n_slots(self) -> int:
        """The highest slot ever given, plus 1: rows that storage must have."""
        return self._pairs.n_slots

    @property
    def load(self) -> float:
        """The share of places that are in use."""
        return self._pairs.load

    def memory_bytes(self) -> int:
        """Bytes of the arrays that this map holds."""
        return self._pairs.memory_bytes

    def get(self, ids: Any, out: Int64s | None = None) -> Int64s:
        """Slots of ids (n,), -1 where one is missing; written to `out`, contiguous int64 (n,), if it is given."""
        given = as_ids(ids)
        if out is None:
            out = np.empty(len(given), np.int64)
        elif out.dtype != np.int64 or out.shape != given.shape or not out.flags.carray:
            raise ShapeError(
                f"out must be writable, contiguous, int64 {given.shape}, got {out.dtype} {out.shape}"
            )
        self._pairs.find(given.copy() if np.may_share_memory(given, out) else given, out)
        return out

    def get_or_insert(self, ids: Any) -> Inserted:
        """Slots of ids (n,), where missing ones get new slots; the new ids and slots (k,), as they first occur."""
        return self._pairs.insert(as_ids(ids))

    def missing(self, ids: Any) -> Int64s:
        """The ids that `get_or_insert` would insert, in its order."""
        given = as_ids(ids)
        absent = self.get(given) < 0
        return unique(given[absent], engine=self.engine).ids if absent.any() else given[:0]

    def remove(self, ids: Any) -> Int64s:
        """The slots (n,) that become free; -1 where an id is missing, or was removed before in this batch."""
        return self._pairs.remove(as_ids(ids))

    def reserve(self, n: int) -> None:
        """Make room for `n` ids in all, and keep it: no insertion up to there makes the table anew."""
        room = _not_negative(n)
        self._pairs.reserve(room)
        self._reserved = max(room, self._reserved)

    def has_room(self, n: int) -> bool:
        """Whether `n` more ids need no other table."""
        return self._pairs.has_room(n)

    def make_room(self, n: int) -> None:
        """Have memory for `n` more ids than now, which is not kept longer than they stay."""
        self._pairs.make_room(_not_negative(n))

    def pairs(self) -> tuple[Int64s, Int64s]:
        """All ids and their slots, in order of slots, whatever the history."""
        ids, slots = self._pairs.pairs()
        by_slot, used = np.empty(self.n_slots, np.int64), np.zeros(self.n_slots, bool)
        by_slot[slots], used[slots] = ids, True
        return by_slot[used], np.flatnonzero(used)

    def ids(self) -> Int64s:
        """All ids, in order of their slots."""
        return self.pairs()[0]

    def slots(self) -> Int64s:
        """All slots in use, ascending."""
        return self.pairs()[1]

    def free(self) -> Int64s:
        """Freed slots; the last one is given next."""
        return self._pairs.free()

    def clear(self) -> None:
        """Forget all ids and slots; what is reserved stays so."""
        self._pairs = self._made()

    def copy(self) -> IdMap:
        """A map with the same pairs and freed slots, which changes by itself."""
        made = IdMap.__new__(IdMap)
        made.seed, made.engine, made._reserved = self.seed, self.engine, self._reserved
        made._pairs = self._pairs.copy()
        return made

    def restore(self, ids: Any, slots: Any, free: Any = ()) -> None:
        """Replace all by what `pairs` and `free` of a map gave: this one then gives the same slots as that. Pairs may
        be in any order, freed slots may not.

        StateError if an id or a slot is there twice, or a slot below the highest is neither in use nor free.
        """
        given, at, unused = as_ids(ids), as_ids(slots, "slots"), as_ids(free, "free")
        if len(given) != len(at):
            raise ShapeError(f"as many slots as ids are needed, got {len(given)} ids and {len(at)} slots")
        _check_partition(at, unused)
        made = self._made()
        n = made.put(given, at, unused)
        if n < len(given):
            raise StateError(
                f"ids: {given[n]} is there twice, the second time as number {n}; nothing was changed"
            )
        self._pairs = made

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._reserved, self.seed, self.engine, *self.pairs(), self.free())

    def _made(self) -> NativePairs | SortedPairs:
        kind = NativePairs if self.engine == "native" else SortedPairs
        return kind(self.seed, self._reserved)


def _restored(reserved: int, seed: int, engine: str, ids: Int64s, slots: Int64s, free: Int64s) -> IdMap:
    """A map from a pickle; on a machine without llvmlite, with the other engine."""
    made = IdMap(reserved, seed=seed, engine="auto" if engine == "native" else engine)
    made.restore(ids, slots, free)
    return made


def _not_negative(n: int) -> int:
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise DTypeError(f"reserve must be a number of ids, got {n!r}")
    if n < 0:
        raise AttributeValueError(f"reserve must be 0 or more ids, got {n}")
    return int(n)


def _check_partition(slots: Int64s, free: Int64s) -> None:
    """StateError unless each slot from 0 on is in use or free, once."""
    every = np.concatenate([slots, free])
    n = len(every)
    if n and (every.min() < 0 or every.max() >= n):
        wrong = every[(every < 0) | (every >= n)][0]
        raise StateError(
            f"slots: {n} are in use or free, so all must be in [0, {n}), got {wrong}; nothing was changed"
        )
    times = np.bincount(every, minlength=n)
    if n and times.max() > 1:
        raise StateError(f"slots: {times.argmax()} is there {times.max()} times; nothing was changed")

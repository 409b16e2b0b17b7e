"""Pairs of ids and slots in a hash table, by native code. `blocks.py` has the functions and says what a table is."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .. import config
from ..backends.jit import compile_written
from ..backends.pool import run_shared
from ..overlap import address
from ..splitmix import word
from . import inserted
from .blocks import BLOCK_BYTES, COUNT, DONE, N_FREE, N_SLOTS, PER_BLOCK, table_functions
from .given import Int64s
from .inserted import Inserted, too_many_slots
from .scratch import scratch

# Ids a block: at most 4 of 5 places are used. Then the table grows by 7/5, to 2.86 ids a block or 22.4 bytes an id. It
# becomes smaller below 2.7, to 3.3, so that neither a few insertions nor a few removals make a table anew again.
_MOST, _LEAST, _ROOMY = 4, 2.7, 3.3
_SHARED = 8192  # ids that a thread looks for at once, if there are more
_BLOCK = np.dtype(
    {
        "names": ["ids", "slots", "used"],
        "formats": [(np.int64, PER_BLOCK), (np.uint32, PER_BLOCK), np.uint32],
        "offsets": [0, 40, 60],
        "itemsize": BLOCK_BYTES,
    }
)


class _Table(NamedTuple):
    blocks: Any  # _BLOCK (n_blocks,), which begins with a line of the cache
    n_blocks: int
    given: tuple[int, int, int]  # address, blocks and seed, as native functions take them

    @property
    def seed(self) -> int:
        return self.given[2]


class NativePairs:
    """Pairs of ids and slots; a stack of freed slots.

    The numbers that change with the table's content are in `head`, which native code writes: an interrupt comes before
    or after a change, never between its parts.
    """

    def __init__(self, seed: int, reserve: int = 0) -> None:
        self._fewest = _blocks_for(reserve)
        self._table = _empty(self._fewest, _mixed(seed))
        self._head = np.zeros(4, np.int64)
        self._free = np.empty(0, np.uint32)

    @property
    def count(self) -> int:
        return int(self._head[COUNT])

    @property
    def n_slots(self) -> int:
        return int(self._head[N_SLOTS])

    @property
    def load(self) -> float:
        return self.count / (self._table.n_blocks * PER_BLOCK)

    @property
    def memory_bytes(self) -> int:
        return int(self._table.blocks.nbytes + self._head.nbytes + self._free.nbytes)

    def free(self) -> Int64s:
        return self._free[: self._head[N_FREE]].astype(np.int64)

    def find(self, ids: Int64s, slots: Int64s) -> None:
        """Write the slots of ids, -1 for missing ones."""
        get, table, n = _code()["get"], self._table.given, len(ids)
        from_, to = address(ids), address(slots)
        threads = min(config.num_threads(), n // _SHARED)
        if threads < 2:
            get(*table, from_, n, to)
            return
        starts = iter(range(0, n, _SHARED))  # which threads take one by one

        def some(job: int, scratch: int) -> None:
            for k in starts:
                get(*table, from_ + 8 * k, min(_SHARED, n - k), to + 8 * k)

        run_shared(some, 0, [0] * threads)

    def insert(self, ids: Int64s) -> Inserted:
        """Slots of ids, of which missing ones get new slots: all of them, or, if this raises, none."""
        n, before, n_new = len(ids), self._head.copy(), np.zeros(1, np.int64)
        slots = np.empty(n, np.int64)
        with scratch("new", 16 * n) as memory:
            new = memory[: 16 * n].view(np.int64).reshape(2, n)
            self._head[DONE] = 0
            try:
                while self._head[DONE] < n:
                    self._insert(ids, slots, new, n_new)
                new_slots, new_ids = new[:, : n_new[0]].copy()
            except BaseException:
                self._undo(slots, new, int(n_new[0]), before)
                raise
        self._fit()
        return Inserted(slots, new_slots, new_ids)

    def _insert(self, ids: Int64s, slots: Int64s, new: np.ndarray[Any, Any], n_new: Int64s) -> None:
        """As many as there is room for; then make more room."""
        limit = self._table.n_blocks * _MOST
        _code()["insert"](
            *self._table.given, limit, inserted.MOST_SLOTS, address(ids), len(ids), address(slots),
            address(new[0]), address(new[1]), address(n_new),
            address(self._free), address(self._head),
        )  # fmt: skip
        if self._head[DONE] < len(ids):
            if self._head[COUNT] < limit:
                raise too_many_slots()
            self._grow(int(n_new[0]), len(ids))

    def remove(self, ids: Int64s) -> Int64s:
        """The slots that become free, on top of the stack in this order; -1 for ids that are missing."""
        slots = np.empty(len(ids), np.int64)
        self._make_room_for_free(int(self._head[N_FREE]) + min(len(ids), self.count))
        _code()["remove"](
            *self._table.given, address(ids), len(ids), address(slots),
            address(self._free), address(self._head),
        )  # fmt: skip
        self._fit()
        return slots

    def pairs(self) -> tuple[Int64s, Int64s]:
        """All ids and their slots, in any order."""
        blocks = self._table.blocks
        used = np.arange(PER_BLOCK) < blocks["used"][:, None]
        return blocks["ids"][used], blocks["slots"][used].astype(np.int64)

    def put(self, ids: Int64s, slots: Int64s, free: Int64s) -> int:
        """Fill this object, which must be new, with pairs and a stack; how many come before an id that was there."""
        self._table = _empty(max(_blocks_for(len(ids)), self._fewest), self._table.seed)
        self._free = free.astype(np.uint32)
        _code()["place"](*self._table.given, address(ids), address(slots), len(ids), address(self._head))
        self._head[[COUNT, N_SLOTS, N_FREE]] = len(ids), len(ids) + len(free), len(free)
        return int(self._head[DONE])

    def reserve(self, n: int) -> None:
        fewest = max(_blocks_for(n), self._fewest)
        if fewest > self._table.n_blocks:
            self._rebuild(fewest)
        self._fewest = fewest

    def has_room(self, n: int) -> bool:
        return self.count + n <= self._table.n_blocks * _MOST

    def make_room(self, n: int) -> None:
        """Grow as an insertion of `n` ids might, so that it need not."""
        if not self.has_room(n):
            self._rebuild(max(_blocks_for(self.count + n), self._table.n_blocks * 7 // 5 + 1))

    def copy(self) -> NativePairs:
        made = NativePairs.__new__(NativePairs)
        made._fewest, made._head, made._free = self._fewest, self._head.copy(), self._free.copy()
        made._table = _empty(self._table.n_blocks, self._table.seed)
        made._table.blocks[:] = self._table.blocks
        return made

    def _grow(self, n_new: int, n: int) -> None:
        """Room for more ids: for the rest of a batch of `n` at once, if it goes on having as many new ones."""
        expected = self.count + n_new * n // max(1, int(self._head[DONE])) - n_new
        self._rebuild(max(self._table.n_blocks * 7 // 5 + 1, _blocks_for(expected)))

    def _fit(self) -> None:
        """Give memory back that is too much for what is here now."""
        fitting = max(_blocks_for(self.count), self._fewest)
        with suppress(MemoryError):  # what is too large holds the same
            if self.count < self._table.n_blocks * _LEAST and fitting < self._table.n_blocks:
                self._rebuild(fitting)
            used = int(self._head[N_FREE])
            if len(self._free) > 1024 + used * 5 // 4:
                self._free = self._free[:used].copy()

    def _rebuild(self, n_blocks: int) -> None:
        """The same pairs in a table of another size; the old one is let go when the new one is complete."""
        made = _empty(n_blocks, self._table.seed)
        _code()["move"](*made.given, address(self._table.blocks), self._table.n_blocks)
        self._table = made

    def _undo(self, slots: Int64s, new: np.ndarray[Any, Any], n_new: int, before: Int64s) -> None:
        """Take out what was inserted. The stack is as it was, since what is taken off it stays behind its end."""
        ignored = np.zeros(4, np.int64)
        _code()["remove"](
            *self._table.given, address(new[1]), n_new, address(slots), address(new[0]),
            address(ignored),
        )  # fmt: skip
        self._head[:] = before
        self._fit()

    def _make_room_for_free(self, n: int) -> None:
        if n > len(self._free):
            made = np.empty(max(n, len(self._free) * 5 // 4), np.uint32)
            made[: len(self._free)] = self._free
            self._free = made


def _blocks_for(n: int) -> int:
    return max(1, math.ceil(n / _ROOMY))


def _empty(n_blocks: int, seed: int) -> _Table:
    """A table without ids; the system gives its memory when it is written to."""
    whole = np.zeros((n_blocks + 1) * BLOCK_BYTES, np.uint8)
    begin = -address(whole) % BLOCK_BYTES
    blocks = whole[begin : begin + n_blocks * BLOCK_BYTES].view(_BLOCK)
    return _Table(blocks, n_blocks, (address(blocks), n_blocks, seed))


def _mixed(seed: int) -> int:
    """A seed as 64 bits without pattern, signed."""
    x = word(seed)
    return x - (1 << 64) if x >> 63 else x


@cache
def _code() -> dict[str, Callable[..., None]]:
    return compile_written(*table_functions())

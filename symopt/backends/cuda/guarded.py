"""Memory that shows when a kernel leaves an array: canaries around it, and at one end a page that nobody may touch."""

from __future__ import annotations

import ctypes
import math
import mmap
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .device import DeviceArray, HostArray

ALIGNMENT = 16  # of an array's start: what a vector access needs
CANARY = b"\xa5" * (mmap.PAGESIZE + 2 * ALIGNMENT)
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}  # a forked child has copies of its own


class _Guard(NamedTuple):
    """Where an array lies in the memory at `address`: bytes [start, stop) of those between the pages that cannot be
    touched, which are the first one and that at `wall`."""

    address: int
    start: int
    stop: int
    wall: int
    described: str

    def beside(self, at: int) -> str:
        """Where a byte lies that is not the array's."""
        if at < self.start:
            return f"{self.start - at} bytes before {self.described}"
        return f"{at - self.stop} bytes after the end of {self.described}"


_guards: weakref.WeakKeyDictionary[mmap.mmap, _Guard] = weakref.WeakKeyDictionary()


def zeros(
    shape: int | Sequence[int], dtype: Any, offset: int = 0, begins_at_page: bool = False
) -> DeviceArray:
    """A NumPy array whose first byte is `offset` bytes after a multiple of 16. Its last one is at most 15 bytes before
    a page that nobody may touch; with `begins_at_page` the first is `offset` bytes after one instead. Its memory goes
    when the last view of it does."""
    size = math.prod(shape if isinstance(shape, Sequence) else (shape,)) * np.dtype(dtype).itemsize
    page = mmap.PAGESIZE
    wall = page - (-(size + 2 * ALIGNMENT) // page) * page
    memory = mmap.mmap(-1, wall + page, **PRIVATE)
    start = page + offset if begins_at_page else (wall - size - offset) // ALIGNMENT * ALIGNMENT + offset
    memory[page:start] = CANARY[: start - page]
    memory[start + size : wall] = CANARY[: wall - start - size]
    address = _address(memory)
    _forbid(address)
    _forbid(address + wall)
    array = np.frombuffer(memory, np.uint8, size, start).view(dtype).reshape(shape)
    _guards[memory] = _Guard(
        address, start, start + size, wall, f"the {array.dtype} array of shape {array.shape}"
    )
    return array


def damage() -> str | None:
    """Which array's canaries have been written over since the last call, and where; None if none."""
    for memory, guard in list(_guards.items()):
        for first, last in ((mmap.PAGESIZE, guard.start), (guard.stop, guard.wall)):
            found, whole = memory[first:last], CANARY[: last - first]
            if found != whole:
                memory[first:last] = whole
                at = first + next(i for i, byte in enumerate(found) if byte != CANARY[0])
                return guard.beside(at)
    return None


def regions() -> HostArray:
    """Where the arrays lie, by ascending addresses: (n, 4) numbers, bytes [start, stop) of the memory [from, to)."""
    guards = list(_guards.values())
    places = [(0, guard.start, guard.stop, guard.wall + mmap.PAGESIZE) for guard in guards]
    starts = [[guard.address] for guard in guards]
    found = np.array(places, np.uint64).reshape(-1, 4) + np.array(starts, np.uint64).reshape(-1, 1)
    return found[np.argsort(found[:, 0])]


def place_of(address: int) -> str:
    """Which byte of which array lies there; nothing for memory that is not guarded."""
    for guard in list(_guards.values()):
        at = address - guard.address
        if guard.start <= at < guard.stop:
            return f"byte {at - guard.start} of {guard.described}"
        if 0 <= at < guard.wall + mmap.PAGESIZE:
            return guard.beside(at)
    return ""


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _forbid(page: int) -> None:
    """No access to the page at this address."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), 0):
        raise MemoryError(
            f"cannot protect a page of memory: error {ctypes.get_errno()} of the operating system"
        )

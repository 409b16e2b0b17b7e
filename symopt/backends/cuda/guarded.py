"""Memory that shows when a kernel leaves an array: canaries around it, and at one end a page that nobody may touch."""

from __future__ import annotations

import ctypes
import math
import mmap
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .device import DeviceArray

ALIGNMENT = 16  # of an array's start: what a vector access needs
CANARY = b"\xa5" * (mmap.PAGESIZE + 2 * ALIGNMENT)
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}  # a forked child has copies of its own


class _Guard(NamedTuple):
    """Where an array lies in its memory: bytes [start, stop) of those between the pages that cannot be touched, which
    are the first one and that at `wall`."""

    start: int
    stop: int
    wall: int
    described: str


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
    _forbid(memory, 0)
    _forbid(memory, wall)
    array = np.frombuffer(memory, np.uint8, size, start).view(dtype).reshape(shape)
    _guards[memory] = _Guard(start, start + size, wall, f"the {array.dtype} array of shape {array.shape}")
    return array


def damage() -> str | None:
    """Which array's canaries have been written over since the last call, and where; None if none."""
    for memory, guard in list(_guards.items()):
        for first, last in ((mmap.PAGESIZE, guard.start), (guard.stop, guard.wall)):
            found, whole = memory[first:last], CANARY[: last - first]
            if found != whole:
                memory[first:last] = whole
                at = first + next(i for i, byte in enumerate(found) if byte != CANARY[0])
                after = f"{at - guard.stop} bytes after the end of {guard.described}"
                return after if at >= guard.stop else f"{guard.start - at} bytes before {guard.described}"
    return None


def _forbid(memory: mmap.mmap, start: int) -> None:
    """No access to the page at `start`."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    page = (ctypes.c_void_p(address + start), ctypes.c_size_t(mmap.PAGESIZE))
    if libc.mprotect(*page, 0):
        raise MemoryError(
            f"cannot protect a page of memory: error {ctypes.get_errno()} of the operating system"
        )

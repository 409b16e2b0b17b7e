"""Telling the system which pages of a mapped file are wanted, so that the drive reads many at once."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...backends.jit import compile_function
from ...errors import DependencyError

Int64s = npt.NDArray[np.int64]
PAGE = mmap.PAGESIZE
_ASKED = 16  # pages that are looked at to guess whether the others are in memory
_WILLNEED: int | None = getattr(mmap, "MADV_WILLNEED", None)
_IR = """
define void @advise(ptr %madvise, i64 %base, ptr %begins, ptr %sizes, i64 %n, i64 %advice) {
entry:
  %how = trunc i64 %advice to i32
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %done
loop:
  %k = phi i64 [0, %entry], [%next, %loop]
  %begin.at = getelementptr i64, ptr %begins, i64 %k
  %begin = load i64, ptr %begin.at
  %size.at = getelementptr i64, ptr %sizes, i64 %k
  %size = load i64, ptr %size.at
  %address = add i64 %base, %begin
  %where = inttoptr i64 %address to ptr
  %ignored = call i32 %madvise(ptr %where, i64 %size, i32 %how)
  %next = add i64 %k, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def pages_of(slots: Int64s, stride: int) -> Int64s:
    """The numbers of the pages that records lie on, ascending, each once."""
    begins = slots * stride
    first, last = begins // PAGE, (begins + (stride - 1)) // PAGE
    most = -(-stride // PAGE)  # pages that a record touches beside its first
    every = [first, *(np.minimum(first + k, last) for k in range(1, most + 1))]
    return np.unique(np.concatenate(every))


def runs_of(pages: Int64s) -> tuple[Int64s, Int64s]:
    """Pages side by side as one: first bytes and lengths in bytes."""
    if not len(pages):
        return pages, pages
    breaks = np.flatnonzero(np.diff(pages) != 1)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(pages) - 1]])
    return pages[starts] * PAGE, (pages[ends] - pages[starts] + 1) * PAGE


def will_need(base: int, slots: Int64s, stride: int) -> None:
    """Ask for the pages of records of a mapping that begins at address `base`. It returns before they are there."""
    if _WILLNEED is not None and len(slots):
        begins, sizes = runs_of(pages_of(slots, stride))
        _advise()(base, begins, sizes, _WILLNEED)


def are_in_memory(base: int, slots: Int64s, stride: int) -> bool:
    """Whether all of some of the records are: a guess for the others."""
    mincore = _function("mincore")
    if mincore is None or not len(slots):
        return True
    some = slots[:: max(1, len(slots) // _ASKED)] * stride // PAGE * PAGE
    found = ctypes.c_ubyte()
    for begin in some.tolist():
        if mincore(base + begin, PAGE, ctypes.addressof(found)) == 0 and not found.value & 1:
            return False
    return True


@cache
def _function(name: str) -> Any:
    found = getattr(ctypes.CDLL(None), name, None)
    if found is not None:
        found.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p if name == "mincore" else ctypes.c_int,
        )
    return found


@cache
def _advise() -> Callable[[int, Int64s, Int64s, int], None]:
    """A function of a base address, first bytes, lengths, and an advice; by llvmlite, it releases the GIL once."""
    madvise = _function("madvise")

    def one_by_one(base: int, begins: Int64s, sizes: Int64s, advice: int) -> None:
        for begin, size in zip(begins.tolist(), sizes.tolist()):
            madvise(base + begin, size, advice)

    pointer, word = ctypes.c_void_p, ctypes.c_int64
    try:
        code = compile_function(_IR, "advise", pointer, word, pointer, pointer, word, word)
    except DependencyError:
        return one_by_one
    where = ctypes.cast(madvise, pointer).value

    def all_at_once(base: int, begins: Int64s, sizes: Int64s, advice: int) -> None:
        code(where, base, begins.ctypes.data, sizes.ctypes.data, len(begins), advice)

    return all_at_once

"""Where arrays lie in memory, and whether one that is updated in place shares memory with another.

Knows arrays of any place by what NumPy's and CuPy's have in common; looks at where their elements lie, never at them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from .arrays import Array
from .errors import ArrayError

Entry = tuple[str, Array, bool]
# NumPy's array interface for C (`__array_struct__`) is a struct in a capsule; its sixth word is the address.
_STRUCT = ctypes.PYFUNCTYPE(ctypes.POINTER(ctypes.c_int64), ctypes.py_object, ctypes.c_void_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_DATA = 5
_first_byte: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer


def check_overlap(entries: Sequence[Entry]) -> None:
    """ArrayError when an array that will be updated in place shares memory with any other one.

    `entries`: (name for the error, array, whether it is updated). Arrays that are only read may share.
    """
    entries = [e for e in entries if e[1].size]
    if len(entries) < 2:
        return
    low, high = _bounds([e[1] for e in entries])
    order = np.argsort(low, kind="stable")
    low, high = low[order], high[order]
    mutable = np.fromiter((e[2] for e in entries), np.bool_, len(entries))[order]
    for i in _candidates(low, high, mutable):
        before = np.flatnonzero((high[:i] > low[i]) & (mutable[:i] | mutable[i]))
        for j in before:
            _check_pair(entries[order[j]], entries[order[i]])


def _candidates(low: Array, high: Array, mutable: Array) -> Array:
    """Places in ascending `low` whose range meets an earlier one, one of the two being mutable."""
    nothing = low[0]
    reach = np.maximum.accumulate(high)[:-1]
    reach_mutable = np.maximum.accumulate(np.where(mutable, high, nothing))[:-1]
    return 1 + np.flatnonzero(low[1:] < np.where(mutable[1:], reach, reach_mutable))


def _bounds(arrays: list[Array]) -> tuple[Array, Array]:
    """First byte, and the byte after the last, of arrays that are not empty."""
    low = addresses(arrays)
    high = low + np.array([a.nbytes for a in arrays], np.int64)
    for i, array in enumerate(arrays):
        if not array.flags.c_contiguous:
            low[i], high[i] = span(array)
    return low, high


def _check_pair(a: Entry, b: Entry) -> None:
    if not shares_memory(a[1], b[1]):
        return
    updated, other = (a, b) if a[2] else (b, a)
    raise ArrayError(
        f"{updated[0]} is updated in place and shares memory with {other[0]}: give one of them a copy"
    )


def address(array: Array) -> int:
    """Where the first element of an array lies in its device's memory."""
    if isinstance(array, np.ndarray):
        capsule: Any = (
            array.__array_struct__
        )  # `__array_interface__` takes three times as long: it makes texts
        return int(_STRUCT(capsule, None)[_DATA])
    return int(array.data.ptr)  # cupy.ndarray


def addresses(arrays: Collection[Array]) -> Array:
    """Where the first element of each array lies, as int64."""
    try:  # the fastest way, for those that have a contiguous buffer which may be written to
        return np.fromiter(map(ctypes.addressof, map(_first_byte, arrays)), np.int64, len(arrays))
    except (BufferError, TypeError, ValueError):
        return np.fromiter(map(address, arrays), np.int64, len(arrays))


def span(array: Array) -> tuple[int, int]:
    """First byte of an array's memory, and the byte after its last."""
    low = address(array)
    if array.flags.c_contiguous:
        return low, low + array.nbytes
    high = low + array.itemsize
    for n, stride in zip(array.shape, array.strides, strict=True):
        low, high = low + min((n - 1) * stride, 0), high + max((n - 1) * stride, 0)
    return low, high


def shares_memory(a: Array, b: Array) -> bool:
    """Whether two arrays have a byte in common. Looks at where their elements lie, never at the elements."""
    return np.shares_memory(_outline(a), _outline(b))


class _Outline:
    """What NumPy needs to know of an array to tell where its elements lie."""

    def __init__(self, array: Array) -> None:
        self.__array_interface__ = {
            "data": (address(array), True),
            "shape": array.shape,
            "strides": array.strides,
            "typestr": f"|V{array.itemsize}",
            "version": 3,
        }


def _outline(array: Array) -> Array:
    """A NumPy array that lies where an array of a device lies: to be compared, not to be read."""
    return array if isinstance(array, np.ndarray) else np.asarray(_Outline(array))

"""Which elements of an array are no finite numbers: read block by block, on any place, without array-sized copies.

Told by the bits of the exponent: no dtype needs arithmetic for it, and no NaN is ever computed with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array
from .dtypes import COMPONENT, ITEMSIZE
from .places import HOST, Place

BLOCK = 1 << 16  # elements that the host looks at together: they stay in its cache
BLOCK_ON_DEVICE = 1 << 24  # a device is asked less often than it could answer
EXPONENT: dict[str, tuple[Any, int]] = {
    "float16": (np.uint16, 0x7C00),
    "bfloat16": (np.uint16, 0x7F80),
    "float32": (np.uint32, 0x7F80_0000),
    "float64": (np.uint64, 0x7FF0_0000_0000_0000),
}
WHAT = ("nan", "inf", "-inf")


class Bad(NamedTuple):
    """Elements of one kind (nan, inf, -inf) in an array: how many, and the index of the first in row-major order. A
    complex number is nan if a part is, else inf if a part is infinite."""

    what: str
    times: int
    first: tuple[int, ...]


class Tally:
    """Counts by kind, of blocks in order."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(WHAT, 0)
        self.firsts: dict[str, int] = {}

    def add(self, values: Array, start: int) -> None:
        """Look at elements number `start`, start + 1, ... of an array."""
        for what, mask in _kinds(values).items():
            found = int(np.count_nonzero(mask))
            if found:
                self.counts[what] += found
                self.firsts.setdefault(what, start + int(mask.argmax()))

    def bad(self, shape: tuple[int, ...]) -> tuple[Bad, ...]:
        """What was found, the kind that comes first in the array first."""
        order = sorted(self.firsts, key=lambda what: self.firsts[what])
        return tuple(Bad(what, self.counts[what], _index(self.firsts[what], shape)) for what in order)


def scan(array: Array, place: Place = HOST) -> tuple[Bad, ...]:
    """What in an array is not finite; nothing if all is."""
    tally = Tally()
    for start, block in _blocks(array, place):
        if not _all_finite(block, place):
            tally.add(np.asarray(block if place is HOST else place.to_host(block)), start)
    return tally.bad(array.shape)


def scan_rows(array: Array, rows: Array, place: Place = HOST) -> tuple[Bad, ...]:
    """What is not finite in some rows of an array, which ascend; indices are those of the whole array."""
    found: dict[str, Bad] = {}
    width = max(int(np.prod(array.shape[1:])), 1)
    step = max((BLOCK if place is HOST else BLOCK_ON_DEVICE) // width, 1)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        with place.current():
            block = array[some]
        for what, times, (row, *rest) in scan(block, place):
            before = found.get(what)
            first = before.first if before else (int(some[row]), *rest)
            found[what] = Bad(what, times + (before.times if before else 0), first)
    return tuple(sorted(found.values(), key=lambda bad: bad.first))


def is_finite(array: Array, place: Place = HOST) -> bool:
    """Whether all of an array is finite."""
    return all(_all_finite(block, place) for _, block in _blocks(array, place))


def _blocks(array: Array, place: Place) -> Iterator[tuple[int, Array]]:
    """An array flat, piece by piece, each with the number of its first element."""
    size = BLOCK if place is HOST else BLOCK_ON_DEVICE
    if array.flags.c_contiguous or place is not HOST:
        with place.current():
            flat = array.reshape(-1)  # a view, or a device's copy of a strided array
            pieces = [(start, flat[start : start + size]) for start in range(0, array.size, size)]
        yield from pieces
    elif array.size:
        start = 0
        for piece in np.nditer(array, ["external_loop", "buffered"], order="C", buffersize=size):
            block = np.asarray(piece)
            yield start, block
            start += block.size


def _all_finite(block: Array, place: Place) -> bool:
    if not block.size:
        return True
    name = block.dtype.name
    unsigned, exponent = EXPONENT[COMPONENT.get(name, name)]
    with place.current():
        return bool(((block.view(unsigned) & unsigned(exponent)).max() != unsigned(exponent)).item())


def _kinds(values: Array) -> dict[str, Any]:
    """Masks of a block of the host's, by kind."""
    name = values.dtype.name
    if name in COMPONENT:
        parts = [_kinds(values.real), _kinds(values.imag)]
        nan = parts[0]["nan"] | parts[1]["nan"]
        infinite = parts[0]["inf"] | parts[0]["-inf"] | parts[1]["inf"] | parts[1]["-inf"]
        return {"nan": nan, "inf": infinite & ~nan, "-inf": np.zeros_like(nan)}
    unsigned, exponent = EXPONENT[name]
    bits = np.ascontiguousarray(values).view(unsigned)
    sign = unsigned(1 << (8 * ITEMSIZE[name] - 1))
    magnitude = bits & ~sign
    infinite = magnitude == unsigned(exponent)
    negative = (bits & sign) != 0
    return {"nan": magnitude > unsigned(exponent), "inf": infinite & ~negative, "-inf": infinite & negative}


def _index(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(flat, shape)) if shape else ()

"""Arrays on the wire: one flat buffer for each dtype, every array on a line of 64 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import to_numpy
from .cuts import LINE


class Layout(NamedTuple):
    """Where arrays lie: `dtypes` and `sizes` (elements) of the buffers, and (buffer, start, stop) of each array; None
    for those that are not there."""

    dtypes: tuple[str, ...]
    sizes: tuple[int, ...]
    places: tuple[tuple[int, int, int] | None, ...]

    def buffers(self) -> list[Any]:
        """New buffers, of zeros."""
        return [np.zeros(n, to_numpy(d)) for d, n in zip(self.dtypes, self.sizes, strict=True)]

    def views(self, buffers: Sequence[Any]) -> list[Any]:
        """The arrays in buffers: flat, or None."""
        return [None if p is None else buffers[p[0]][p[1] : p[2]] for p in self.places]


def layout(sizes: Sequence[int], dtypes: Sequence[str | None]) -> Layout:
    """Where arrays of so many elements and these dtypes lie; None: it is not there.

    >>> layout([3, 5, 2], ["float32", "bfloat16", "float32"])
    Layout(dtypes=('float32', 'bfloat16'), sizes=(18, 5), places=((0, 0, 3), (1, 0, 5), (0, 16, 18)))
    """
    ends: dict[str, int] = {}
    places: list[tuple[int, int, int] | None] = []
    for size, dtype in zip(sizes, dtypes, strict=True):
        if dtype is None:
            places.append(None)
            continue
        per_line = LINE // to_numpy(dtype).itemsize
        start = -(-ends.get(dtype, 0) // per_line) * per_line
        ends[dtype] = start + size
        places.append((list(ends).index(dtype), start, start + size))
    return Layout(tuple(ends), tuple(ends.values()), tuple(places))

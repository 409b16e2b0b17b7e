"""An array that is made while it is saved: it never is in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ShapeError
from .dtypes import size_of


@dataclass(frozen=True)
class Streamed:
    """In the place of an array in a tree to save: `pieces()` gives its rows in order, as arrays of the dtype. It is
    called once, when the tensor is written."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterator[Array]]

    def as_bytes(self, name: str) -> Iterator[Array]:
        """The bytes of the pieces. ShapeError if they are not as many as the shape says."""
        total, expected = 0, size_of(name, self.shape)
        for piece in self.pieces():
            data = as_stored(piece)
            total += len(data)
            if piece.dtype != self.dtype or total > expected:
                raise ShapeError(
                    f"a piece of {piece.shape} {piece.dtype} does not fit an array of {self.shape} {self.dtype}, of "
                    f"which {expected - total + len(data):,} bytes are left"
                )
            yield data
        if total < expected:
            raise ShapeError(
                f"the pieces of an array of {self.shape} {self.dtype} have {total:,} bytes, not {expected:,}"
            )


def as_stored(array: Array) -> Array:
    """The bytes of an array as they are stored, without a copy where it is contiguous."""
    array = np.ascontiguousarray(array).reshape(-1)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).view(np.uint8)

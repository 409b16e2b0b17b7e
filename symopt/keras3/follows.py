"""Entries of Keras's lists that follow from others, or say nothing: made when read, and not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ShapeError
from ..places import Place
from .kept import Kept


class Follows:
    """Looks like a variable: `read` gives its value, and what is assigned is looked at and left."""

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: Any, place: Place, read: Callable[[], Any]
    ) -> None:
        self.name = self.path = name
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._place, self._read = place, read

    @property
    def value(self) -> Any:
        with self._place.current():
            return self._read()

    def numpy(self) -> Array:
        """Its value on the host."""
        return self._place.to_host(self.value)

    def assign(self, value: Any) -> Follows:
        """ShapeError for a value of another shape."""
        if np.shape(value) != self.shape:
            raise ShapeError(
                f"variable {self.name!r} has shape {self.shape}, got a value of {np.shape(value)}"
            )
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.numpy(), dtype)


def second_moment(one: Kept) -> Follows:
    """What Adafactor's row and col stand for: Keras's list has it after them."""

    def read() -> Any:
        row, col = one.slots["row"].value, one.slots["col"].value
        mean = row.mean(-1, keepdims=True)
        return (row / (mean + (mean == 0)))[..., None] * col[..., None, :]

    view = one.known.view
    return Follows(f"{one.path}_velocity", view.shape, view.dtype, one.place, read)


def nothing(one: Kept) -> Follows:
    """The number 0: Keras's list has one for the row of a vector, and for its col."""
    return Follows(
        f"{one.path}", (), np.float32, one.place, lambda: one.place.zeros((), np.dtype(np.float32))
    )

"""What Keras lists among Adafactor's variables, and symopt does not keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ShapeError
from ..keras.variables import Variable
from ..places import place_of_array


class Factored:
    """The second moments of a matrix, made of those of its rows (*batch, rows) and columns (*batch, columns).

    Reads as a variable (*batch, rows, columns). Keras makes it anew at every step, so what is assigned has no effect.

    >>> row, col = Variable([1.0, 3.0], "row"), Variable([2.0, 4.0], "col")
    >>> Factored(row, col, "velocity").numpy()
    array([[1., 2.],
           [3., 6.]], dtype=float32)
    """

    trainable = False

    def __init__(self, row: Variable, col: Variable, name: str) -> None:
        self._row, self._col = row, col
        self.name = self.path = name
        self.shape = (*row.shape, col.shape[-1])
        self.ndim = len(self.shape)
        self.dtype = row.dtype

    @property
    def value(self) -> Array:
        """The moments, where the variable lies; 0 where nothing was summed yet."""
        row, col = self._row.value, self._col.value
        place = place_of_array(row)
        with place.current():
            mean = row.mean(-1, keepdims=True)
            mean = place.xp.where(mean == 0, place.xp.ones_like(mean), mean)
            made: Array = (row / mean)[..., None] * col[..., None, :]
            return made

    def numpy(self) -> Array:
        """The moments, on the host."""
        return place_of_array(self._row.value).to_host(self.value)

    def assign(self, value: Any) -> Factored:
        """ShapeError for another shape; there is nothing to keep."""
        if np.shape(value) != self.shape:
            raise ShapeError(
                f"variable {self.name!r} has shape {self.shape}, got a value of {np.shape(value)}"
            )
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.numpy(), dtype)

    def __repr__(self) -> str:
        return f"<Factored {self.name!r} shape={self.shape} dtype={self.dtype.name}>"

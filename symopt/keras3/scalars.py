"""Numbers of an optimizer that are variables too: the count of steps, the learning rate, the loss scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..keras.variables import Variable


class Scalar(NDArrayOperatorsMixin, Variable):
    """A variable of shape () on the host, int64 or float64, that also counts as the number it holds.

    >>> count = Scalar(2, "iteration")
    >>> count + 1, int(count), count == 2
    (3, 2, True)
    """

    __hash__ = object.__hash__

    def __init__(self, number: int | float, name: str) -> None:
        super().__init__(np.array(number, np.int64 if isinstance(number, int) else np.float64), name, trainable=False)

    def item(self) -> Any:
        """The number, as Python's."""
        return self._array.item()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Arithmetic and comparison are those of the number: the result is no variable."""
        given = [x._array[()] if isinstance(x, Scalar) else x for x in inputs]
        result = getattr(ufunc, method)(*given, **options)
        return result.item() if isinstance(result, np.generic) else result

    def __int__(self) -> int:
        return int(self._array)

    __index__ = __int__

    def __float__(self) -> float:
        return float(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __repr__(self) -> str:
        return f"<Scalar {self.name!r} {self.item()}>"

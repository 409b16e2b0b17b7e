"""Numbers that act like Keras's variables: a count that others can hold, and the value of a hyperparameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..given import Given
from .numbers import plain_number


class Scalar(NDArrayOperatorsMixin):
    """One number of the host that changes, such as an optimizer's `iterations`; calculates like NumPy's.

    >>> count = Scalar(3, "count")
    >>> later = count.assign_add(2)
    >>> count == 5, int(count), count.numpy()
    (np.True_, 5, np.int64(5))
    """

    shape: tuple[int, ...] = ()
    ndim = 0

    def __init__(self, value: int | float, name: str, dtype: Any = np.int64) -> None:
        self.dtype = np.dtype(dtype)
        self.name = name
        self.value: int | float = value

    def numpy(self) -> Any:
        """The number as NumPy's."""
        return self.dtype.type(self.value)

    def assign(self, value: Any) -> Scalar:
        """Change the number. AttributeValueError for what is no real number."""
        number = plain_number(value, self.name)
        self.value = int(number) if self.dtype.kind == "i" else float(number)
        return self

    def assign_add(self, value: Any) -> Scalar:
        """Add to the number."""
        return self.assign(self.value + plain_number(value, self.name))

    def planned(self, given: Given, name: str) -> int | float:
        """The value that a state has under this name."""
        if self.dtype.kind == "i":
            return given.count(name, int(self.value))
        return given.number(name, float(self.value))

    def __int__(self) -> int:
        return int(self.value)

    __index__ = __int__

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.value, dtype or self.dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
        plain = [x.numpy() if isinstance(x, Scalar) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **more)

    def __repr__(self) -> str:
        return f"<Scalar {self.name!r} {self.value}>"


class Hyper(float):
    """The value that a hyperparameter has now: a float, with `numpy` and `assign` as Keras's variables have them."""

    _assign: Callable[[Any], None]

    @classmethod
    def of(cls, value: float, assign: Callable[[Any], None]) -> Hyper:
        """`assign(value)` changes the hyperparameter that this is the value of."""
        made = cls(value)
        made._assign = assign
        return made

    def numpy(self) -> Any:
        """The value as NumPy's, in float64."""
        return np.float64(self)

    def assign(self, value: Any) -> None:
        """Change the hyperparameter. This number stays as it is: read the attribute again."""
        self._assign(value)

    def __reduce__(self) -> Any:
        return float, (float(self),)

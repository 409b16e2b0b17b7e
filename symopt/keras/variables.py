"""Variables: arrays with a name, a constraint and methods, as Keras's have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import canonical, to_numpy
from ..errors import ShapeError
from ..places import HOST, from_host, place_of_array


class Variable:
    """An array with a name, updated in place: of shape `value.shape`, wherever `value` lies.

    `value` is NumPy's, CuPy's, torch's or anything else that can be bound; its memory is the variable's. Lists and
    numbers become arrays of float32, or of `dtype`. `constraint(array)` gives what the array becomes after each
    update; `trainable` is kept for those who read it. DTypeError, ArrayError, DeviceError for what cannot be updated.

    >>> w = Variable(np.zeros(3), name="kernel")
    >>> w.assign_add([1.0, 2.0, 3.0]).numpy()
    array([1., 2., 3.])
    """

    def __init__(
        self,
        value: Any,
        name: str | None = None,
        trainable: bool = True,
        constraint: Callable[[Any], Any] | None = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(value, (list, tuple, int, float, complex)):
            value = np.array(value, np.float32 if dtype is None else to_numpy(canonical(dtype)))
        elif dtype is not None and value.dtype != to_numpy(canonical(dtype)):
            value = value.astype(to_numpy(canonical(dtype)))
        self._place = place_of_array(value)
        self._array = self._place.as_array(value, f"the value of variable {name or ''}".strip(), mutable=True)
        self._name = "Variable:0" if name is None else str(name)
        self.is_named = name is not None
        self._value = value
        self.trainable = bool(trainable)
        self.constraint = constraint

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what looks at the memory of `value`, of which a copy has its own."""
        return {name: value for name, value in vars(self).items() if name not in ("_place", "_array")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._place = place_of_array(self._value)
        self._array = self._place.as_array(self._value, f"the value of variable {self._name}", mutable=True)

    @property
    def name(self) -> str:
        """The name given, or "Variable:0"."""
        return self._name

    @property
    def path(self) -> str:
        """The name: what Keras 3 matches patterns with."""
        return self._name

    @property
    def value(self) -> Any:
        """The very array that was given."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._array.shape
        return shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    def numpy(self) -> Array:
        """A copy on the host."""
        return self._place.to_host(self._array)

    def assign(self, value: Any) -> Variable:
        """Copy values of this shape into the variable. ShapeError if they have another."""
        self._array[...] = self._as_here(value)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add values of this shape."""
        self._array[...] += self._as_here(value)
        return self

    def assign_sub(self, value: Any) -> Variable:
        """Subtract values of this shape."""
        self._array[...] -= self._as_here(value)
        return self

    def _as_here(self, value: Any) -> Any:
        """A value, of a variable, an array or a list, as an array of this shape, dtype and place."""
        if isinstance(value, Variable):
            value = value.value
        source = place_of_array(value)
        array = np.asarray(value) if source is HOST else source.view(value, "a value to assign")
        if array.shape != self.shape:
            raise ShapeError(f"variable {self.name!r} has shape {self.shape}, got a value of {array.shape}")
        if source is not self._place:
            array = source.to_host(array)
            return array if self._place is HOST else from_host(self._place, array.astype(self.dtype))
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.numpy(), dtype)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: Any) -> Any:
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array[index] = value

    def __repr__(self) -> str:
        return f"<Variable {self.name!r} shape={self.shape} dtype={self.dtype.name}>"

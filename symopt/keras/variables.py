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


class KnownVariables:
    """The variables that an optimizer has met, each with a key of its own for its state.

    Arrays are told apart as objects and are kept, so that an id is never another's; what they are called is found
    here too: what has no name is "Variable:0", then "Variable_1:0".
    """

    def __init__(self) -> None:
        self._by_id: dict[int, KnownVariable] = {}
        self._wrapped: dict[int, KnownVariable] = {}
        self._keys: set[str] = set()

    def __iter__(self) -> Any:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, variable: Any) -> KnownVariable | None:
        """What is known of a variable, if it was met before."""
        return self._by_id.get(id(variable)) or self._wrapped.get(id(variable))

    def meet(self, variable: Any) -> KnownVariable:
        """What is known of a variable, known from now on."""
        known = self.find(variable)
        if known is None:
            known = self.look_at(variable)
            self._keys.add(known.key)
            self._by_id[id(variable)] = known
        return known

    def wrapped(self, known: KnownVariable) -> Variable:
        """The so.Variable that was given, or one on the array that was, by which it is known too."""
        if isinstance(known.variable, Variable):
            return known.variable
        if known.wrapper is None:
            known.wrapper = Variable(known.array, known.name)
            self._wrapped[id(known.wrapper)] = known
        return known.wrapper

    def look_at(self, variable: Any) -> KnownVariable:
        """What would be known of a new variable. Errors if it cannot be updated in place."""
        name = given_name(variable)
        array = variable.value if isinstance(variable, Variable) else variable
        view = place_of_array(array).as_array(
            array, f"variable {name}" if name else "a variable", mutable=True
        )
        stem = (name or "Variable:0").partition(":")[0]
        key, count = stem, 0
        while key in self._keys:
            count += 1
            key = f"{stem}_{count}"
        return KnownVariable(variable, array, view, name or f"{key}:0", key)


class KnownVariable:
    """A variable as an optimizer sees it: the object given, the array to bind, how it is called, and the key of its
    state, which no other has."""

    __slots__ = ("array", "constraint", "key", "name", "variable", "view", "wrapper")

    def __init__(self, variable: Any, array: Any, view: Array, name: str, key: str) -> None:
        self.variable = variable
        self.array = array
        self.view = view
        self.name = name
        self.key = key
        self.constraint = getattr(variable, "constraint", None)
        self.wrapper: Variable | None = None  # a Variable on a bare array, for those who need one

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.view.shape
        return shape

    @property
    def ndim(self) -> int:
        return self.view.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.view.dtype


def given_name(variable: Any) -> str | None:
    """The name that a variable has itself: a Variable's, or that of an array with a `name`."""
    if isinstance(variable, Variable):
        return variable.name if variable.is_named else None
    name = getattr(variable, "name", None)
    return name if isinstance(name, str) and name else None

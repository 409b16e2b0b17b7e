"""What an optimizer keeps: arrays for each variable, numbers of its own, and the order in which they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import canonical, to_numpy
from ..errors import AttributeValueError, ShapeError, UnknownSlotError, near
from ..places import place_of_array
from .known import KnownVariable, KnownVariables
from .scalars import Scalar
from .variables import Variable

INITIALIZERS: Mapping[str, float] = {"zeros": 0.0, "zero": 0.0, "ones": 1.0, "one": 1.0}


class Slots:
    """Slots by variable and name. `weights`: all that was made, in order; `names`: of slots, as they came up."""

    def __init__(self) -> None:
        self.known = KnownVariables()
        self.weights: list[Variable | Scalar] = []
        self.names: list[str] = []
        self._of: dict[str, dict[str, Variable]] = {}

    def of(self, key: str) -> dict[str, Variable]:
        """The slots of a variable by name."""
        return self._of.setdefault(key, {})

    def get(self, variable: Any, name: str) -> Variable:
        """A slot. UnknownSlotError, a KeyError, for a variable or a name that is not known."""
        known = self.known.find(variable)
        if known is None:
            raise UnknownSlotError(
                f"no slots were made for this variable yet: apply_gradients makes them, or build([variable]); "
                f"known are {[k.name for k in self.known]}"
            )
        slots = self.of(known.key)
        if name not in slots:
            raise UnknownSlotError(
                f"variable {known.name!r} has no slot {name!r}{near(name, slots)}; it has {list(slots)}"
            )
        return slots[name]

    def mark(self) -> tuple[int, int, int]:
        """Where `back_to` goes back to."""
        return len(self.known), len(self.weights), len(self.names)

    def back_to(self, mark: tuple[int, int, int]) -> None:
        """Forget what was met and made since a mark."""
        n_known, n_weights, n_names = mark
        self.known.forget(n_known)
        del self.weights[n_weights:], self.names[n_names:]
        kept = set(map(id, self.weights))
        for key, slots in self._of.items():
            self._of[key] = {name: slot for name, slot in slots.items() if id(slot) in kept}

    def add(self, owner: str, known: KnownVariable, name: str, array: Any) -> Variable:
        """Keep an array as a slot, after all others."""
        slot = Variable(array, f"{owner}/{known.key}/{name}:0", trainable=False)
        self.of(known.key)[name] = slot
        self.weights.append(slot)
        if name not in self.names:
            self.names.append(name)
        return slot


def first_array(known: KnownVariable, initializer: Any, shape: Any) -> Array:
    """An array for a slot: of the variable's dtype and, unless `shape` says otherwise, its shape, beside it in memory.

    `initializer`: "zeros", "ones", a function of (shape, dtype), or the values themselves.
    """
    place = place_of_array(known.view)
    wanted = tuple(known.view.shape if shape is None else shape)
    array = place.zeros(wanted, known.view.dtype)
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            raise AttributeValueError(
                f"Unknown initializer: {initializer!r}{near(initializer, INITIALIZERS)}; "
                "give zeros, ones, a function of (shape, dtype), or values"
            )
        initializer = INITIALIZERS[initializer]
    elif callable(initializer):
        initializer = initializer(wanted, known.view.dtype)
    values = np.asarray(initializer) if place_of_array(initializer) is not place else initializer
    if np.shape(values) not in ((), wanted):
        raise ShapeError(
            f"a slot of {known.name!r} has shape {wanted}, the initializer gave {np.shape(values)}"
        )
    with place.current():
        array[...] = values
    return array


def new_weight(name: str, shape: Any, dtype: Any, initializer: Any) -> Variable:
    """A variable of zeros, or of what the initializer gives, on the host."""
    view = np.zeros(tuple(shape or ()), to_numpy(canonical(dtype)))
    known = KnownVariable(view, name, name)
    return Variable(first_array(known, initializer, None), name)


def plan_weights(name: str, weights: Sequence[Variable | Scalar], given: Sequence[Any]) -> Callable[[], None]:
    """Compare a list of arrays with all weights, and give the function that copies it into them.

    AttributeValueError for another number of arrays, ShapeError for another shape.
    """
    if len(given) != len(weights):
        raise AttributeValueError(
            f"You called `set_weights(weights)` on optimizer {name} with a  weight list of length {len(given)}, but "
            f"the optimizer was expecting {len(weights)} weights. Provided weights: {str(given)[:50]}..."
        )
    arrays = [np.asarray(x) for x in given]
    for weight, array in zip(weights, arrays):
        if weight.shape != array.shape:
            raise ShapeError(
                f"Optimizer weight shape {weight.shape} not compatible with provided weight shape {array.shape}."
                f" ({weight.name})"
            )

    def commit() -> None:
        for weight, array in zip(weights, arrays):
            weight.assign(array)

    return commit

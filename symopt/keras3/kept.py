"""What an optimizer keeps for each variable, and variables it makes for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import canonical, to_numpy
from ..errors import AttributeValueError
from ..keras.variables import KnownVariable, Variable
from ..places import HOST, Place, place_of_array
from ..training.update import Update, new_states, zeros_beside
from .rules import Rule, slot_shape


class Kept:
    """One variable, its rule, and its arrays.

    `weight`: what is bound; an array of shape () as one of shape (1,), since graphs take shape () for numbers.
    `states`: by the op's names. `slots`: the variables that show them, and what else is kept, by Keras's names.
    `bound`: the arrays beside the weight by the graph's names for them.
    """

    def __init__(self, known: KnownVariable, rule: Rule | None) -> None:
        self.known = known
        self.key = known.key
        self.rule = rule
        self.is_scalar = known.view.shape == ()
        self.weight: Any = known.view.reshape((1,)) if self.is_scalar else known.array
        self.overwritten = bool(getattr(known.variable, "overwrite_with_gradient", False))
        self.bound: dict[str, Array] = {}
        self.slots: dict[str, Variable] = {}
        self.has_sum = False  # a gradient was accumulated since the last update

    @property
    def place(self) -> Place:
        return place_of_array(self.known.view)

    def keep(self, kind: str, slot: str, array: Array) -> None:
        """Keep an array of the graph's, shown as the slot of that name."""
        self.bound[kind] = array
        shown = array.reshape(slot_shape(slot, self.known.view.shape))
        self.slots[slot] = Variable(shown, f"{self.path}_{slot}", trainable=False)

    def keep_zeros(self, kind: str, slot: str) -> None:
        self.keep(kind, slot, zeros_beside(self.weight))

    def keep_states(self, attrs: dict[str, Any]) -> None:
        """Make the states of the rule. `attrs`: the op's attributes as numbers."""
        assert self.rule is not None
        rule = self.rule
        states = new_states(Update(op=rule.op, attrs=attrs, initial=rule.initial), self.weight)
        for slot, state in rule.slots.items():
            self.keep(state, slot, states[state])

    @property
    def path(self) -> str:
        """The variable's name as it is in the names of its slots."""
        return self.known.name.partition(":")[0].replace("/", "_")


Initializer = str | float | Callable[..., Any] | Any


def new_variable(
    shape: Sequence[int], initializer: Initializer, dtype: Any, name: str, place: Place = HOST
) -> Variable:
    """A variable of an optimizer's own. `initializer`: "zeros", "ones", a number, or a function of (shape, dtype)."""
    dtype = to_numpy(canonical(dtype or "float32"))
    array = place.zeros(tuple(shape), dtype)
    with place.current():
        if callable(initializer):
            array[...] = initializer(tuple(shape), dtype)
        elif isinstance(initializer, str):
            if initializer not in ("zeros", "ones"):
                raise AttributeValueError(
                    f"initializer = {initializer!r} must be 'zeros', 'ones', a number, or a function of (shape, dtype)"
                )
            array[...] = float(initializer == "ones")
        else:
            array[...] = np.asarray(initializer)
    return Variable(array, name, trainable=False)

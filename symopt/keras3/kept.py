"""What an optimizer keeps for each variable, and variables it makes for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import canonical, to_numpy
from ..errors import AttributeValueError
from ..keras.known import KnownVariable
from ..keras.variables import Variable
from ..places import HOST, Place, place_of_array
from ..training.update import Update, new_states, zeros_beside
from .rules import FullRule, slot_shape


class Kept:
    """One variable, its rule (None: an `update_step` in Python, or none), and what is kept for it.

    `weight`: what is bound; an array of shape () as one of shape (1,), since graphs take shape () for numbers.
    `bound`: the arrays beside it, by the graph's names for them; `slots`: variables that show them, by Keras's names.
    `shown`: the variable as subclasses get it. `has_sum`: a gradient was accumulated since the last update.
    """

    def __init__(self, known: KnownVariable, index: int) -> None:
        self.known = known
        self.key = known.key
        self.name = (
            f"{known.key}:0"  # in graphs; keys have no colon, so what is kept for one is no other's name
        )
        self.index = index
        self.rule: FullRule | None = None
        self.is_scalar = known.view.shape == ()
        self.overwritten = bool(getattr(known.variable, "overwrite_with_gradient", False))
        self.bound: dict[str, Array] = {}
        self.slots: dict[str, Variable] = {}
        self.has_sum = False

    def __getstate__(self) -> dict[str, Any]:
        """What is bound looks at the memory of what is shown, and so it must in a copy."""
        shapes = {kind: (slot, array.shape) for (kind, array), slot in zip(self.bound.items(), self.slots)}
        return {**vars(self), "bound": shapes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        shapes = state["bound"].items()
        self.bound = {kind: self.slots[slot].value.reshape(shape) for kind, (slot, shape) in shapes}

    @property
    def weight(self) -> Any:
        return self.known.view.reshape((1,)) if self.is_scalar else self.known.array

    @property
    def shown(self) -> Variable:
        variable = self.known.variable if self.known.wrapper is None else self.known.wrapper
        assert isinstance(variable, Variable)
        return variable

    @property
    def place(self) -> Place:
        return place_of_array(self.known.view)

    @property
    def path(self) -> str:
        """The variable's name as it is in the names of its slots."""
        return self.known.name.partition(":")[0].replace("/", "_")

    def arrays(self) -> dict[str, Any]:
        """Everything that graphs bind, by their names for it."""
        return {"": self.weight, **self.bound}

    def constrain(self) -> None:
        """Put the variable's constraint on it, if it has one."""
        constraint = self.known.constraint
        if constraint is not None:
            with self.place.current():
                self.known.view[...] = constraint(self.known.view)

    def keep(self, kind: str, slot: str, array: Array) -> Variable:
        """Keep an array of the graph's, shown as the slot of that name."""
        self.bound[kind] = array
        shown = array.reshape(slot_shape(slot, self.known.view.shape))
        self.slots[slot] = made = Variable(shown, f"{self.path}_{slot}", trainable=False)
        return made

    def keep_zeros(self, kind: str, slot: str) -> Variable:
        """Keep zeros like the weight."""
        return self.keep(kind, slot, zeros_beside(self.weight))

    def keep_states(self) -> None:
        """Make the states of the rule."""
        if self.rule is not None:
            states = new_states(
                Update(op=self.rule.op, attrs=self.rule.attrs, initial=self.rule.initial), self.weight
            )
            for slot, state in self.rule.slots.items():
                self.keep(state, slot, states[state])


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

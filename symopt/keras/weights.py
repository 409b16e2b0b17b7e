"""What an optimizer has learned so far: slots, lists of weights, and its state by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from ..errors import TooLateError
from ..state import Commit, Differences, load_state
from .scalars import Scalar
from .slots import Slots, first_array, new_weight, plan_weights
from .states import plan_state, state_of
from .updates import Updates
from .variables import Variable


class KeepsState:
    """The methods of `Optimizer` that give its state out and take it back."""

    _name: str
    _lock: RLock
    _slots: Slots
    _updates: Updates
    _iterations: Scalar | None
    _may_lack_iterations = False

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def iterations(self) -> Scalar:
        """How many steps were taken. Can be set, to a number or another optimizer's, until it is first used."""
        if self._iterations is None:
            self._iterations = Scalar(0, f"{self._name}/iter:0")
            self._slots.weights.append(self._iterations)
        return self._iterations

    @iterations.setter
    def iterations(self, value: Any) -> None:
        if self._iterations is not None:
            raise TooLateError(
                "Cannot set `iterations` to a new Variable after the Optimizer weights have been created. "
                "Use iterations.assign(number), or set it before the first apply_gradients."
            )
        count = value if isinstance(value, Scalar) else Scalar(0, f"{self._name}/iter:0").assign(value)
        self._iterations = count
        self._slots.weights.append(count)

    def _forget_since(self, mark: tuple[int, int, int]) -> None:
        """Be as at a mark of the slots: a step failed before it was taken."""
        self._slots.back_to(mark)
        self._updates.forget_products()
        if not any(weight is self._iterations for weight in self._slots.weights):
            self._iterations = None

    def add_slot(self, var: Any, slot_name: str, initializer: Any = "zeros", shape: Any = None) -> Variable:
        """The slot of that name, made if there is none: "zeros", "ones", a function of (shape, dtype), or values."""
        with self._lock:
            known = self._slots.known.meet(var)
            found = self._slots.of(known.key).get(slot_name)
            if found is None:
                array = first_array(known, initializer, shape)
                found = self._slots.add(self._name, known, slot_name, array)
            return found

    def get_slot(self, var: Any, slot_name: str) -> Variable:
        """A slot of a variable. UnknownSlotError, a KeyError, if there is none of that name."""
        return self._slots.get(var, slot_name)

    def get_slot_names(self) -> list[str]:
        """Names of slots, in the order in which they came up; none before the first step."""
        return list(self._slots.names)

    @property
    def weights(self) -> list[Variable | Scalar]:
        """`iterations`, then all slots, in the order in which they were made."""
        return list(self._slots.weights)

    def variables(self) -> list[Variable | Scalar]:
        """The same as `weights`."""
        return self.weights

    def add_weight(
        self,
        name: str,
        shape: Any = (),
        dtype: Any = "float32",
        initializer: Any = "zeros",
        trainable: Any = None,
    ) -> Variable:
        """A new variable of the optimizer's own, which is not among `weights` unless you append it."""
        return new_weight(name, shape, dtype, initializer)

    def get_weights(self) -> list[Any]:
        """Copies of all weights as NumPy arrays."""
        return [weight.numpy() for weight in self._slots.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into all weights, as `get_weights` gave them. ValueError if they are not as many, or of other
        shapes; nothing was changed then. Lists of older Keras are taken too: without iterations, or with vhat."""
        with self._lock:
            plan_weights(self._name, self._slots.weights, self._in_todays_order(list(weights)))()

    def _in_todays_order(self, weights: list[Any]) -> list[Any]:
        """A list of weights as older Keras wrote it, in the form of today's."""
        if self._may_lack_iterations and len(weights) == len(self._slots.weights) - 1:
            return [0, *weights]
        return weights

    def state_dict(self) -> dict[str, Any]:
        """`class`, `config`, `iterations`, `products` and, by variable and slot, `variables`: the arrays in use."""
        return state_of(self)

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """Compare a state with this optimizer's, and give the function that takes it over."""
        return plan_state(self, state, found, path)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state of the same class and variables, whole or, with a StateError, not at all.

        Slots must be there: call build(variables) before the first step. Hyperparameters stay as configured here.
        With strict=False what only one of both has is left; the result lists it.
        """
        with self._lock:
            return load_state(self, state, strict, f"{type(self).__name__} {self._name!r}")

"""The state of an optimizer: as lists in Keras's order, and by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError, StateError
from ..given import Given
from ..keras.scalars import Scalar
from ..state import Commit, Differences, load_state
from .options import DEFAULTS
from .steps import Steps

FORMAT = 1  # of state_dict


class KeepsState:
    """The methods of `Optimizer` that give its state out and take it back."""

    name: str
    built: bool
    hypers: ClassVar[tuple[str, ...]]
    _lock: RLock
    _steps: Steps
    _iterations: Scalar

    @property
    def learning_rate(self) -> Any:
        raise NotImplementedError

    @property
    def variables(self) -> list[Any]:
        raise NotImplementedError

    def get_weights(self) -> list[Any]:
        """Copies of `variables`, on the host."""
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy values into `variables`, all or none. ValueError before `build`, and if number or shapes do not fit."""
        if not self.built:
            raise StateError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. Please call "
                "`optimizer.build(trainable_variables)` to create the optimizer weights before"
            )
        with self._lock:
            _set_all(self.variables, weights)
            self._after_loading()

    def save_own_variables(self, store: Any) -> None:
        """Put copies of `variables` into a dict, as "0", "1" and so on. `state_dict` has names."""
        for k, variable in enumerate(self.variables):
            store[str(k)] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Take over what `save_own_variables` stored. StateError, and nothing taken over, if it does not fit."""
        with self._lock:
            _load(self.variables, store, self.name)
            self._after_loading()

    def state_dict(self) -> dict[str, Any]:
        """The state by the variables' names: counters, and what is kept for each; not weights, nor configuration, which
        the learning rate is. The arrays are those in use."""
        return _state_of(self)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state, whole or not at all: StateError lists everything that does not fit. strict=False leaves
        what only one side has; the result lists it."""
        with self._lock:
            return load_state(self, state, strict, f"optimizer {self.name!r}")

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """See symopt.state."""
        return _plan(self, state, found, path)

    def _after_loading(self) -> None:
        """Values were given to `variables`."""
        self._steps.look_at_sums()

    def _hyper(self) -> dict[str, Any]:
        """Settings, to be read."""
        settings = {name: getattr(self, name, None) for name in (*self.hypers, *DEFAULTS)}
        found = {
            name: x for name, x in settings.items() if isinstance(x, (bool, int, float, str, type(None)))
        }
        return {"learning_rate": float(self.learning_rate), **found}

    def _counters(self) -> dict[str, Scalar]:
        """Numbers that change from step to step, by name."""
        return {"iterations": self._iterations, **self._steps.products}


def _set_all(variables: Sequence[Any], given: Sequence[Any]) -> None:
    """Copy values into variables after looking at all of them."""
    if len(given) != len(variables):
        raise StateError(
            f"set_weights: the optimizer has {len(variables)} variables, the list given {len(given)}"
        )
    arrays = [np.asarray(value) for value in given]
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape:
            raise ShapeError(
                f"Optimizer variable {variable.name!r} has shape {tuple(variable.shape)} not compatible with provided "
                f"weight shape {array.shape}."
            )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _load(variables: Sequence[Any], store: Mapping[str, Any], name: str) -> None:
    wanted = [str(k) for k in range(len(variables))]
    if set(store) != set(wanted):
        raise StateError(
            f"optimizer {name!r} has {len(wanted)} variables, the store has {len(store)}: nothing was loaded. "
            "A learning rate is a variable only if it is a number, and others exist after build"
        )
    _set_all(variables, [store[key] for key in wanted])


def _state_of(optimizer: KeepsState) -> dict[str, Any]:
    steps = optimizer._steps
    steps.check_not_swapped("state_dict")
    parameters = {}
    for kept in steps.kept:
        parameters[kept.key] = {
            "rule": kept.rule.op.name if kept.rule is not None else "",
            "shape": list(kept.known.view.shape),
            "dtype": kept.known.view.dtype.name,
            "has_sum": kept.has_sum,
            "states": {slot: variable.value for slot, variable in kept.slots.items()},
        }
    return {
        "format": FORMAT,
        "class": type(optimizer).__name__,
        "hyper": optimizer._hyper(),
        **{name: scalar.value for name, scalar in optimizer._counters().items()},
        "parameters": parameters,
        "variables": {name: variable.value for name, variable in steps.added.items()},
    }


def _plan(optimizer: KeepsState, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    own, steps, given = _state_of(optimizer), optimizer._steps, Given(state, found, path)
    given.names({name: x for name, x in own.items() if name != "hyper" or name in given})
    given.same("format", own["format"])
    given.same("class", own["class"])
    counters = optimizer._counters()
    numbers = {name: scalar.planned(given, name) for name, scalar in counters.items()}
    commits = [given.arrays("variables", own["variables"])]
    parameters, sums = given.part("parameters"), {}
    for key in parameters.known(own["parameters"]):
        mine, theirs = own["parameters"][key], parameters.part(key)
        theirs.names(mine)
        for fact in ("rule", "shape", "dtype"):
            theirs.same(fact, mine[fact])
        sums[key] = theirs.flag("has_sum", mine["has_sum"])
        commits.append(theirs.arrays("states", mine["states"]))

    def commit() -> None:
        for write in commits:
            write()
        for name, scalar in counters.items():
            scalar.assign(numbers[name])
        for kept in steps.kept:
            kept.has_sum = sums.get(kept.key, kept.has_sum)

    return commit

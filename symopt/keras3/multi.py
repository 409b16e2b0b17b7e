"""Several optimizers as one: each variable has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, MissingArgumentError, UnknownMemberError
from ..given import Given
from ..keras.known import KnownVariables
from ..places import HOST, place_of_array
from ..slices import is_slices
from ..sparse import RowSparseArray
from ..state import Commit, Differences
from . import saving
from .loss_scale import LossScaleOptimizer
from .optimizer import Optimizer


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Optimizers by name of a variable, or by a pattern that matches all of it; `default_optimizer` for other names.

    >>> from symopt.keras3.optimizers import SGD, Adam
    >>> by_name = OptimizerMap(SGD(name="sgd"), {"embedding/.*": Adam(name="adam")})
    >>> by_name["embedding/table"].name, by_name["dense/kernel"].name
    ('adam', 'sgd')
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: Mapping[str, Optimizer] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise DTypeError(
                f"default_optimizer must be an Optimizer of Keras 3's, got {default_optimizer!r}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, Mapping):
            raise DTypeError(f"optimizer_map must be a dictionary, got {optimizer_map!r}")
        self.default_optimizer = default_optimizer
        self._by_pattern: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    def __getitem__(self, key: str) -> Optimizer:
        """The optimizer of a variable's name. ValueError if several patterns match it."""
        if key in self._by_pattern:
            return self._by_pattern[key]
        found = [pattern for pattern in self._by_pattern if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise AttributeValueError(f"Multiple optimizers assigned to variable {key!r}: patterns {found}")
        return self._by_pattern[found[0]] if found else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if not isinstance(key, str) or key in self._by_pattern:
            raise AttributeValueError(f"key must be a string that is not in the OptimizerMap, got {key!r}")
        check_inner(optimizer, f"the optimizer of {key!r}")
        self._by_pattern[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._by_pattern[key]

    def __len__(self) -> int:
        return len(self._by_pattern)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_pattern)

    def __call__(self, variable: Any) -> Optimizer:
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """The optimizers as plain data."""
        return {
            "default_optimizer": saving.serialize(self.default_optimizer),
            "optimizer_map": {key: saving.serialize(one) for key, one in self._by_pattern.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """What `get_config` described."""
        given = {k: saving.deserialize(v, custom_objects) for k, v in config["optimizer_map"].items()}
        return cls(saving.deserialize(config["default_optimizer"], custom_objects), given)


def check_inner(optimizer: Any, what: str) -> None:
    """ValueError for what can't be one of several optimizers."""
    if not isinstance(optimizer, Optimizer) or isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        raise AttributeValueError(
            f"{what} must be an Optimizer of Keras 3's, and neither a LossScaleOptimizer nor a MultiOptimizer, "
            f"got {optimizer!r}"
        )


class MultiOptimizer(Optimizer):
    """Each variable is updated by the optimizer that an OptimizerMap, or a function of the variable, gives for it.

    Optimizers keep their own counts, rates and options; they share nothing but the loss scale.

    >>> import numpy as np, symopt as so
    >>> from symopt.keras3.optimizers import SGD
    >>> a, b = (so.Variable(np.zeros(1), name=name) for name in "ab")
    >>> optimizer = MultiOptimizer(OptimizerMap(SGD(1.0), {"b": SGD(0.5)}))
    >>> optimizer.apply([np.ones(1), np.ones(1)], [a, b])
    >>> float(a.numpy()[0]), float(b.numpy()[0])
    (-1.0, -0.5)
    """

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Any], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)
        self.optimizer_map = optimizer_map
        self.optimizers: list[Optimizer] = []
        if isinstance(optimizer_map, OptimizerMap):
            for one in (*optimizer_map._by_pattern.values(), optimizer_map.default_optimizer):
                self._meet(one)
        self._known = KnownVariables()
        self._by_key: dict[str, Optimizer] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        """The loss scale is that of all optimizers."""
        super().__setattr__(name, value)
        if name == "loss_scale_factor":
            for one in vars(self).get("optimizers", ()):
                one.loss_scale_factor = self.loss_scale_factor

    def _meet(self, optimizer: Optimizer) -> None:
        if not any(optimizer is one for one in self.optimizers):
            self.optimizers.append(optimizer)
            optimizer.loss_scale_factor = self.loss_scale_factor

    def build(self, variables: Sequence[Any]) -> None:
        """Ask for each variable's optimizer, and build all of them."""
        with self._lock:
            if not self.built:
                self._build(variables)

    def _build(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            one = self.optimizer_map(variable)
            check_inner(one, f"the optimizer of variable {variable!r}")
            self._meet(one)
            self._by_key[self._known.meet(variable).key] = one
        for one in self.optimizers:
            own = [variable for variable in variables if self._of(variable) is one]
            if own:
                one.build(own)
        self.built = True

    def _of(self, variable: Any) -> Optimizer | None:
        """The optimizer of a variable, None if it is not known."""
        known = self._known.find(variable)
        return None if known is None else self._by_key[known.key]

    def _unbuild(self) -> None:
        super()._unbuild()
        self._known, self._by_key = KnownVariables(), {}
        for one in self.optimizers:
            one._unbuild()

    def _take(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        given = self._trained() if variables is None else list(variables)
        unknown = [v for v in given if self._of(v) is None]
        if unknown or len(given) != len(grads):
            raise AttributeValueError(
                f"Unknown variable: {unknown[0]!r}"
                if unknown
                else f"expected a gradient for each variable: got {len(grads)} for {len(given)}"
            )
        if all(g is None for g in grads):
            raise MissingArgumentError("No gradients provided for any variable.")
        if loss_scale is not None and not all(map(_is_finite, grads)):
            return False
        parts = []
        for one in self.optimizers:
            part = [(g, v) for g, v in zip(grads, given, strict=True) if self._of(v) is one]
            if any(g is not None for g, _ in part):
                parts.append((one, [g for g, _ in part], [v for _, v in part]))
        for one, own_grads, own in parts:
            one._steps.check(own_grads, own)  # all of them before the first is changed
        for one, own_grads, own in parts:
            one._apply(own_grads, own, loss_scale)
        self._iterations.assign_add(1)
        return True

    @property
    def learning_rate(self) -> Any:
        """UnknownMemberError, an AttributeError: each of `optimizers` has its own."""
        raise UnknownMemberError("a MultiOptimizer has no learning rate: each of its `optimizers` has one")

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise UnknownMemberError("a MultiOptimizer has no learning rate: set that of one of its `optimizers`")

    @property
    def variables(self) -> list[Any]:
        """The count of calls and a learning rate that has no effect, as in Keras; then those of all optimizers."""
        return [*super().variables, *(v for one in self.optimizers for v in one.variables)]

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """See Optimizer.exclude_from_weight_decay: for all optimizers."""
        for one in self.optimizers:
            one.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """See Optimizer.finalize_variable_values: each by its optimizer."""
        for one in self.optimizers:
            one.finalize_variable_values([v for v in var_list if self._of(v) is one])

    def swap(self) -> bool:
        """See Optimizer.swap: of those optimizers that have averages."""
        swapped = [one.swap() for one in self.optimizers if one.use_ema and one.built]
        return any(swapped)

    def _trained(self) -> list[Any]:
        return [known.variable for known in self._known]

    def _after_loading(self) -> None:
        for one in self.optimizers:
            one._after_loading()

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data. ValueError if optimizers are given by a function."""
        if not isinstance(self.optimizer_map, OptimizerMap):
            raise AttributeValueError("a function can't be written as data: give an OptimizerMap")
        return {
            "optimizer_map": self.optimizer_map.get_config(),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """What `get_config` described."""
        by_name = OptimizerMap.from_config(config["optimizer_map"], custom_objects)
        return cls(by_name, **{key: value for key, value in config.items() if key != "optimizer_map"})

    def state_dict(self) -> dict[str, Any]:
        """The count of calls, and the state of each optimizer, by its place among `optimizers`."""
        return {
            "class": type(self).__name__,
            "iterations": int(self._iterations),
            "optimizers": {str(k): one.state_dict() for k, one in enumerate(self.optimizers)},
        }

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """See symopt.state."""
        own, given = self.state_dict(), Given(state, found, path)
        given.names(own)
        given.same("class", own["class"])
        iterations, parts = given.count("iterations", own["iterations"]), given.part("optimizers")
        commits = [
            self.optimizers[int(name)].plan_load(parts.get(name), found, parts.at(name))
            for name in parts.names(own["optimizers"])
        ]

        def commit() -> None:
            for write in commits:
                write()
            self._iterations.assign(iterations)

        return commit


def _is_finite(grad: Any) -> bool:
    if grad is None:
        return True
    data = grad.values if is_slices(grad) else grad.data if isinstance(grad, RowSparseArray) else grad
    place = place_of_array(data)
    array = np.asarray(data) if place is HOST else place.view(data, "a gradient")
    with place.current():
        return bool(place.xp.isfinite(array).all())

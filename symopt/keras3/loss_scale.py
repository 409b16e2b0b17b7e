"""An optimizer that scales the loss, so that small gradients survive 16 bits, and finds the scale by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import AttributeValueError
from ..given import Given
from ..keras.numbers import positive
from ..keras.scalars import Scalar
from ..state import Commit, Differences
from ..training.scaling import rescaled
from . import saving
from .optimizer import Optimizer
from .options import DEFAULTS


class LossScaleOptimizer(Optimizer):
    """Wraps an optimizer, which gets gradients divided by `dynamic_scale`.

    Where a gradient is not finite the scale is halved and the step left out: nothing changes, no count advances. After
    `dynamic_growth_steps` finite steps in a row it doubles. Multiply the loss with `scale_loss`. `minimum_scale`: the
    scale stays at or above it (None, as in Keras: no bound). ValueError for options that belong to `inner_optimizer`.

    >>> import numpy as np, symopt as so
    >>> w = so.Variable(np.zeros(2))
    >>> optimizer = LossScaleOptimizer(so.keras3.optimizers.SGD(1.0), initial_scale=8.0)
    >>> optimizer.apply([np.array([8.0, 16.0])], [w])
    >>> optimizer.apply([np.array([np.inf, 0.0])], [w])
    >>> w.numpy(), optimizer.scale_loss(1.0), int(optimizer.iterations)
    (array([-1., -2.]), 4.0, 1)
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        minimum_scale: float | None = None,
        **unsupported: Any,
    ) -> None:
        if not unsupported.pop("dynamic", True):
            raise AttributeValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set `loss_scale_factor` "
                "directly on the `inner_optimizer`."
            )
        for key, value in unsupported.items():
            if key not in DEFAULTS:
                raise AttributeValueError(f"LossScaleOptimizer does not support arguments: `{key}`.")
            if value != DEFAULTS[key]:
                raise AttributeValueError(
                    f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on the `inner_optimizer`."
                )
        if not isinstance(inner_optimizer, Optimizer):
            raise AttributeValueError(
                f"inner_optimizer must be an Optimizer of Keras 3's, got {inner_optimizer!r}"
            )
        super().__init__(0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = positive(initial_scale, "initial_scale")
        self.dynamic_growth_steps = int(positive(dynamic_growth_steps, "dynamic_growth_steps"))
        self.minimum_scale = None if minimum_scale is None else positive(minimum_scale, "minimum_scale")
        self.step_counter = Scalar(0, "step_counter")
        self.dynamic_scale = Scalar(float(self.initial_scale), "dynamic_scale", np.float64)
        inner_optimizer.loss_scale_factor = None  # gradients would be scaled twice

    def build(self, variables: Sequence[Any]) -> None:
        """Build the inner optimizer."""
        with self._lock:
            if not self.built:
                self.inner_optimizer.build(variables)
                self._steps.own += [self.step_counter, self.dynamic_scale]
                self.built = True

    def _take(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        if loss_scale is not None:
            raise AttributeValueError("a LossScaleOptimizer can't be inside another one")
        is_taken = self.inner_optimizer._apply(grads, variables, float(self.dynamic_scale))
        self._rescale(is_taken)
        return is_taken

    def _unbuild(self) -> None:
        super()._unbuild()
        self.inner_optimizer._unbuild()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> Any:
        """See Optimizer.apply_gradients: returns the inner optimizer's count of calls that were taken."""
        super().apply_gradients(grads_and_vars)
        return self.inner_optimizer._iterations

    def _rescale(self, is_finite: bool) -> None:
        scale, counter = float(self.dynamic_scale), int(self.step_counter)
        floor = self.minimum_scale or 0.0
        scale, counter = rescaled(is_finite, scale, counter, self.dynamic_growth_steps, minimum=floor)
        self.dynamic_scale.assign(scale)
        self.step_counter.assign(counter)

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return loss * float(self.dynamic_scale)

    @property
    def iterations(self) -> Any:
        """Those of the inner optimizer: steps that were left out do not count."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self) -> Any:
        """That of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def variables(self) -> list[Any]:
        """Its own, then those of the inner optimizer."""
        return [*super().variables, *self.inner_optimizer.variables]

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """See Optimizer.exclude_from_weight_decay: for the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        """See Optimizer.finalize_variable_values: by the inner optimizer."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def swap(self) -> bool:
        """See Optimizer.swap: by the inner optimizer."""
        return self.inner_optimizer.swap()

    def _trained(self) -> list[Any]:
        return self.inner_optimizer._trained()

    def _after_loading(self) -> None:
        self.inner_optimizer._after_loading()

    def _twin(self) -> Any:
        from .stateless import fresh_copy

        twin: Any = fresh_copy(self)
        twin.inner_optimizer = self.inner_optimizer._twin()
        twin.step_counter, twin.dynamic_scale = (
            Scalar(x.value, x.name, x.dtype) for x in (self.step_counter, self.dynamic_scale)
        )
        twin.build(twin._trained())
        return twin

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain data, with the inner optimizer's."""
        floor = {} if self.minimum_scale is None else {"minimum_scale": self.minimum_scale}
        return {
            "name": self.name,
            "inner_optimizer": saving.serialize(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
            **floor,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """What `get_config` described."""
        inner = saving.deserialize(config["inner_optimizer"], custom_objects)
        return cls(inner, **{key: value for key, value in config.items() if key != "inner_optimizer"})

    def state_dict(self) -> dict[str, Any]:
        """The scale and its counter, and the state of the inner optimizer."""
        return {
            "class": type(self).__name__,
            "dynamic_scale": float(self.dynamic_scale),
            "step_counter": int(self.step_counter),
            "inner": self.inner_optimizer.state_dict(),
        }

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """See symopt.state."""
        own, given = self.state_dict(), Given(state, found, path)
        given.names(own)
        given.same("class", own["class"])
        scale = given.number("dynamic_scale", own["dynamic_scale"], above=0)
        counter = given.count("step_counter", own["step_counter"])
        commit_inner = self.inner_optimizer.plan_load(given.get("inner", {}), found, given.at("inner"))

        def commit() -> None:
            commit_inner()
            self.dynamic_scale.assign(scale)
            self.step_counter.assign(counter)

        return commit

"""Learning rates as functions of the step count: `so.keras.schedules`, tf.keras.optimizers.schedules.

All is computed on the host in float64. A step is a number or an array of them, counted from 0: an array gives an array,
element by element. Schedules are pure: what one gives depends on its arguments and the step only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import AttributeValueError
from .numbers import plain_number, positive
from .serialize import from_description, to_description

MODULE = "keras.optimizers.schedules"
CLOSE = 1e-9  # a quotient this near to a whole number is that number: s / 0.1 and logarithms are not exact


class LearningRateSchedule:
    """A learning rate that is a function of the step. Subclasses give `__call__(step)` and `get_config()`.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.5 ** (step // 10)
    >>> Halving()(20)
    0.25
    """

    def __call__(self, step: Any) -> Any:
        """The rate at a step, counted from 0."""
        raise NotImplementedError(
            f"{type(self).__name__} must define __call__(step), which gives a learning rate"
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain Python data."""
        raise NotImplementedError(
            f"{type(self).__name__} must define get_config(), the constructor's arguments"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The schedule that `get_config` gave the arguments of. TypeError for arguments that the class lacks."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """A schedule that keeps its arguments, in order: they are its configuration."""

    def __init__(self, **arguments: Any) -> None:
        self._config = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def __call__(self, step: Any) -> Any:
        steps = np.asarray(step, np.float64)
        if steps.size and not steps.min() >= 0:
            raise AttributeValueError(f"{type(self).__name__}: a step must be 0 or above, got {step!r}")
        rates = np.asarray(self._rates(steps), np.float64)
        return rates if steps.ndim else float(rates)

    def _rates(self, step: Any) -> Any:
        """Rates at an array of steps, in float64."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as given."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self._config.items()}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items() if v is not None)
        return f"{type(self).__name__}({arguments})"


class ExponentialDecay(_Decay):
    """initial * decay_rate^(step / decay_steps); `staircase` rounds the quotient down.

    >>> ExponentialDecay(0.5, decay_steps=10, decay_rate=0.5)(20)
    0.125
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            decay_steps=positive(decay_steps, "decay_steps"),
            decay_rate=plain_number(decay_rate, "decay_rate"),
            staircase=bool(staircase),
            name=name,
        )

    def _rates(self, step: Any) -> Any:
        done = _periods(step, self._config["decay_steps"], self._config["staircase"])
        return self._config["initial_learning_rate"] * np.power(float(self._config["decay_rate"]), done)


class InverseTimeDecay(ExponentialDecay):
    """initial / (1 + decay_rate * step / decay_steps); `staircase` rounds the quotient down.

    >>> InverseTimeDecay(0.5, decay_steps=10, decay_rate=1.0)(10)
    0.25
    """

    def _rates(self, step: Any) -> Any:
        done = _periods(step, self._config["decay_steps"], self._config["staircase"])
        return self._config["initial_learning_rate"] / (1 + self._config["decay_rate"] * done)


class PiecewiseConstantDecay(_Decay):
    """values[i] up to and including the step boundaries[i], then the next value.

    ValueError unless there is one value more than boundaries, and boundaries ascend.

    >>> PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])([10, 11, 21])
    array([1. , 0.5, 0.1])
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str | None = None) -> None:
        if len(boundaries) != len(values) - 1:
            raise AttributeValueError(
                "The length of boundaries should be 1 less than the length of values. "
                f"Received: boundaries={boundaries!r} of length {len(boundaries)}, "
                f"and values={values!r} of length {len(values)}."
            )
        bounds = [plain_number(b, f"boundaries[{k}]") for k, b in enumerate(boundaries)]
        if any(second <= first for first, second in zip(bounds, bounds[1:])):
            raise AttributeValueError(f"boundaries must ascend, got {bounds}")
        rates = [plain_number(v, f"values[{k}]") for k, v in enumerate(values)]
        super().__init__(boundaries=tuple(bounds), values=tuple(rates), name=name)

    def _rates(self, step: Any) -> Any:
        at = np.searchsorted(np.array(self._config["boundaries"], np.float64), step, side="left")
        return np.array(self._config["values"], np.float64)[at]


class PolynomialDecay(_Decay):
    """(initial - end) * (1 - step / decay_steps)^power + end, `end` from decay_steps on.

    With `cycle` the decay starts anew after each multiple of decay_steps, over all steps so far: at a multiple itself
    the rate is `end`.

    >>> PolynomialDecay(1.0, 4, end_learning_rate=0.0)([0, 1, 4, 9])
    array([1.  , 0.75, 0.  , 0.  ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            decay_steps=positive(decay_steps, "decay_steps"),
            end_learning_rate=plain_number(end_learning_rate, "end_learning_rate"),
            power=plain_number(power, "power"),
            cycle=bool(cycle),
            name=name,
        )

    def _rates(self, step: Any) -> Any:
        length, end = float(self._config["decay_steps"]), self._config["end_learning_rate"]
        if self._config["cycle"]:
            length = length * np.maximum(1, np.ceil(_whole(step / length)))
        left = np.maximum(1 - np.minimum(step, length) / length, 0.0)
        return (self._config["initial_learning_rate"] - end) * np.power(left, self._config["power"]) + end


class CosineDecay(_Decay):
    """Half a cosine from `initial` down to alpha * initial, over decay_steps [Loshchilov & Hutter 2016].

    With `warmup_target` the rate first goes linearly from `initial` to the target in warmup_steps, then the cosine
    from the target to alpha times the target.

    >>> CosineDecay(0.0, decay_steps=10, warmup_target=1.0, warmup_steps=4)([0, 2, 4, 9, 14])
    array([0. , 0.5, 1. , 0.5, 0. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = None,
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        steps = plain_number(warmup_steps, "warmup_steps")
        if steps < 0:
            raise AttributeValueError(f"warmup_steps must be 0 or above, got {steps!r}")
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            decay_steps=positive(decay_steps, "decay_steps"),
            alpha=plain_number(alpha, "alpha"),
            name=name,
            warmup_target=None if warmup_target is None else plain_number(warmup_target, "warmup_target"),
            warmup_steps=steps,
        )

    def _rates(self, step: Any) -> Any:
        first, target = self._config["initial_learning_rate"], self._config["warmup_target"]
        steps = 0 if target is None else self._config["warmup_steps"]
        top = first if target is None else target
        done = np.clip((step - steps) / self._config["decay_steps"], 0, 1)
        decayed = top * _cosine(done, self._config["alpha"])
        return np.where(step < steps, first + (top - first) * step / max(steps, 1e-300), decayed)


class CosineDecayRestarts(_Decay):
    """CosineDecay that starts anew, each time over `t_mul` times the steps and from `m_mul` times the rate.

    A restart is at exactly the step that its period begins with. With t_mul < 1 periods end at
    first_decay_steps / (1 - t_mul); from there on the rate is alpha * initial.

    >>> CosineDecayRestarts(1.0, first_decay_steps=10, t_mul=1.1)([0, 5, 10, 21])
    array([1. , 0.5, 1. , 1. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            initial_learning_rate=plain_number(initial_learning_rate, "initial_learning_rate"),
            first_decay_steps=positive(first_decay_steps, "first_decay_steps"),
            t_mul=positive(t_mul, "t_mul"),
            m_mul=plain_number(m_mul, "m_mul"),
            alpha=plain_number(alpha, "alpha"),
            name=name,
        )

    def _rates(self, step: Any) -> Any:
        alpha, ratio = self._config["alpha"], float(self._config["t_mul"])
        done = step / self._config["first_decay_steps"]
        restarts, done, is_over = _restarts(done, ratio)
        height = np.where(is_over, 0.0, np.power(float(self._config["m_mul"]), restarts))
        cosine = 0.5 * height * (1 + np.cos(np.pi * done))
        return self._config["initial_learning_rate"] * ((1 - alpha) * cosine + alpha)


def _periods(step: Any, length: float, staircase: bool) -> Any:
    return np.floor(_whole(step / length)) if staircase else step / length


def _whole(x: Any) -> Any:
    """x, or the whole number that it is next to."""
    nearest = np.round(x)
    return np.where(np.abs(x - nearest) <= CLOSE * np.maximum(1, np.abs(x)), nearest, x)


def _cosine(done: Any, alpha: float) -> Any:
    return (1 - alpha) * 0.5 * (1 + np.cos(np.pi * done)) + alpha


def _restarts(done: Any, ratio: float) -> tuple[Any, Any, Any]:
    """How many periods are over after `done` first periods, how much of the present one, and if none is left."""
    if ratio == 1:
        restarts = np.floor(_whole(done))
        return restarts, np.maximum(done - restarts, 0), np.zeros_like(done, bool)
    left = 1 - done * (1 - ratio)  # ratio ** the number of periods
    is_over = left <= CLOSE
    restarts = np.floor(_whole(np.log(np.where(is_over, 1, left)) / np.log(ratio)))
    begun = (1 - ratio**restarts) / (1 - ratio)
    return restarts, np.clip((done - begun) / ratio**restarts, 0, 1), is_over


CLASSES = {
    cls.__name__: cls
    for cls in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """A schedule as plain data: its class and its configuration.

    >>> serialize(PiecewiseConstantDecay([5], [1.0, 0.5]))["class_name"]
    'PiecewiseConstantDecay'
    """
    return to_description(schedule, CLASSES, MODULE)


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that `serialize` described; `custom_objects` has classes of one's own by name.

    ValueError for a class that is not known.
    """
    return from_description(config, CLASSES, custom_objects, "learning rate schedule")


__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

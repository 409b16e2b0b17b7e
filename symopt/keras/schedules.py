"""Learning rates as functions of the step count: `so.keras.schedules`, tf.keras.optimizers.schedules.

All is computed on the host in float64. A step is a number or an array of them, counted from 0: an array gives an array,
element by element. Schedules are pure: what one gives depends on its arguments and the step only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..decays import polynomial_decay, whole
from ..errors import AttributeValueError
from .cosines import CosineDecay, CosineDecayRestarts
from .numbers import plain_number, positive
from .schedule import Decay, LearningRateSchedule
from .serialize import from_description, to_description

MODULE = "keras.optimizers.schedules"


class ExponentialDecay(Decay):
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


class PiecewiseConstantDecay(Decay):
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
        if any(second <= first for first, second in pairwise(bounds)):
            raise AttributeValueError(f"boundaries must ascend, got {bounds}")
        rates = [plain_number(v, f"values[{k}]") for k, v in enumerate(values)]
        super().__init__(boundaries=tuple(bounds), values=tuple(rates), name=name)

    def _rates(self, step: Any) -> Any:
        at = np.searchsorted(np.array(self._config["boundaries"], np.float64), step, side="left")
        return np.array(self._config["values"], np.float64)[at]


class PolynomialDecay(Decay):
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
        config = self._config
        initial, end = config["initial_learning_rate"], config["end_learning_rate"]
        return polynomial_decay(step, initial, end, config["decay_steps"], config["power"], config["cycle"])


def _periods(step: Any, length: float, staircase: bool) -> Any:
    return np.floor(whole(step / length)) if staircase else step / length


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

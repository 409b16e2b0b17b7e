"""Learning rates as functions of the step: `so.keras3.schedules`, keras.optimizers.schedules of Keras 3.

The six of `so.keras.schedules`, under the names that Keras 3 gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..keras import schedules as tf2
from ..keras.schedules import MODULE, LearningRateSchedule
from ..keras.serialize import from_description, to_description


class ExponentialDecay(tf2.ExponentialDecay):
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
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)


class InverseTimeDecay(tf2.InverseTimeDecay):
    """initial / (1 + decay_rate * step / decay_steps); `staircase` rounds the quotient down.

    >>> InverseTimeDecay(0.5, decay_steps=10, decay_rate=1.0)(10)
    0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)


class PiecewiseConstantDecay(tf2.PiecewiseConstantDecay):
    """values[i] up to and including the step boundaries[i], then the next value. Keras 3 calls it PiecewiseConstant.

    >>> PiecewiseConstantDecay([10], [1.0, 0.5])([10, 11])
    array([1. , 0.5])
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        super().__init__(boundaries, values, name)


class PolynomialDecay(tf2.PolynomialDecay):
    """(initial - end) * (1 - step / decay_steps)^power + end; with `cycle`, again and again over longer times.

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
        name: str = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, end_learning_rate, power, cycle, name)


class CosineDecay(tf2.CosineDecay):
    """Half a cosine from `initial`, or after a warm-up from `warmup_target`, down to alpha times that.

    >>> CosineDecay(1.0, decay_steps=10)([0, 5, 10])
    array([1. , 0.5, 0. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, alpha, name, warmup_target, warmup_steps)


class CosineDecayRestarts(tf2.CosineDecayRestarts):
    """CosineDecay that starts anew, over `t_mul` times the steps and from `m_mul` times the rate. Keras 3 calls it
    SGDRDecay.

    >>> CosineDecayRestarts(1.0, first_decay_steps=10)([0, 5, 10])
    array([1. , 0.5, 1. ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        super().__init__(initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha, name)


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

    >>> serialize(PiecewiseConstantDecay([5], [1.0, 0.5]))["config"]
    {'boundaries': [5], 'values': [1.0, 0.5], 'name': 'PiecewiseConstant'}
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

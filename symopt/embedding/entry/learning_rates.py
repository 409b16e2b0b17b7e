"""Learning rates as functions of the global step, as Monolith's learning_rate_functions.py has them.

Monolith's functions take no argument and ask TensorFlow for the step. Here the step is their argument, counted from 0,
so what they give depends on their parameters and the step only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ...decays import polynomial_decay
from ...errors import AttributeValueError, FormatError, RuleError
from ...lr_scheduler import LRScheduler
from .arguments import UNSET, Spec, flag, number, positive
from .part import known_only, specs_of

KIND = "PolynomialDecay"
LearningRate = float | Callable[[int], float]
RATE = Spec("number", UNSET, low=0)


class LearningRateFunction:
    """A learning rate that is a function of the step. Subclasses give `__call__(global_step)`.

    `str` of one names its class and its parameters: functions with equal texts may share a segment or a table.
    """

    def __call__(self, global_step: int = 0) -> float:
        """The rate at a step, counted from 0."""
        raise RuleError(
            f"{type(self).__name__} must define __call__(global_step), which gives a learning rate"
        )

    def __str__(self) -> str:
        parameters = ",".join(f"{name}={value}" for name, value in sorted(vars(self).items()))
        return f'LearningRateFunction("{type(self).__name__}",Params:{parameters})'


@dataclass(frozen=True)
class PolynomialDecay(LearningRateFunction):
    """(initial - end) * (1 - step / decay_steps)^power + end, `end` from decay_steps on.

    With `cycle` the decay starts anew after each multiple of decay_steps, over all steps so far. The end may be above
    the initial rate: that is a warm-up.

    >>> warm_up = PolynomialDecay(0.0, decay_steps=100, end_learning_rate=0.5)
    >>> warm_up(0), warm_up(50), warm_up(100), warm_up(1000)
    (0.0, 0.25, 0.5, 0.5)
    """

    initial_learning_rate: float = number()
    decay_steps: float = positive()
    end_learning_rate: float = number(0.0001)
    power: float = number(1.0)
    cycle: bool = flag(False)
    name: str | None = None

    def __post_init__(self) -> None:
        for name, spec in specs_of(type(self)).items():
            object.__setattr__(self, name, spec.parse(getattr(self, name), f"PolynomialDecay: {name}"))

    def __call__(self, global_step: int = 0) -> float:
        step = np.array([global_step], np.float64)
        if not step[0] >= 0:
            raise AttributeValueError(f"PolynomialDecay: a step must be 0 or above, got {global_step!r}")
        first, last = self.initial_learning_rate, self.end_learning_rate
        return float(polynomial_decay(step, first, last, self.decay_steps, self.power, self.cycle)[0])

    __str__ = LearningRateFunction.__str__

    def as_dict(self) -> dict[str, Any]:
        """As plain data, which `from_dict` takes back."""
        return {KIND: asdict(self)}

    @classmethod
    def from_dict(cls, description: Any) -> PolynomialDecay:
        """The schedule that a dict describes. FormatError or UnknownArgumentError for what is none."""
        given = description.get(KIND) if isinstance(description, Mapping) and len(description) == 1 else None
        if not isinstance(given, Mapping):
            raise FormatError(
                f"a learning rate: expected a number or {{{KIND!r}: {{...}}}}, got {description!r}"
            )
        known_only(given, [f.name for f in fields(cls)], KIND)
        return cls(**given)


def check_learning_rate(given: Any, what: str) -> LearningRate:
    """A learning rate that is a number, or a function that can be called with the step.

    AttributeValueError (a ValueError) for anything else, such as a function of no argument.
    """
    if given is None:
        raise AttributeValueError(f"{what} must be a number or a function of the step, got None")
    if not callable(given):
        return float(RATE.parse(given, what))
    try:
        inspect.signature(given).bind(0)
    except TypeError:
        raise AttributeValueError(
            f"{what} = {given!r} must take one argument, the global step: in Monolith it asks TensorFlow for the step, "
            "here it is given"
        ) from None
    except ValueError:  # built in, without a signature
        pass
    made: LearningRate = given
    return made


def rate_at(given: LearningRate, step: int) -> float:
    """The number that a learning rate is at a step; schedulers of MXNet's count the first step as 1."""
    if isinstance(given, LRScheduler):
        return float(given(step + 1))
    return float(given(step) if callable(given) else given)


def rate_as_dict(given: LearningRate) -> Any:
    """A learning rate as plain data. FormatError for a function that cannot be written down."""
    if isinstance(given, PolynomialDecay):
        return given.as_dict()
    if callable(given):
        raise FormatError(f"the learning rate {given!r} cannot be written down: only numbers and {KIND} can")
    return float(given)

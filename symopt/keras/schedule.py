"""What learning rate schedules have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import AttributeValueError, RuleError


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
        raise RuleError(f"{type(self).__name__} must define __call__(step), which gives a learning rate")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain Python data."""
        raise RuleError(f"{type(self).__name__} must define get_config(), the constructor's arguments")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """The schedule that `get_config` gave the arguments of. TypeError for arguments that the class lacks."""
        return cls(**config)


class Decay(LearningRateSchedule):
    """A schedule that keeps its arguments, in order: they are its configuration."""

    def __init__(self, **arguments: Any) -> None:
        self._config = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def __call__(self, step: Any) -> Any:
        steps = np.asarray(step, np.float64)
        if steps.size and not steps.min() >= 0:
            raise AttributeValueError(f"{type(self).__name__}: a step must be 0 or above, got {step!r}")
        rates = np.asarray(
            self._rates(np.atleast_1d(steps)), np.float64
        )  # a number as an array of one: the same bits
        return rates if steps.ndim else float(rates[0])

    def _rates(self, step: Any) -> Any:
        """Rates at an array of steps, in float64."""
        raise RuleError(f"{type(self).__name__} has no rates")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as given."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self._config.items()}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items() if v is not None)
        return f"{type(self).__name__}({arguments})"

"""Hyperparameters: numbers, or what gives a number at each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import AttributeValueError
from .numbers import plain_number
from .scalars import Hyper, Scalar
from .schedule import LearningRateSchedule
from .schedules import deserialize, serialize
from .variables import Variable

# name: (lowest value, what the highest is, whether that is allowed)
RANGES: Mapping[str, tuple[float, float, bool]] = {
    "beta_1": (0.0, 1.0, False),
    "beta_2": (0.0, 1.0, False),
    "rho": (0.0, 1.0, True),
    "momentum": (0.0, 1.0, True),
    "learning_rate_power": (-np.inf, 0.0, True),
    **dict.fromkeys(
        ("learning_rate", "decay", "epsilon", "schedule_decay", "initial_accumulator_value", "beta",
         "l1_regularization_strength", "l2_regularization_strength", "l2_shrinkage_regularization_strength"),
        (0.0, np.inf, True),
    ),
}  # fmt: skip


def checked(name: str, value: Any) -> int | float:
    """A number that the hyperparameter `name` may be. AttributeValueError, a ValueError, for any other."""
    number = plain_number(value, name)
    low, high, is_included = RANGES.get(name, (-np.inf, np.inf, True))
    if not low <= number <= high or (number == high and not is_included):
        raise AttributeValueError(_refused(name, number, low, high, is_included))
    return number


def _refused(name: str, number: float, low: float, high: float, is_included: bool) -> str:
    got = f"Received: {name}={number!r} (of type {type(number)})."
    if name == "initial_accumulator_value":
        return f"{name} must be non-negative: {number!r}"
    if name == "momentum":
        return f"`momentum` must be between [0, 1]. {got}"
    if high == np.inf:
        return f"`{name}` needs to be positive or zero. {got}"
    if low == -np.inf:
        return f"`{name}` needs to be negative or zero. {got}"
    return f"`{name}` must be in [0, 1{']' if is_included else ')'}. {got}"


def accepted(name: str, value: Any) -> Any:
    """What is kept of a hyperparameter that is given: a number, a schedule, a function of no arguments, or a variable
    of one element, which is read at every step; a schedule's description becomes the schedule.

    AttributeValueError for anything else, and for numbers out of range.
    """
    if isinstance(value, Mapping) and "class_name" in value:
        return deserialize(value)
    if callable(value) and not isinstance(value, np.generic):
        return value
    if isinstance(value, (Scalar, Variable)) or (isinstance(value, np.ndarray) and value.ndim == 0):
        checked(name, np.asarray(value))
        return value
    return checked(name, value)


def is_constant(value: Any) -> bool:
    """Whether a hyperparameter has one value until it is set again."""
    return isinstance(value, (int, float))


def value_at(name: str, value: Any, iterations: int) -> float:
    """What a hyperparameter is after so many steps."""
    if is_constant(value):
        return float(value)
    if isinstance(value, LearningRateSchedule):
        value = value(iterations)
    elif callable(value):
        value = value()
    return float(checked(name, np.asarray(value)))


class Hypers:
    """The hyperparameters of an optimizer by name, each a number or what gives one."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._constants: dict[str, float] = {}
        self._changing: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def set(self, name: str, value: Any) -> Any:
        """Accept a value, see `accepted`; gives the one before, None if there was none."""
        before = self._values.get(name)
        self._values[name] = accepted(name, value)
        self._constants = {f"@{n}": float(v) for n, v in self._values.items() if is_constant(v)}
        self._changing = [n for n, v in self._values.items() if not is_constant(v)]
        return before

    def numbers(self, iterations: int) -> dict[str, float]:
        """All of them after so many steps, called @name; the learning rate with its decay."""
        numbers = dict(self._constants)
        for name in self._changing:
            numbers[f"@{name}"] = value_at(name, self._values[name], iterations)
        decay = numbers.get("@decay")
        if decay:
            numbers["@learning_rate"] /= 1 + decay * iterations
        return numbers

    def described(self, name: str) -> Any:
        """One as plain data: the number given, a schedule's description, or what a function gives now."""
        value = self._values[name]
        if is_constant(value):
            return value
        return serialize(value) if isinstance(value, LearningRateSchedule) else value_at(name, value, 0)

    def shown(self, name: str) -> Any:
        """What `optimizer.<name>` gives: a schedule itself, or the number that holds now."""
        value = self._values[name]
        if isinstance(value, LearningRateSchedule):
            return value
        return Hyper.of(value_at(name, value, 0), lambda number: self.set(name, number))

"""The options that every optimizer of Keras 3 takes, checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypedDict

from ..errors import AttributeValueError
from ..keras.hypers import checked
from ..keras.numbers import plain_number, positive
from ..keras.schedules import LearningRateSchedule

LearningRate = float | LearningRateSchedule | Callable[[], float]


class MoreOptions(TypedDict, total=False):
    """Keywords beside those of the class; `Optimizer` says what they do."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Options(MoreOptions, total=False):
    """Those of classes that have no weight decay of their own."""

    weight_decay: float | None


DEFAULTS: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")

_used: Counter[str] = Counter()  # names given so far, each with how often


def automatic_name(cls: type) -> str:
    """`adam`, then `adam_1` and so on, as Keras numbers them: per process and class.

    >>> automatic_name(type("SomeRule", (), {})), automatic_name(type("SomeRule", (), {}))
    ('some_rule', 'some_rule_1')
    """
    stem = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", cls.__name__)
    stem = re.sub(r"([a-z])([A-Z])", r"\1_\2", stem).lower()
    count = _used[stem]
    _used[stem] += 1
    return f"{stem}_{count}" if count else stem


def check_option(name: str, value: Any) -> Any:
    """An option's value, or the error that Keras raises for it and a few that it lets pass: numbers out of range."""
    if name == "use_ema":
        return bool(value)
    if value is None and DEFAULTS[name] is None:
        return None
    if name == "ema_momentum":
        return within(value, name, 0, 1)
    if name == "gradient_accumulation_steps":
        return _count(value, name, 2)
    if name == "ema_overwrite_frequency":
        return _count(value, name, 1)
    return at_least(value, name, 0) if name == "weight_decay" else positive(value, name)


def check_clips(given: dict[str, Any]) -> None:
    """ValueError for more than one clip."""
    if sum(given[name] is not None for name in CLIPS) > 1:
        received = ", ".join(f"{name}={given[name]!r}" for name in CLIPS)
        raise AttributeValueError(
            f"Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: {received}"
        )


def check_learning_rate(value: Any) -> Any:
    """A schedule or function as it is, or a real number >= 0 as a float."""
    if isinstance(value, LearningRateSchedule) or callable(value):
        return value
    try:
        return float(checked("learning_rate", value))
    except AttributeValueError as error:
        raise AttributeValueError(
            f"Argument `learning_rate` should be a number >= 0, a LearningRateSchedule, or a function without "
            f"arguments: {error}"
        ) from None


def _count(value: Any, name: str, least: int) -> int:
    if (
        isinstance(value, float)
        or (number := plain_number(value, name)) < least
        or not isinstance(number, int)
    ):
        raise AttributeValueError(
            f"`{name}` must be an integer >= {least} or None. Received: {name}={value!r}"
        )
    return number


def at_least(value: Any, name: str, bound: float) -> float:
    """A real number, no less than `bound`."""
    number = plain_number(value, name)
    if number < bound:
        raise AttributeValueError(f"`{name}` must be at least {bound}. Received: {name}={value!r}.")
    return number


def within(value: Any, name: str, low: float, high: float) -> float:
    """A real number between two others, or one of them."""
    number = plain_number(value, name)
    if not low <= number <= high:
        raise AttributeValueError(
            f"`{name}` must be in the range [{low}, {high}]. Received: {name}={value!r}"
        )
    return number

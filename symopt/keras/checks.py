"""What the constructors of optimizers accept."""

from __future__ import annotations

import re
import threading
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import AttributeValueError, UnknownArgumentError, near
from .hypers import checked
from .numbers import plain_number

CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
KWARGS = (*CLIPS, "decay", "lr")
EPSILON = 1e-7  # of epsilon=None

_names: Counter[str] = Counter()  # how many optimizers without a name there were, by class
_naming = threading.Lock()


def check_kwargs(kwargs: Mapping[str, Any]) -> None:
    """UnknownArgumentError, a TypeError, for keywords that no optimizer has; ValueError for negative ones."""
    for key, value in kwargs.items():
        if key not in KWARGS:
            raise UnknownArgumentError(
                f"Unexpected keyword argument passed to optimizer: {key}{near(key, KWARGS)}. "
                f"Allowed kwargs are {{{', '.join(map(repr, KWARGS))}}}."
            )
        if value is not None and key in CLIPS:
            checked_clip(key, value)
        elif value is not None and not callable(value) and key == "decay" and plain_number(value, key) < 0:
            raise AttributeValueError(f"Expected {key} >= 0, received: {value}")
    if "lr" in kwargs:
        warnings.warn("The `lr` argument is deprecated, use `learning_rate` instead.", stacklevel=4)


def checked_clip(name: str, value: Any) -> float:
    """A bound for gradients: a number that is not negative."""
    number = plain_number(value, name)
    if number < 0:
        raise AttributeValueError(f"Expected {name} >= 0, received: {number}")
    return number


def check_clips(kwargs: Mapping[str, Any], has_transformers: bool) -> None:
    """ValueError for clips that exclude each other."""
    given = [clip for clip in CLIPS if kwargs.get(clip) is not None]
    if {"clipnorm", "global_clipnorm"} <= set(given):
        raise AttributeValueError(
            f"Cannot accept both `clipnorm` and `global_clipnorm`, passed `clipnorm` {kwargs['clipnorm']}, "
            f"`global_clipnorm` {kwargs['global_clipnorm']}"
        )
    if given and has_transformers:
        raise AttributeValueError(
            f"{', '.join(f'`{g}`' for g in given)} cannot be set when `gradient_transformers` are given: "
            "clip in one of those"
        )


def checked_option(name: str, value: Any) -> Any:
    """An attribute that is a flag, or a number that holds for all steps. epsilon=None is Keras's default."""
    if name == "epsilon" and value is None:
        return EPSILON
    if name in ("nesterov", "centered", "amsgrad"):
        return bool(value)
    return checked(name, value)


def checked_name(name: Any, cls: str) -> str:
    """The name of an optimizer; "" and None give sgd, sgd_1 and so on, of the class."""
    if name and not isinstance(name, str):
        raise AttributeValueError(f"the name of an optimizer must be a string, got {name!r}")
    if name:
        return str(name)
    spaced = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", cls)
    stem = re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()
    with _naming:
        count = _names[stem]
        _names[stem] += 1
    return f"{stem}_{count}" if count else stem

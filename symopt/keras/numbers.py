"""Numbers that users give: checked, and kept as they are, in Python's own types."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from ..errors import AttributeValueError


def plain_number(value: Any, what: str) -> int | float:
    """A real number as Python's int or float, from Python, NumPy or an array of one element.

    AttributeValueError for anything else, and for NaN.
    """
    if isinstance(value, np.generic) or (hasattr(value, "item") and getattr(value, "size", 0) == 1):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise AttributeValueError(f"{what} must be a real number, got {value!r}")
    number = int(value) if isinstance(value, numbers.Integral) else float(value)
    if math.isnan(number):
        raise AttributeValueError(f"{what} must be a real number, got NaN")
    return number


def is_number(value: Any) -> bool:
    """Whether a value is a real number of Python's or NumPy's, and no flag."""
    return isinstance(value, (numbers.Real, np.generic)) and not isinstance(value, (bool, np.bool_))


def positive(value: Any, what: str) -> int | float:
    """A real number above zero."""
    number = plain_number(value, what)
    if number <= 0:
        raise AttributeValueError(f"{what} must be above 0, got {number!r}")
    return number

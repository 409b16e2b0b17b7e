"""Numbers that a plan is made from: checked when they are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import AttributeValueError


def quantity(what: str, value: Any, *, zero: bool = False, most: float = math.inf) -> float:
    """A finite number above 0, or 0 too; AttributeValueError for anything else.

    >>> quantity("disk", 2e9)
    2000000000.0
    """
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (is_number and math.isfinite(value) and (value > 0 or (zero and value == 0)) and value <= most):
        least = "of at least 0" if zero else "above 0"
        bound = f", at most {most:g}" if most < math.inf else ""
        raise AttributeValueError(f"{what} = {value!r} must be a finite number {least}{bound}")
    return float(value)

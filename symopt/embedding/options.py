"""Whole numbers that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AttributeValueError


def whole(what: str, value: Any, least: int, most: int = 2**62) -> int:
    """A whole number from `least` to `most`; AttributeValueError for anything else.

    >>> whole("capacity", 5, 1)
    5
    """
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        bound = f"from {least} to {most}" if most < 2**62 else f"of at least {least}"
        raise AttributeValueError(f"{what} = {value!r} must be a whole number {bound}")
    return int(value)

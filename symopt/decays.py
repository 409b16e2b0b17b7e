"""Curves that learning rates follow, as functions of the step, for every class that has them."""

from __future__ import annotations

from typing import Any

import numpy as np

CLOSE = 1e-9  # a quotient this near to a whole number is that number: s / 0.1 and logarithms are not exact


def whole(x: Any) -> Any:
    """x, or the whole number that it is next to."""
    nearest = np.round(x)
    return np.where(np.abs(x - nearest) <= CLOSE * np.maximum(1, np.abs(x)), nearest, x)


def polynomial_decay(step: Any, initial: float, end: float, steps: float, power: float, cycle: bool) -> Any:
    """(initial - end) * (1 - step / steps)^power + end at an array of steps, `end` from `steps` on.

    With `cycle` the decay starts anew after each multiple of `steps`, over all steps so far: at a multiple itself it is
    `end`.

    >>> polynomial_decay(np.array([0.0, 1.0, 9.0]), 1.0, 0.0, 4, 1.0, cycle=False)
    array([1.  , 0.75, 0.  ])
    """
    length: Any = float(steps)
    if cycle:
        length = length * np.maximum(1, np.ceil(whole(step / length)))
    left = np.maximum(1 - np.minimum(step, length) / length, 0.0)
    return (initial - end) * np.power(left, power) + end

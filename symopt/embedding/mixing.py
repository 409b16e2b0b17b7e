"""Numbers that look random and are made of ids: no state, so no order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..splitmix import GOLDEN, finished

Words = npt.NDArray[np.uint64]


def mixed(words: npt.NDArray[Any]) -> Words:
    """Words of 64 bits, each bit of which depends on all of the word given; no two words give the same.

    splitmix64's first number for each.

    >>> hex(mixed(np.zeros(1, np.int64))[0])
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):
        found: Words = finished(np.asarray(words).view(np.uint64) + np.uint64(GOLDEN))
    return found


def uniform(words: Words) -> npt.NDArray[np.float64]:
    """A number in [0, 1) from the upper 53 bits of each word."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

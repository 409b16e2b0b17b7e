"""Numbers that look random and are made of ids: no state, so no order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(words: npt.NDArray[Any]) -> Words:
    """Words of 64 bits, each bit of which depends on all of the word given; no two words give the same.

    The end of splitmix64 (Steele, Lea and Flood 2014), behind an addition: 0 is no fixed point.

    >>> hex(mixed(np.zeros(1, np.int64))[0])
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):
        x = np.asarray(words).view(np.uint64) + _GOLDEN
        for shift, factor in _STEPS:
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return x ^ (x >> np.uint64(31))


def uniform(words: Words) -> npt.NDArray[np.float64]:
    """A number in [0, 1) from the upper 53 bits of each word."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53

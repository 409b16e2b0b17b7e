"""Where the random numbers of a row begin: a number made of its id and a seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# The finaliser of splitmix64, a bijection of 64 bits: Steele, Lea, Flood, Fast splittable pseudorandom number
# generators, OOPSLA 2014.
STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
WORD = (1 << 64) - 1


def seed_word(seed: int) -> int:
    """64 bits of a seed, any integer, that differ in about half their places from those of its neighbours."""
    x = (seed + 0x9E3779B97F4A7C15) & WORD
    for shift, factor in STEPS:
        x = (x ^ x >> shift) * factor & WORD
    return x


def first_of(ids: npt.NDArray[np.int64], word: int) -> npt.NDArray[Any]:
    """The number of the first element of each row, int64, for a table with this `seed_word`."""
    x = ids.astype(np.int64, copy=False).view(np.uint64) ^ np.uint64(word)
    for shift, factor in STEPS:
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor)
    return x.view(np.int64)

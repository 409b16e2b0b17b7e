"""Where the random numbers of a row begin: a number made of its id and a seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..splitmix import finished, word

seed_word = word  # 64 bits of a seed, any integer


def first_of(ids: npt.NDArray[np.int64], word: int) -> npt.NDArray[Any]:
    """The number of the first element of each row, int64, for a table with this `seed_word`."""
    x = finished(ids.astype(np.int64, copy=False).view(np.uint64) ^ np.uint64(word))
    found: npt.NDArray[Any] = x.view(np.int64)
    return found

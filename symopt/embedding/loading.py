"""Vectors of any length in a state that is to be loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..given import Given


def vector(given: Given, name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A copy of the array (n,) of this dtype; an empty one, and a note, if there is none."""
    value = given.get(name)
    if name in given:
        array = np.asarray(value)
        if array.ndim == 1 and array.dtype == np.dtype(dtype):
            return array.copy()
        given.found.different.append(
            f"{given.at(name)}: expected a vector of {np.dtype(dtype)}, the state has {array.dtype} {array.shape}"
        )
    return np.empty(0, dtype)

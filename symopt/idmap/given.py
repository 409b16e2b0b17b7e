"""What callers give to an id map: ids of any integer dtype, and the name of an engine."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import AttributeValueError, DTypeError, ShapeError

ENGINES = ("auto", "native", "reference")
Int64s = np.ndarray[tuple[int], np.dtype[np.int64]]


def as_ids(given: Any, what: str = "ids") -> Int64s:
    """Ids as a contiguous array of int64: all integer dtypes; uint64 by its bits, so that 2**64 - 1 is -1."""
    found = np.asarray(given)
    if found.size == 0 and not isinstance(given, np.ndarray):
        found = found.astype(np.int64)  # an empty list has no dtype
    if found.dtype.kind not in "iu":
        raise DTypeError(
            f"{what} must be integers, got {found.dtype}; {what}.astype(numpy.int64) if they are"
        )
    if found.ndim != 1:
        raise ShapeError(f"{what} must be one-dimensional, got shape {found.shape}; give {what}.ravel()")
    if found.dtype.kind == "u" and found.dtype.itemsize == 8:
        return np.ascontiguousarray(found, np.uint64).view(np.int64)
    return np.ascontiguousarray(found, np.int64)


def chosen_engine(name: str) -> str:
    """ "native" or "reference": what `name` says; by "auto" native code wherever LLVM is installed."""
    if name not in ENGINES:
        raise AttributeValueError(f"engine {name!r} must be one of {', '.join(ENGINES)}")
    if name == "auto":
        return "native" if find_spec("llvmlite") else "reference"
    return name

"""Ids of a batch, each once, and sums of the rows that belong to equal ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..backends.jit import compile_written
from ..dtypes import COMPUTE, FLOATS, canonical
from ..errors import DTypeError, RowIndexError, ShapeError
from .given import Int64s, as_ids, chosen_engine
from .native import NativePairs, table_bytes
from .reference import distinct
from .scratch import scratch
from .sums import sum_function, tally_function


class Unique(NamedTuple):
    """Distinct ids (k,) in order of first occurrence; where in them each id of a batch is (n,); their counts (k,)."""

    ids: Int64s
    inverse: Int64s
    counts: Int64s


def unique(ids: Any, *, engine: str = "auto") -> Unique:
    """The distinct ids of a batch, in order of first occurrence.

    >>> unique([5, 3, 5])
    Unique(ids=array([5, 3]), inverse=array([0, 1, 0]), counts=array([2, 1]))
    """
    given = as_ids(ids)
    if chosen_engine(engine) == "reference":
        return Unique(*distinct(given))
    with scratch("table", table_bytes(len(given))) as memory:
        inverse, _, once = NativePairs(0, len(given), memory).insert(given)
    counts = np.zeros(len(once), np.int64)
    _code()["tally"](inverse.ctypes.data, len(given), counts.ctypes.data)
    return Unique(once, inverse, counts)


def sum_by(inverse: Any, n_unique: int, values: Any, *, engine: str = "auto") -> np.ndarray[Any, Any]:
    """Sums (n_unique, width) of the rows of `values` (n, width) that have equal numbers in `inverse` (n,).

    Rows are added in order of occurrence, from a copy of the first, so that a single -0.0 stays what it is; where there
    is no row, the sum is 0. The dtype is that of `values`; float16 and bfloat16 are added in float32, and give that.

    >>> sum_by([0, 1, 0], 2, np.array([[1.0], [2.0], [3.0]]))
    array([[4.],
           [2.]])
    """
    rows, given, dtype = _checked(inverse, n_unique, values)
    if chosen_engine(engine) == "reference":
        return _sum_in_order(rows, n_unique, given.astype(COMPUTE[dtype]))
    n, width = given.shape
    if given.strides[1:] != (given.itemsize,) or given.strides[0] % given.itemsize:
        given = np.ascontiguousarray(given)
    sums = np.zeros((n_unique, width), COMPUTE[dtype])
    seen = np.zeros(n_unique, np.uint8)
    _code()[f"sum_{dtype}"](
        rows.ctypes.data, n, given.ctypes.data, given.strides[0] // given.itemsize, width,
        sums.ctypes.data, seen.ctypes.data,
    )  # fmt: skip
    return sums


def _checked(inverse: Any, n_unique: int, values: Any) -> tuple[Int64s, np.ndarray[Any, Any], str]:
    rows, given = as_ids(inverse, "inverse"), np.asarray(values)
    dtype = canonical(given.dtype)
    if dtype not in FLOATS:
        raise DTypeError(f"values must be {', '.join(FLOATS)}, got {dtype}")
    if given.ndim != 2 or len(given) != len(rows):
        raise ShapeError(f"values must have shape ({len(rows)}, width), like inverse, got {given.shape}")
    if len(rows) and rows.view(np.uint64).max() >= n_unique:
        wrong = rows[(rows < 0) | (rows >= n_unique)][0]
        raise RowIndexError(f"inverse must be in [0, {n_unique}), got {wrong}")
    return rows, given.astype(given.dtype.newbyteorder("="), copy=False), dtype


def _sum_in_order(rows: Int64s, n_unique: int, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    sums = np.full((n_unique, values.shape[1]), -0.0, values.dtype)  # what is added to -0.0 stays as it is
    np.add.at(sums, rows, values)
    sums[np.bincount(rows, minlength=n_unique) == 0] = 0
    return sums


@cache
def _code() -> dict[str, Callable[..., None]]:
    return compile_written(tally_function(), *(sum_function(dtype) for dtype in FLOATS))

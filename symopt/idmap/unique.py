"""Ids of a batch, each once, and sums of the rows that belong to equal ids."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..backends.jit import compile_written
from ..dtypes import COMPUTE, FLOATS, canonical
from ..errors import DTypeError, RowIndexError, ShapeError
from ..overlap import address
from .given import Int64s, as_ids, chosen_engine
from .once import once_function, places_for
from .reference import distinct
from .scratch import scratch
from .sums import sum_function


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
    n, places = len(given), places_for(len(given))
    found = np.empty((3, n), np.int64)  # inverse, ids, counts
    n_once = np.empty(1, np.int64)
    with scratch("places", 4 * places) as memory:
        at = address(found)
        _code()["once"](
            address(given), n, address(memory), places, at, at + 8 * n, at + 16 * n, address(n_once)
        )
    k = int(n_once[0])
    return Unique(found[1, :k], found[0], found[2, :k])


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
    sums = np.zeros((n_unique, given.shape[1]), COMPUTE[dtype])
    add_by(rows, given, sums, np.zeros(n_unique, np.uint8))
    return sums


def add_by(
    inverse: Int64s, values: np.ndarray[Any, Any], sums: np.ndarray[Any, Any], seen: np.ndarray[Any, Any]
) -> None:
    """Add rows (n, width) to sums (n_unique, width), by machine code. `seen`, (n_unique,) uint8: which sums have a row
    already; the others are set. Nothing is checked."""
    n, width = values.shape
    if values.strides[1:] != (values.itemsize,) or values.strides[0] % values.itemsize:
        values = np.ascontiguousarray(values)
    _code()[f"sum_{canonical(values.dtype)}"](
        address(inverse), n, address(values), values.strides[0] // values.itemsize, width,
        address(sums), address(seen),
    )  # fmt: skip


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
    return compile_written(once_function(), *(sum_function(dtype) for dtype in FLOATS))

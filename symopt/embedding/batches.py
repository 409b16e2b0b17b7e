"""What users give to a table, checked: ids, gradients, values, times. And repeated ids, one way or the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import misplaced
from ..dtypes import FLOATS
from ..errors import AttributeValueError, DTypeError, ShapeError
from ..idmap import Unique, unique
from ..idmap.given import as_ids
from ..places import HOST, Place, place_of_array
from .placed import on_host, taken

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
LATEST = (1 << 32) - 1  # seconds: year 2106


def ids_of(given: Any, what: str) -> tuple[Ids, tuple[int, ...]]:
    """Ids of any shape as (n,), and that shape; those of a device are copied to the host."""
    hint = "; Bags.from_lists takes lists of ids"
    array = given if type(given) is np.ndarray else _as_array(on_host(given), what, hint)
    if array.size == 0 and not isinstance(given, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind in "USO" and array.size:
        raise DTypeError(
            f"{what}: ids must be integers of 64 bits, got {array.reshape(-1)[:1].tolist()[0]!r}; words and other "
            "names are hashed to 64 bits first"
        )
    try:
        return as_ids(array if array.ndim == 1 else array.reshape(-1)), array.shape
    except DTypeError as error:
        raise DTypeError(f"{what}: {error}") from None


def rows_of(
    given: Any, shape: tuple[int, ...], dim: int, dtype: np.dtype[Any], what: str, place: Place = HOST
) -> Array:
    """Numbers for ids of that shape, as a contiguous (n, dim) array of the table's dtype. DeviceError if they are not
    in `place`."""
    array = _seen(given, what, place)
    if array.dtype != dtype and array.dtype.kind not in "iu" and array.dtype.name not in FLOATS:
        raise DTypeError(f"{what} must be real numbers, got {array.dtype.name}")
    if array.shape != (*shape, dim):
        raise ShapeError(
            f"{what}: expected shape {(*shape, dim)}, one row of {dim} for each id, got {array.shape}"
        )
    with place.current():
        return place.xp.ascontiguousarray(array.reshape(-1, dim), dtype)  # type: ignore[no-any-return]


def _seen(given: Any, what: str, place: Place) -> Array:
    if place is not HOST:
        return place.view(given, what)
    if type(given) is not np.ndarray and place_of_array(given) is not HOST:
        raise misplaced(what, given, HOST.context)
    return given if type(given) is np.ndarray else _as_array(given, what)


def _as_array(given: Any, what: str, hint: str = "") -> Array:
    """What is no NumPy array as one. ShapeError for ragged lists, DTypeError for masked arrays: masks are not read."""
    if isinstance(given, np.ma.MaskedArray):
        raise DTypeError(f"{what}: got a masked array, whose mask would be ignored; give what is not masked")
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ShapeError(f"{what}: no array can be made of that{hint}: {error}") from None


def second(given: float | None, what: str) -> int:
    """A time in whole seconds; None: now."""
    now = int(time.time()) if given is None else given
    if isinstance(now, bool) or not isinstance(now, int | np.integer | float) or not 0 <= now <= LATEST:
        raise AttributeValueError(f"{what}: a time is in seconds, from 0 to {LATEST}, got {given!r}")
    return int(now)


def last_of(ids: Ids, rows: Array) -> tuple[Ids, Array]:
    """Each id once, with its last row."""
    found = unique(ids)
    if len(found.ids) == len(ids):
        return ids, rows
    last = np.empty(len(found.ids), np.int64)
    last[found.inverse] = np.arange(len(ids))  # of several assignments to one place, the last stays
    return found.ids, taken(rows, last)


def waves(ids: Ids, rows: Array) -> Iterator[tuple[Ids, Array]]:
    """A batch with repeated ids as batches without: all first occurrences, all second ones, and so on. Rows know
    nothing of each other, so that is as good as one after the other."""
    found = unique(ids)
    if len(found.ids) == len(ids):
        yield ids, rows
        return
    nth = _nth(found)
    order = np.argsort(nth, kind="stable")
    bounds = np.searchsorted(nth[order], np.arange(int(nth.max()) + 2))
    for begin, end in pairwise(bounds):
        some = order[begin:end]
        yield ids[some], taken(rows, some)


def _nth(found: Unique) -> Ids:
    """How many entries of the same id come before each entry."""
    order = np.argsort(found.inverse, kind="stable")
    starts = np.cumsum(found.counts) - found.counts
    nth = np.empty(len(order), np.int64)
    nth[order] = np.arange(len(order)) - np.repeat(starts, found.counts)
    return nth

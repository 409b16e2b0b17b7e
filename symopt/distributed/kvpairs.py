"""What a KVStore is given: keys with their values, and sums of the values of one key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import COMPUTE, to_numpy
from ..errors import AttributeValueError, DTypeError, MissingArgumentError, RowIndexError, ShapeError
from ..places import HOST
from ..sparse import RowSparseArray
from .pairwise import add_up

Key = int | str


def pairs(key: Any, value: Any, what: str) -> list[tuple[Key, Any]]:
    """Keys with what is given for each: of a list of keys, a list of as many."""
    if not isinstance(key, (list, tuple)):
        return [(as_key(key, what), value)]
    if not isinstance(value, (list, tuple)) or len(value) != len(key):
        raise MissingArgumentError(f"{what}: {len(key)} keys need a list of as many values")
    return [(as_key(k, what), v) for k, v in zip(key, value, strict=True)]


def as_key(key: Any, what: str) -> Key:
    """A key as it is kept. AttributeValueError for what is neither a whole number nor a string."""
    if isinstance(key, str) and key:
        return key
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        return int(key)
    raise AttributeValueError(f"{what}: a key is a whole number or a string, got {key!r}")


def listed(value: Any) -> list[Any]:
    """The values of one key, of which there may be several: one from each device."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def as_value(value: Any, shape: tuple[int, ...], dtypes: Sequence[str], what: str) -> Any:
    """An array, or a RowSparseArray, of this shape and one of these dtypes, in the host's memory."""
    if isinstance(value, RowSparseArray):
        value.check_indices(what)
        array: Any = value if value.place is HOST else value.copy_to(HOST)
    else:
        array = HOST.as_array(value, what, mutable=False)
    if array.shape != shape:
        raise ShapeError(f"{what} has shape {array.shape}, its key {shape}")
    if array.dtype.name not in dtypes:
        raise DTypeError(f"{what} is {array.dtype.name}, its key {' or '.join(dtypes)}")
    return array


def merged(values: Sequence[Any]) -> Any:
    """The sum of arrays in a fixed order, pairs of neighbours and then pairs of those: ((0 + 1) + (2 + 3)) + 4. Rows
    that an array does not list count for nothing. 16-bit numbers are added in float32, and the sum is rounded once.

    >>> merged([np.array([x]) for x in (1e16, 1.0, -1e16)])
    array([0.])
    """
    if all(isinstance(v, RowSparseArray) for v in values):
        return _merged_rows(values)
    dense = [v.todense() if isinstance(v, RowSparseArray) else v for v in values]
    if len(dense) == 1:
        return dense[0]
    if len({v.dtype for v in dense}) > 1:
        raise DTypeError(f"the values of one key are of {', '.join(sorted({v.dtype.name for v in dense}))}")
    out = np.empty(dense[0].shape, dense[0].dtype)
    add_up([np.ascontiguousarray(v).reshape(-1) for v in dense], out.reshape(-1))
    return out


def _merged_rows(values: Sequence[RowSparseArray]) -> RowSparseArray:
    if len(values) == 1:
        return values[0]
    own = values[0].dtype
    wide = to_numpy(COMPUTE[own.name])
    level = [RowSparseArray(v.data.astype(wide, copy=False), v.indices, v.shape).coalesce() for v in values]
    while len(level) > 1:
        level = [_pair(level[k : k + 2]) for k in range(0, len(level), 2)]
    found = level[0]
    return RowSparseArray(found.data.astype(own, copy=False), found.indices, found.shape, canonical=True)


def _pair(two: Sequence[RowSparseArray]) -> RowSparseArray:
    if len(two) == 1:
        return two[0]
    data, indices = (np.concatenate(parts) for parts in zip(*((x.data, x.indices) for x in two), strict=True))
    return RowSparseArray(data, indices, two[0].shape).coalesce()


def as_row_ids(given: Any, n_rows: int, what: str) -> Array:
    """Row numbers in order, each once, of an array or list of whole numbers; RowIndexError for one that is no row."""
    ids = np.asarray(given).reshape(-1)
    if ids.size and ids.dtype.kind not in "iuf":
        raise DTypeError(f"{what}: row_ids are whole numbers, got {ids.dtype.name}")
    whole = ids.astype(np.int64)
    if ids.dtype.kind == "f" and not np.array_equal(whole, ids):
        raise RowIndexError(f"{what}: row_ids are whole numbers, got {ids[whole != ids][0]}")
    found: Array = np.unique(whole)
    if len(found) and (found[0] < 0 or found[-1] >= n_rows):
        bad = found[0] if found[0] < 0 else found[-1]
        raise RowIndexError(f"{what}: row {bad} is none of the {n_rows} rows")
    return found


def write_out(out: Any, rows: Array, ids: Array, shape: tuple[int, ...], what: str) -> None:
    """Have `out` be zeros but for `rows` (n, *shape[1:]) at `ids`."""
    if isinstance(out, RowSparseArray):
        if out.shape != shape:
            raise ShapeError(f"{what}: out has shape {out.shape}, the key {shape}")
        out.data, out.indices = rows.astype(out.dtype, copy=False), ids
        out.canonical = True
        return
    array = as_out(out, shape, what)
    array[...] = 0
    array[ids] = rows


def as_out(out: Any, shape: tuple[int, ...], what: str) -> Array:
    """An array of this shape that is written to."""
    array: Array = HOST.as_array(out, f"{what}: out", mutable=True)
    if array.shape != shape:
        raise ShapeError(f"{what}: out has shape {array.shape}, the key {shape}")
    return array


def sorted_keys(keys: Iterable[Key], known: Iterable[Key]) -> list[Key]:
    """Keys in the order in which MXNet goes through them: numbers as they count, strings as they were initialized."""
    order = {key: k for k, key in enumerate(known)}
    return sorted(keys, key=lambda key: key if isinstance(key, int) else order[key])

"""The row indices of a sparse array: checked, and grouped by row. On any place whose device is current."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array
from .dtypes import COMPUTE, to_numpy
from .errors import RowIndexError

COMPOSITE = 1 << 31  # below it, a row and a position fit in one int64


def check_indices(indices: Array, n_rows: int, what: str) -> None:
    """RowIndexError naming the first of `indices` outside 0 <= index < n_rows, and its position."""
    if indices.size and (indices.min() < 0 or indices.max() >= n_rows):
        position = int(((indices < 0) | (indices >= n_rows)).argmax())
        found = int(indices[position])
        raise RowIndexError(f"{what}: indices[{position}] = {found} is not a row of {n_rows}")


def disordered(indices: Array, counts: Array) -> list[int]:
    """Of several lists of indices, one after the other, `counts` of each: those that do not ascend strictly."""
    above = indices[1:] > indices[:-1]
    if above.all():
        return []
    rises = np.ones(len(indices), np.bool_)
    rises[1:] = above
    some = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[some]
    rises[starts] = True
    found: list[int] = some[~np.logical_and.reduceat(rises, starts)].tolist()
    return found


def segments(indices: Array, n_rows: int, xp: Any = np) -> tuple[Array, Array, Array]:
    """Group equal indices: (rows, starts, order), all int64.

    `rows` are the different indices, ascending; the entries of rows[k] are at the positions
    order[starts[k]:starts[k + 1]], in order of occurrence. Indices that are strictly ascending already come back
    as `rows` itself, not copied. They must be in range. `xp`: NumPy, or what has its functions for these indices.
    """
    n = len(indices)
    positions = xp.arange(n, dtype=np.int64)
    if n < 2 or bool((indices[1:] > indices[:-1]).all()):
        return indices, xp.arange(n + 1, dtype=np.int64), positions
    if n_rows <= COMPOSITE and n <= COMPOSITE:  # NumPy sorts numbers with SIMD, but not positions by numbers
        keys = (indices << 32) | positions
        keys.sort()
        ascending, order = keys >> 32, keys & 0xFFFFFFFF
    else:
        order = xp.argsort(indices, kind="stable")
        ascending = indices[order]
    is_first = xp.ones(n, np.bool_)
    is_first[1:] = ascending[1:] != ascending[:-1]
    firsts = xp.flatnonzero(is_first)
    starts = xp.full(len(firsts) + 1, n, np.int64)
    starts[:-1] = firsts
    return ascending[firsts], starts, order


def sum_segments(data: Array, starts: Array, order: Array, xp: Any) -> Array:
    """Row k of the result is the sum of data[order[starts[k]:starts[k + 1]]], from the left."""
    counts = xp.diff(starts)
    total = data[order[starts[:-1]]].astype(to_numpy(COMPUTE[data.dtype.name]), copy=False)
    active = xp.flatnonzero(counts > 1)
    nth = 1
    while active.size:  # one round adds the nth entry of every row that has so many
        total[active] += data[order[starts[active] + nth]].astype(total.dtype, copy=False)
        nth += 1
        active = active[counts[active] > nth]
    return total.astype(data.dtype, copy=False)

"""Row-sparse arrays: some rows of a large array, and which rows they are."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from .arrays import Array, as_array, view
from .dtypes import COMPUTE, canonical, to_numpy
from .errors import ArrayError, DTypeError, RowIndexError, ShapeError

COMPOSITE = 1 << 31  # below it, a row and a position fit in one int64


class RowSparseArray:
    """An array of `shape` whose rows `indices` (n,) are `data` (n, *shape[1:]), and whose other rows are zero.

    Indices come in any order; a row listed more than once is the sum of its entries, in order of occurrence.
    Contiguous data and int64 indices are kept by reference, so what their owner writes later is seen here; other
    arrays of the same dtype and row shape can be assigned to `data` and `indices`, `shape` is fixed.
    ArrayError or ShapeError for parts that do not fit. The range of the indices is for `check_indices`: whoever
    uses them calls it, since they may have changed.

    >>> g = RowSparseArray(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([4, 0]), (5, 2))
    >>> g
    <RowSparseArray 5x2, 2 rows stored, float64>
    >>> g.todense()[4]
    array([1., 2.])
    """

    __slots__ = ("_data", "_indices", "_shape", "canonical")

    stype = "row_sparse"

    def __init__(
        self, data: Any, indices: Any, shape: Sequence[SupportsIndex], canonical: bool = False
    ) -> None:
        self.canonical = canonical
        self._data: Array = _contiguous(as_array(data, "data of a row_sparse array", mutable=False))
        self._indices: Array = _as_indices(indices, "indices of a row_sparse array")
        self._shape: tuple[int, ...] = _as_shape(shape)
        if self.data.ndim != len(self.shape) or self.data.shape[1:] != self.shape[1:]:
            want = ("n", *map(str, self.shape[1:]))
            raise ShapeError(f"data of a row_sparse array of shape {self.shape}: "
                             f"expected ({', '.join(want)}), got {self.data.shape}")  # fmt: skip
        self._check_lengths("a row_sparse array")

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        fresh = _contiguous(as_array(data, "data of a row_sparse array", mutable=False))
        if fresh.dtype != self.dtype:
            raise DTypeError(f"data of a row_sparse array is {self.dtype.name}, got {fresh.dtype.name}")
        if fresh.ndim != self.ndim or fresh.shape[1:] != self.shape[1:]:
            want = ", ".join(("n", *map(str, self.shape[1:])))
            raise ShapeError(
                f"data of a row_sparse array of shape {self.shape}: expected ({want}), got {fresh.shape}"
            )
        self._data = fresh

    @property
    def indices(self) -> Array:
        return self._indices

    @indices.setter
    def indices(self, indices: Any) -> None:
        self._indices = _as_indices(indices, "indices of a row_sparse array")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def _check_lengths(self, what: str) -> None:
        if len(self.indices) != len(self.data):
            raise ArrayError(f"{what} needs one index for each row of data: "
                             f"got {len(self.indices)} indices and {len(self.data)} rows")  # fmt: skip

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements of the whole array, stored or not."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nnr(self) -> int:
        """Rows stored, repeated ones counted each time."""
        return len(self.indices)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<RowSparseArray {size}, {self.nnr} rows stored, {self.dtype.name}>"

    def check_indices(self, what: str = "a row_sparse array") -> None:
        """RowIndexError naming the first index that is no row of this array, and its position; ArrayError when there
        is not one index for each row of data: both can be replaced one after the other."""
        self._check_lengths(what)
        check_indices(self.indices, self.shape[0], what)

    def todense(self) -> Array:
        """The whole array, repeated rows summed."""
        dense = np.zeros(self.shape, self.dtype)
        merged = self.coalesce()
        dense[merged.indices] = merged.data
        return dense

    def coalesce(self) -> RowSparseArray:
        """The same array with ascending indices, each once. Repeated rows are summed in order of occurrence,
        in float32 for 16-bit dtypes, and rounded once."""
        self.check_indices()
        rows, starts, order = segments(self.indices, self.shape[0])
        return RowSparseArray(_sum_segments(self.data, starts, order), rows.copy(), self.shape)

    def retain(self, rows: Any) -> RowSparseArray:
        """The same array with all but `rows` set to zero."""
        wanted = _as_indices(rows, "rows to retain")
        check_indices(wanted, self.shape[0], "rows to retain")
        kept = np.isin(self.indices, wanted)
        return RowSparseArray(self.data[kept], self.indices[kept], self.shape)

    def copy(self) -> RowSparseArray:
        """One with memory of its own."""
        return RowSparseArray(self.data.copy(), self.indices.copy(), self.shape)


def row_sparse_array(
    source: Any, shape: Sequence[SupportsIndex] | None = None, dtype: Any = None
) -> RowSparseArray:
    """A RowSparseArray from `(data, indices)`, or from a dense array, of which it keeps the rows that are not zero.

    `shape` defaults to the smallest that holds the indices; lists of numbers become float32; `dtype` converts.

    >>> row_sparse_array(([[1, 2], [3, 4]], [4, 0]), shape=(5, 2))
    <RowSparseArray 5x2, 2 rows stored, float32>
    """
    if isinstance(source, RowSparseArray):
        made = RowSparseArray(_as_data(source.data, dtype), source.indices, source.shape)
    elif isinstance(source, tuple):
        if len(source) != 2:
            raise ArrayError(f"a row_sparse array is made of (data, indices), got a tuple of {len(source)}")
        data, indices = _as_data(source[0], dtype), _as_indices(source[1], "indices of a row_sparse array")
        rows = int(indices.max()) + 1 if len(indices) else 0
        made = RowSparseArray(data, indices, (rows, *data.shape[1:]) if shape is None else shape)
        made.check_indices()
    else:
        dense = _as_data(source, dtype)
        _as_shape(dense.shape)
        kept = np.flatnonzero((dense != 0).any(axis=tuple(range(1, dense.ndim))))
        made = RowSparseArray(dense[kept], kept, dense.shape)
    if shape is not None and made.shape != _as_shape(shape):
        raise ShapeError(f"shape {_as_shape(shape)} was asked for, and the array given has {made.shape}")
    return made


def zeros(shape: Sequence[SupportsIndex], dtype: Any = "float32") -> RowSparseArray:
    """A RowSparseArray without any row.

    >>> zeros((3, 2))
    <RowSparseArray 3x2, 0 rows stored, float32>
    """
    shape = _as_shape(shape)
    return RowSparseArray(np.zeros((0, *shape[1:]), to_numpy(canonical(dtype))), np.zeros(0, np.int64), shape)


def check_indices(indices: Array, n_rows: int, what: str) -> None:
    """RowIndexError naming the first of `indices` outside 0 <= index < n_rows, and its position."""
    if indices.size and (indices.min() < 0 or indices.max() >= n_rows):
        position = int(np.flatnonzero((indices < 0) | (indices >= n_rows))[0])
        raise RowIndexError(f"{what}: indices[{position}] = {indices[position]} is not a row of {n_rows}")


def segments(indices: Array, n_rows: int) -> tuple[Array, Array, Array]:
    """Group equal indices: (rows, starts, order), all int64.

    `rows` are the different indices, ascending; the entries of rows[k] are at the positions
    order[starts[k]:starts[k + 1]], in order of occurrence. Indices that are strictly ascending already come back
    as `rows` itself, not copied. They must be in range.
    """
    n = len(indices)
    positions = np.arange(n, dtype=np.int64)
    if n < 2 or bool((indices[1:] > indices[:-1]).all()):
        return indices, np.arange(n + 1, dtype=np.int64), positions
    if n_rows <= COMPOSITE and n <= COMPOSITE:  # NumPy sorts numbers with SIMD, but not positions by numbers
        keys = (indices << 32) | positions
        keys.sort()
        ascending, order = keys >> 32, keys & 0xFFFFFFFF
    else:
        order = np.argsort(indices, kind="stable")
        ascending = indices[order]
    is_first = np.concatenate(([True], ascending[1:] != ascending[:-1]))
    firsts = np.flatnonzero(is_first)
    return ascending[firsts], np.append(firsts, n), order


def _sum_segments(data: Array, starts: Array, order: Array) -> Array:
    """Row k of the result is the sum of data[order[starts[k]:starts[k + 1]]], from the left."""
    counts = np.diff(starts)
    total = data[order[starts[:-1]]].astype(COMPUTE[data.dtype.name], copy=False)
    active = np.flatnonzero(counts > 1)
    nth = 1
    while active.size:  # one round adds the nth entry of every row that has so many
        total[active] += data[order[starts[active] + nth]]
        nth += 1
        active = active[counts[active] > nth]
    return total.astype(data.dtype, copy=False)


def _contiguous(array: Array) -> Array:
    return array if array.flags.c_contiguous else array.copy()


def _as_data(x: Any, dtype: Any) -> Array:
    array = (
        np.asarray(x, np.float32) if isinstance(x, (list, tuple)) else view(x, "data of a row_sparse array")
    )
    return array if dtype is None else array.astype(to_numpy(canonical(dtype)), copy=False)


def _as_indices(x: Any, what: str) -> Array:
    array = np.asarray(x) if isinstance(x, (list, tuple)) else view(x, what)
    if array.size == 0 and isinstance(x, (list, tuple)):
        array = array.astype(np.int64)  # an empty list says nothing of a dtype
    if array.dtype.kind not in "iu":
        raise ArrayError(f"{what} must be integers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise ArrayError(f"{what} must have one dimension, got shape {array.shape}")
    return _contiguous(array.astype(np.int64, copy=False))


def _as_shape(shape: Sequence[SupportsIndex]) -> tuple[int, ...]:
    try:
        sizes = tuple(map(operator.index, shape))
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 0:
        raise ShapeError(
            f"the shape of a row_sparse array is a tuple of sizes >= 0, at least one, got {shape!r}"
        )
    return sizes

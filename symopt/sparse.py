"""Row-sparse arrays: some rows of a large array, and which rows they are."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from .arrays import Array
from .context import Context
from .dtypes import canonical as canonical_name
from .dtypes import to_numpy
from .errors import ArrayError, DTypeError, ShapeError
from .places import HOST, Place, from_host, moved, place_of, place_of_array
from .segments import check_indices, segments, sum_segments


class RowSparseArray:
    """An array of `shape` whose rows `indices` (n,) are `data` (n, *shape[1:]), and whose other rows are zero.

    Indices come in any order; a row listed more than once is the sum of its entries, in order of occurrence.
    Contiguous data and int64 indices are kept by reference, so what their owner writes later is seen here; other
    arrays of the same dtype and row shape can be assigned to `data` and `indices`, `shape` is fixed. Both lie in one
    `place`, the host's memory or a GPU's: that of the data.
    `canonical` is a promise that each index is above the one before, which spares a GPU sorting them; assigning indices
    ends it. A step on a GPU that finds it broken raises RowIndexError; the host looks for itself.
    ArrayError, DeviceError or ShapeError for parts that do not fit. The range of the indices is for `check_indices`:
    whoever uses them calls it, since they may have changed.

    >>> g = RowSparseArray(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([4, 0]), (5, 2))
    >>> g
    <RowSparseArray 5x2, 2 rows stored, float64>
    >>> g.todense()[4]
    array([1., 2.])
    """

    __slots__ = ("_data", "_indices", "_place", "_shape", "canonical")

    stype = "row_sparse"

    def __init__(
        self, data: Any, indices: Any, shape: Sequence[SupportsIndex], canonical: bool = False
    ) -> None:
        self._place = place_of_array(data)
        self._data = self._as_rows(data)
        self._indices = _as_indices(indices, "indices of a row_sparse array", self._place)
        self._shape: tuple[int, ...] = _as_shape(shape)
        self.canonical = bool(canonical)
        if self.data.ndim != len(self.shape) or self.data.shape[1:] != self.shape[1:]:
            want = ("n", *map(str, self.shape[1:]))
            raise ShapeError(f"data of a row_sparse array of shape {self.shape}: "
                             f"expected ({', '.join(want)}), got {self.data.shape}")  # fmt: skip
        self.check_lengths("a row_sparse array")

    def _as_rows(self, data: Any) -> Array:
        array = self._place.as_array(data, "data of a row_sparse array", mutable=False)
        return _contiguous(array, self._place)

    @property
    def place(self) -> Place:
        return self._place

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        fresh = self._as_rows(data)
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
        self._indices = _as_indices(indices, "indices of a row_sparse array", self._place)
        self.canonical = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    def check_lengths(self, what: str = "a row_sparse array") -> None:
        """ArrayError when there is not one index for each row of data: both can be replaced one after the other."""
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
        """RowIndexError naming the first index that is no row of this array, and its position; and `check_lengths`.
        On a GPU, waits for it."""
        self.check_lengths(what)
        with self._place.current():
            check_indices(self.indices, self.shape[0], what)

    def todense(self) -> Array:
        """The whole array, repeated rows summed."""
        dense = self._place.zeros(self.shape, self.dtype)
        merged = self.coalesce()
        with self._place.current():
            dense[merged.indices] = merged.data
        return dense

    def coalesce(self) -> RowSparseArray:
        """The same array with ascending indices, each once. Repeated rows are summed in order of occurrence,
        in float32 for 16-bit dtypes, and rounded once."""
        self.check_indices()
        with self._place.current():
            rows, starts, order = segments(self.indices, self.shape[0], self._place.xp)
            total = sum_segments(self.data, starts, order, self._place.xp)
            return RowSparseArray(total, rows.copy(), self.shape, canonical=True)

    def retain(self, rows: Any) -> RowSparseArray:
        """The same array with all but `rows` set to zero."""
        wanted = _as_indices(rows, "rows to retain", self._place)
        with self._place.current():
            check_indices(wanted, self.shape[0], "rows to retain")
            kept = self._place.xp.isin(self.indices, wanted)
            return RowSparseArray(self.data[kept], self.indices[kept], self.shape, self.canonical)

    def copy(self) -> RowSparseArray:
        """One with memory of its own."""
        with self._place.current():
            return RowSparseArray(self.data.copy(), self.indices.copy(), self.shape, self.canonical)

    def copy_to(self, place: Place) -> RowSparseArray:
        """A copy that lies in another place."""
        data, indices = (moved(x, self._place, place) for x in (self.data, self.indices))
        return RowSparseArray(data, indices, self.shape, self.canonical)


def check_all(names: Sequence[str], arrays: Sequence[RowSparseArray]) -> tuple[Array, Array]:
    """What `check_indices` does, for arguments on the host, at a fraction of the time if they are many. Gives all their
    indices, those of one array after those of the other, and how many each has."""
    if len(arrays) == 1:
        arrays[0].check_indices(f"argument {names[0]!r}")
        return arrays[0].indices, np.array([arrays[0].nnr])
    indices = [array.indices for array in arrays]
    counts = np.fromiter(map(len, indices), np.int64, len(indices))
    n_data = np.fromiter((len(array.data) for array in arrays), np.int64, len(arrays))
    n_rows = np.fromiter((array.shape[0] for array in arrays), np.uint64, len(arrays))
    every = np.concatenate(indices)
    is_beyond = every.view(np.uint64) >= np.repeat(n_rows, counts)  # a negative one is huge then
    if is_beyond.any() or (counts != n_data).any():
        for name, array in zip(names, arrays, strict=True):
            array.check_indices(f"argument {name!r}")
    return every, counts


def row_sparse_array(
    source: Any, shape: Sequence[SupportsIndex] | None = None, dtype: Any = None, canonical: bool = False
) -> RowSparseArray:
    """A RowSparseArray from `(data, indices)`, or from a dense array, of which it keeps the rows that are not zero.

    `shape` defaults to the smallest that holds the indices; lists of numbers become float32; `dtype` converts;
    `canonical` promises ascending indices, each once.

    >>> row_sparse_array(([[1, 2], [3, 4]], [4, 0]), shape=(5, 2))
    <RowSparseArray 5x2, 2 rows stored, float32>
    """
    if isinstance(source, RowSparseArray):
        data = _as_data(source.data, dtype, source.place)
        made = RowSparseArray(data, source.indices, source.shape, canonical or source.canonical)
    elif isinstance(source, tuple):
        made = _of_parts(source, shape, dtype, canonical)
    else:
        made = _of_dense(source, dtype)
    if shape is not None and made.shape != _as_shape(shape):
        raise ShapeError(f"shape {_as_shape(shape)} was asked for, and the array given has {made.shape}")
    return made


def _of_parts(
    parts: tuple[Any, ...], shape: Sequence[SupportsIndex] | None, dtype: Any, canonical: bool
) -> RowSparseArray:
    if len(parts) != 2:
        raise ArrayError(f"a row_sparse array is made of (data, indices), got a tuple of {len(parts)}")
    place = place_of_array(parts[0])
    data = _as_data(parts[0], dtype, place)
    indices = _as_indices(parts[1], "indices of a row_sparse array", place)
    with place.current():
        rows = int(indices.max()) + 1 if len(indices) else 0
    made = RowSparseArray(data, indices, (rows, *data.shape[1:]) if shape is None else shape, canonical)
    made.check_indices()
    return made


def _of_dense(source: Any, dtype: Any) -> RowSparseArray:
    place = place_of_array(source)
    dense = _as_data(source, dtype, place)
    n_rows, *columns = _as_shape(dense.shape)
    with place.current():
        is_kept = (dense != 0).reshape(n_rows, math.prod(columns)).any(axis=1)
        kept = place.xp.flatnonzero(is_kept)
        return RowSparseArray(dense[kept], kept, dense.shape, canonical=True)


def zeros(
    shape: Sequence[SupportsIndex], dtype: Any = "float32", ctx: Context | str | None = None
) -> RowSparseArray:
    """A RowSparseArray without any row, on the device `ctx`: the processor unless another is named.

    >>> zeros((3, 2))
    <RowSparseArray 3x2, 0 rows stored, float32>
    """
    place = place_of(Context.as_context(ctx))
    shape = _as_shape(shape)
    data = place.zeros((0, *shape[1:]), to_numpy(canonical_name(dtype)))
    return RowSparseArray(data, place.zeros((0,), np.int64), shape)


def _contiguous(array: Array, place: Place) -> Array:
    if array.flags.c_contiguous:
        return array
    with place.current():
        return array.copy()


def _as_data(x: Any, dtype: Any, place: Place) -> Array:
    is_list = isinstance(x, (list, tuple))
    array = np.asarray(x, np.float32) if is_list else place.view(x, "data of a row_sparse array")
    if dtype is None:
        return array
    with place.current():
        return array.astype(to_numpy(canonical_name(dtype)), copy=False)


def _as_indices(x: Any, what: str, place: Place) -> Array:
    """int64 indices in `place`; lists of integers go there."""
    is_list = isinstance(x, (list, tuple))
    array = np.asarray(x) if is_list else place.view(x, what)
    if is_list and array.size == 0:
        array = array.astype(np.int64)  # an empty list says nothing of a dtype
    if array.dtype.kind not in "iu":
        raise ArrayError(f"{what} must be integers, got dtype {array.dtype.name}")
    if array.ndim != 1:
        raise ArrayError(f"{what} must have one dimension, got shape {array.shape}")
    if is_list and place is not HOST:
        return from_host(place, array.astype(np.int64))
    with place.current():
        return _contiguous(array.astype(np.int64, copy=False), place)


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


def __getattr__(name: str) -> Any:
    """IndexedSlices, which are built on these arrays."""
    if name == "IndexedSlices":
        from .slices import IndexedSlices

        return IndexedSlices
    raise AttributeError(f"module 'symopt.sparse' has no attribute {name!r}")

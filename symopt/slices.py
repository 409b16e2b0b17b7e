"""Gradients of lookups as TensorFlow has them: slices, and which rows they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from .arrays import Array
from .errors import ArrayError, ShapeError
from .places import place_of_array
from .sparse import RowSparseArray


class IndexedSlices:
    """`values` (n, *shape[1:]) at the rows `indices` (n,) of an array of `dense_shape`: tf.IndexedSlices.

    `dense_shape` may be left out: the array that the slices are a gradient of has it. Rows come in any order; those
    listed more than once count as their sum.

    >>> IndexedSlices(np.ones((2, 3)), np.array([4, 0]), (5, 3)).to_row_sparse()
    <RowSparseArray 5x3, 2 rows stored, float64>
    """

    __slots__ = ("dense_shape", "indices", "values")

    def __init__(self, values: Any, indices: Any, dense_shape: Sequence[SupportsIndex] | None = None) -> None:
        self.values = values
        self.indices = indices
        self.dense_shape = dense_shape

    def __repr__(self) -> str:
        return f"<IndexedSlices of {len(self.indices)} rows, dense_shape {self.dense_shape}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """The dense shape. ArrayError if it was not given."""
        shape = known_shape(self)
        if shape is None:
            raise ArrayError(
                "these IndexedSlices do not know their dense shape: give dense_shape=, or to_row_sparse(shape)"
            )
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return _readable(self.values, "values of IndexedSlices").dtype

    def to_row_sparse(self, shape: Sequence[SupportsIndex] | None = None) -> RowSparseArray:
        """The same rows as a RowSparseArray of `shape`, which defaults to `dense_shape`. Values are kept by reference.
        ShapeError if both are known and differ; RowIndexError for an index that is no row."""
        return to_row_sparse(self, self.shape if shape is None else shape)


def is_slices(x: Any) -> bool:
    """Whether x is an IndexedSlices, ours or TensorFlow's."""
    return isinstance(x, IndexedSlices) or all(hasattr(x, n) for n in ("values", "indices", "dense_shape"))


def to_row_sparse(
    x: Any, shape: Sequence[SupportsIndex], what: str = "IndexedSlices", check: bool = True
) -> RowSparseArray:
    """IndexedSlices, ours or TensorFlow's, as a RowSparseArray of `shape`. `check`: that the indices are rows of it."""
    known, wanted = known_shape(x), tuple(int(size) for size in shape)
    if known is not None and known != wanted:
        raise ShapeError(f"{what}: dense_shape is {known}, expected {wanted}")
    values, indices = _readable(x.values, f"values of {what}"), _readable(x.indices, f"indices of {what}")
    if values.shape[1:] != wanted[1:] or values.shape[:1] != indices.shape:
        rows = "".join(f", {size}" for size in wanted[1:])
        raise ShapeError(
            f"{what}: expected values of shape (n{rows or ','}) at n indices, got {values.shape} at {indices.shape}"
        )
    made = RowSparseArray(values, indices, wanted)
    if check:
        made.check_indices(what)
    return made


def known_shape(x: Any) -> tuple[int, ...] | None:
    """`dense_shape` of slices as plain numbers; None where it is not known."""
    if x.dense_shape is None:
        return None
    return tuple(int(size) for size in np.asarray(x.dense_shape).ravel())


def _readable(x: Any, what: str) -> Array:
    """An array on the memory of x, or, of what can only be copied out, such as TensorFlow's tensors, a copy."""
    if isinstance(x, (list, tuple)):
        return np.asarray(x, np.float32 if what.startswith("values") else np.int64)
    can_share = isinstance(x, np.ndarray) or hasattr(x, "__dlpack__") or hasattr(x, "__array_interface__")
    if not can_share and hasattr(x, "__array__"):
        return np.asarray(x)
    return place_of_array(x).view(x, what)

"""RowSparseArray: its parts, its checks, and sums in order of occurrence."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.errors import ArrayError, DTypeError, RowIndexError, ShapeError, SymoptError
from symopt.segments import segments
from symopt.sparse import RowSparseArray, row_sparse_array, zeros

DTYPES = ("float16", ml_dtypes.bfloat16, "float32", "float64")


def sample(dtype: Any = "float32", n: int = 50, rows: int = 12) -> RowSparseArray:
    random = np.random.default_rng(n)
    data = random.normal(size=(n, 3)).astype(dtype)
    return RowSparseArray(data, random.integers(0, rows, n), (rows, 3))


def test_parts_are_kept_by_reference() -> None:
    data, indices = np.zeros((2, 3), np.float32), np.array([4, 1])
    x = RowSparseArray(data, indices, (5, 3))
    assert x.data is data and x.indices is indices
    assert (x.shape, x.dtype.name, x.stype, x.ndim, x.size, x.nnr) == (
        (5, 3),
        "float32",
        "row_sparse",
        2,
        15,
        2,
    )
    assert repr(x) == "<RowSparseArray 5x3, 2 rows stored, float32>"


def test_parts_that_need_it_are_converted() -> None:
    x = RowSparseArray(np.zeros((2, 6))[:, ::2], np.array([4, 1], np.uint16), [np.int32(5), 3])
    assert x.data.flags.c_contiguous and x.indices.dtype == np.int64 and x.shape == (5, 3)
    assert RowSparseArray(np.zeros(2), np.array([0, 3]), [4]).ndim == 1


MISFITS: list[tuple[Any, Any, Any, type[SymoptError], str]] = [
    (np.zeros((2, 3)), [0, 1, 2], (5, 3), ArrayError, "got 3 indices and 2 rows"),
    (np.zeros((2, 4)), [0, 1], (5, 3), ShapeError, r"expected \(n, 3\), got \(2, 4\)"),
    (np.zeros(2), [0, 1], (5, 3), ShapeError, r"expected \(n, 3\), got \(2,\)"),
    (np.zeros((2, 3)), [0.0, 1.0], (5, 3), ArrayError, "must be integers, got dtype float64"),
    (np.zeros((2, 3)), [True, False], (5, 3), ArrayError, "must be integers, got dtype bool"),
    (np.zeros((2, 3)), [[0], [1]], (5, 3), ArrayError, r"one dimension, got shape \(2, 1\)"),
    (np.zeros((2, 3), int), [0, 1], (5, 3), DTypeError, "dtype int64"),
    (np.zeros((2, 3)), [0, 1], (), ShapeError, "at least one"),
    (np.zeros((2, 3)), [0, 1], (-1, 3), ShapeError, "sizes >= 0"),
    (np.zeros((2, 3)), [0, 1], 5, ShapeError, "tuple of sizes"),
]


@pytest.mark.parametrize(("data", "indices", "shape", "error", "text"), MISFITS, ids=[m[4] for m in MISFITS])
def test_parts_that_do_not_fit(data: Any, indices: Any, shape: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        RowSparseArray(data, indices, shape)


@pytest.mark.parametrize(("indices", "text"), [
    ([0, 5, -1], r"the gradient: indices\[1\] = 5 is not a row of 5"),
    ([0, -1, 7], r"the gradient: indices\[1\] = -1 is not a row of 5"),
])  # fmt: skip
def test_the_first_bad_index_is_named(indices: list[int], text: str) -> None:
    x = RowSparseArray(np.zeros((3, 2)), indices, (5, 2))
    with pytest.raises(RowIndexError, match=text):
        x.check_indices("the gradient")
    for use in (x.todense, x.coalesce):
        with pytest.raises(RowIndexError):
            use()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_coalesce_sums_in_order_of_occurrence_and_rounds_once(dtype: Any) -> None:
    x = sample(dtype)
    merged = x.coalesce()
    wide = np.float64 if dtype == "float64" else np.float32
    expected: dict[int, np.ndarray] = {}
    for row, values in zip(x.indices.tolist(), x.data.astype(wide), strict=True):
        expected[row] = expected[row] + values if row in expected else values
    assert merged.indices.tolist() == sorted(expected) and merged.dtype == x.dtype
    assert np.array_equal(merged.data, np.stack([expected[r] for r in sorted(expected)]).astype(dtype))
    assert np.array_equal(x.todense()[merged.indices], merged.data)


def test_coalesce_does_not_share_and_keeps_signs_of_zero() -> None:
    x = RowSparseArray(np.full((2, 1), -0.0), [1, 3], (4, 1))
    merged = x.coalesce()
    assert np.signbit(merged.data).all()
    assert not np.shares_memory(merged.data, x.data) and not np.shares_memory(merged.indices, x.indices)


def test_retain_sets_other_rows_to_zero() -> None:
    x = sample()
    kept = x.retain([3, 7])
    expected = np.zeros_like(x.todense())
    expected[[3, 7]] = x.todense()[[3, 7]]
    assert np.array_equal(kept.todense(), expected)
    assert x.retain([]).nnr == 0
    with pytest.raises(RowIndexError, match=r"rows to retain: indices\[0\] = 12"):
        x.retain([12])


def test_copy_has_memory_of_its_own() -> None:
    x = sample()
    y = x.copy()
    y.data[:] = 0
    y.indices[:] = 0
    assert x.data.any() and x.indices.any() and y.shape == x.shape


def test_row_sparse_array_from_parts() -> None:
    x = row_sparse_array(([[1, 2], [3, 4]], [4, 0]))
    assert (x.shape, x.dtype.name, x.indices.tolist()) == ((5, 2), "float32", [4, 0])
    assert row_sparse_array((x.data, x.indices), shape=(9, 2)).shape == (9, 2)
    assert row_sparse_array((x.data, x.indices)).data is x.data
    assert row_sparse_array((np.ones((2, 1), int), [0, 1]), dtype="bfloat16").dtype.name == "bfloat16"
    assert row_sparse_array((np.ones((0, 2)), []), shape=(3, 2)).nnr == 0
    with pytest.raises(RowIndexError):
        row_sparse_array((x.data, x.indices), shape=(3, 2))
    with pytest.raises(ArrayError, match="a tuple of 3"):
        row_sparse_array((x.data, x.indices, (5, 2)))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("shape", [(6,), (6, 2), (6, 2, 2), (6, 0), (0, 3)], ids=str)
def test_row_sparse_array_from_dense(dtype: Any, shape: tuple[int, ...]) -> None:
    dense = np.zeros(shape, dtype)
    dense[1:5:2] = np.nan
    x = row_sparse_array(dense)
    assert x.indices.tolist() == ([1, 3] if dense.size else [])
    assert (
        np.array_equal(x.todense().astype("f4"), dense.astype("f4"), equal_nan=True)
        and x.dtype == dense.dtype
    )
    assert row_sparse_array(x, dtype="float64").dtype == np.float64
    with pytest.raises(ShapeError, match="was asked for"):
        row_sparse_array(dense, shape=(77,))


def test_zeros() -> None:
    x = zeros((4, 2), "float16")
    assert (x.nnr, x.shape, x.dtype.name) == (0, (4, 2), "float16")
    assert not x.todense().any() and x.coalesce().nnr == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=30), st.sampled_from([10, 1 << 40]))
def test_segments(listed: list[int], n_rows: int) -> None:
    rows, starts, order = segments(np.array(listed, np.int64), n_rows)
    assert rows.tolist() == sorted(set(listed)) and starts.tolist()[:1] == [0]
    assert {a.dtype for a in (rows, starts, order)} == {np.dtype(np.int64)}
    for k, row in enumerate(rows.tolist()):
        positions = order[starts[k] : starts[k + 1]].tolist()
        assert positions == [i for i, listed_row in enumerate(listed) if listed_row == row]
    assert starts[-1] == len(order) == len(listed)


def test_segments_of_the_largest_rows() -> None:
    indices = np.array([2**31 - 1, 0, 2**31 - 1])
    assert [x.tolist() for x in segments(indices, 2**31)] == [[0, 2**31 - 1], [0, 1, 3], [1, 0, 2]]


def test_ascending_indices_are_not_copied() -> None:
    indices = np.array([1, 4, 9])
    assert segments(indices, 10)[0] is indices

"""Serving tables: what is exported is what is looked up, to the bit of its codes; sizes, errors, refusals, memory."""

import os
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symopt as so
from symopt.embedding.compressors import FixedR8, Fp16, Fp32, OneBit
from symopt.embedding.frozen import find_with_numpy, make_index
from symopt.embedding.serving import ServingTable, export_rows, load_serving
from symopt.errors import (
    AttributeValueError,
    DTypeError,
    ShapeError,
    TooLateError,
    UnknownIdError,
)

Array = np.ndarray[Any, np.dtype[Any]]
PINNED_IDS = [-5, 3, 5, 7, 4, 1, 2, 8, 9, 6, -4, 0, -1, -6, -2, -3]
PINNED_STARTS = [0, 2, 5, 10, 16]
EDGES = [0, -1, 1, -(2**63), 2**63 - 1, 2**48, -(2**48), 2**32, 7]
SEGMENTS: dict[str, list[tuple[int, Any]]] = {
    "fp32": [(8, None)],
    "fp16": [(8, "fp16")],
    "fixed_r8": [(8, FixedR8(2.0))],
    "one_bit": [(9, OneBit(amplitude=0.3))],
    "packed": [(9, OneBit(amplitude=0.3, packed=True))],
    "three": [(1, "fp32"), (5, FixedR8()), (3, "fp16")],
    "odd": [(3, "fixed_r8"), (2, Fp32()), (11, OneBit(packed=True)), (1, Fp16())],
}


def some_ids(n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-(2**63), 2**63 - 1, n, dtype=np.int64)
    return rng.permutation(np.unique(np.concatenate([drawn, EDGES])))[:n]


def some_rows(n: int, dim: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.5, (n, dim)).astype(np.float32)


def coded(segments: list[tuple[int, Any]], rows: Array) -> Array:
    """What the compressors leave of rows, one segment at a time."""
    from symopt.embedding.compressors import as_compressor

    found, begin = np.empty_like(rows), 0
    for dim, given_ in segments:
        x, part = as_compressor(given_), np.empty((len(rows), dim), np.float32)
        x.decode_into(x.encode(rows[:, begin : begin + dim]), part)
        found[:, begin : begin + dim] = part
        begin += dim
    return found


def exported(
    folder: Path, segments: Any = ((4, "fixed_r8"),), n: int = 50, **options: Any
) -> tuple[ServingTable, Array, Array]:
    """A table, its ids, and its rows before they were coded."""
    loading = {k: options.pop(k) for k in ("mutable", "verify") if k in options}
    ids, rows = some_ids(n), some_rows(n, sum(dim for dim, _ in segments))
    export_rows(folder / "t", segments, ids, rows, **options)
    return load_serving(folder / "t", **loading), ids, rows


@pytest.mark.parametrize("mutable", [False, True], ids=["mapped", "mutable"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_lookups_give_what_the_codes_keep(name: str, mutable: bool, tmp_path: Path) -> None:
    segments = SEGMENTS[name]
    table, ids, rows = exported(tmp_path, segments, 3000, mutable=mutable)
    expected = coded(segments, rows)
    assert len(table) == 3000 and table.dim == rows.shape[1] and table.is_mutable == mutable
    assert np.array_equal(table.ids(), ids) and list(table) == ids.tolist()
    order = np.random.default_rng(1).integers(0, 3000, 5000)
    assert np.array_equal(table.lookup(ids[order]), expected[order])
    asked = np.concatenate([ids[:10], [123456789, 5], ids[-4:]]).reshape(4, 4)
    found, hits = table.lookup(asked, with_hits=True)
    assert found.shape == (4, 4, table.dim) and hits.shape == (4, 4)
    assert hits.ravel().tolist() == [True] * 10 + [False] * 2 + [True] * 4
    assert np.array_equal(found[hits], expected[[*range(10), *range(2996, 3000)]]) and not found[~hits].any()
    out = np.full((2, table.dim), np.nan, np.float32)
    assert table.lookup(ids[:2], out=out) is out and np.array_equal(out, expected[:2])
    assert ids[0] in table and 5 not in table and table.contains([[5, ids[1]]]).tolist() == [[False, True]]


def test_nothing_is_read_when_a_table_is_opened(tmp_path: Path) -> None:
    """Its arrays are the memory of the files."""
    import mmap

    table, _, _ = exported(tmp_path)
    for array in (table._rows.codes, *table._rows.index):  # type: ignore[union-attr]
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


@settings(deadline=None, max_examples=50)
@given(
    st.sets(
        st.one_of(st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1), st.integers(0, 50)), max_size=80
    ),
    st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, 50)), max_size=40),
)
def test_the_index_finds_what_a_dict_finds(present: set[int], asked: list[int]) -> None:
    ids, wanted = np.array(sorted(present), np.int64), np.array([*asked, *present], np.int64)
    index, rows = make_index(ids, "test"), dict(zip(ids.tolist(), range(len(ids))))
    expected = [rows.get(x, -1) for x in wanted.tolist()]
    assert index.find(wanted).tolist() == expected
    assert not len(ids) or find_with_numpy(index, wanted).tolist() == expected


def test_the_index_in_files_stays_as_it_is() -> None:
    """Files of other versions are read: neither the hash nor the order may change."""
    index = make_index(np.arange(-6, 10), "test")
    assert index.ids.tolist() == PINNED_IDS and index.starts.tolist() == PINNED_STARTS
    assert np.array_equal(index.rows, index.ids + 6)


@pytest.mark.parametrize("step", [1, 2**20, 2**48])
def test_the_index_takes_ids_in_patterns(step: int) -> None:
    """Few places are looked at, whatever the ids: buckets are made of hashes."""
    ids = (np.arange(2**15, dtype=np.uint64) * np.uint64(step)).view(np.int64)
    ids = np.unique(ids)
    index = make_index(ids, "test")
    assert np.array_equal(index.find(ids), np.arange(len(ids)))
    assert np.diff(index.starts.astype(np.int64)).max() < 32
    assert len(ids) < 100 or index.nbytes <= 13.01 * len(ids) + 8


def test_exports_are_the_same_however_rows_are_given(tmp_path: Path) -> None:
    ids, rows = some_ids(700), some_rows(700, 6)
    segments = [(4, FixedR8()), (2, "fp16")]
    export_rows(tmp_path / "array", segments, ids, rows)
    export_rows(
        tmp_path / "function", segments, ids.tolist(), lambda start, stop: rows[start:stop].astype(float)
    )
    files = [{p.name: p.read_bytes() for p in (tmp_path / x).iterdir()} for x in ("array", "function")]
    assert files[0] == files[1]
    tree = so.load(tmp_path / "array")  # a checkpoint like any other
    assert tree["codes"].shape == (700, 8) and tree["segments"][0]["compressor"]["kind"] == "fixed_r8"


def test_rows_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    n, dim = 60_000, 256  # 61 MB in float32
    ids, asked = np.arange(n), []

    def rows(start: int, stop: int) -> Array:
        asked.append((start, stop))
        return np.full((stop - start, dim), 0.25, np.float32)

    export_rows(tmp_path / "warm", [(dim, OneBit(packed=True))], ids[:9], rows)
    asked.clear()
    tracemalloc.start()
    export_rows(tmp_path / "t", [(dim, OneBit(packed=True))], ids, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6 < 4 * n * dim
    assert asked[0][0] == 0 and asked[-1][1] == n and all(a[1] == b[0] for a, b in pairwise(asked))


def test_sizes_and_errors(tmp_path: Path) -> None:
    segments = [(3, FixedR8()), (5, "fp16")]
    ids, rows = some_ids(400), some_rows(400, 8)
    rows[0, :2], rows[1, 3:5] = (0, np.nan), (np.inf, 0)
    report = export_rows(tmp_path / "t", segments, ids, rows, name="users", meta={"day": 3})
    after = coded(segments, rows)
    assert (report.rows, report.row_bytes, report.float32_row_bytes, report.ratio) == (400, 14, 32, 32 / 14)
    for error, columns in zip(report.errors, (slice(0, 3), slice(3, 8)), strict=True):
        before = rows[:, columns].astype(float)
        known = np.isfinite(before)
        gap = abs(after[:, columns][known] - before[known])
        relative = gap[before[known] != 0] / abs(before[known][before[known] != 0])
        found = (error.max_absolute, error.mean_absolute, error.max_relative, error.mean_relative)
        np.testing.assert_allclose(found, (gap.max(), gap.mean(), relative.max(), relative.mean()), rtol=1e-6)
        assert error.not_finite == 1
    table = load_serving(tmp_path / "t")
    assert table.sizes == report and table.name == "users" and table.meta["day"] == 3
    assert table.memory_bytes() == report.total_bytes
    stored = so.checkpoint.info(tmp_path / "t")
    assert stored.meta["sizes"] == report.as_dict()
    assert sum(stored.files.values()) - report.total_bytes < 1000
    assert "14 bytes" in str(report) and "users" in repr(table)


@pytest.mark.parametrize("mutable", [False, True], ids=["mapped", "mutable"])
def test_rows_of_zeros_are_left_out_if_asked(mutable: bool, tmp_path: Path) -> None:
    ids, rows = some_ids(6), some_rows(6, 4)
    rows[1], rows[4] = 0, 1e-8
    report = export_rows(tmp_path / "t", [(4, None)], ids, rows, skip_zero_embedding=True)
    assert (report.rows, report.skipped) == (4, 2)
    table = load_serving(tmp_path / "t", mutable=mutable)
    found, hits = table.lookup(ids, with_hits=True)
    assert hits.tolist() == [True, False, True, True, False, True]
    assert np.array_equal(found[hits], rows[hits]) and not found[~hits].any()
    if mutable:
        table.assign([ids[0], ids[1]], [[0] * 4, [1] * 4])
        assert table.contains(ids[:2]).tolist() == [False, True]
        table.assign_add([ids[1]], [[-1] * 4])
        assert ids[1] not in table


def test_an_empty_table(tmp_path: Path) -> None:
    report = export_rows(tmp_path / "t", [(3, "fp16")], [], np.zeros((0, 3)))
    assert report.rows == 0
    for mutable in (False, True):
        table = load_serving(tmp_path / "t", mutable=mutable)
        assert len(table) == 0 and not table.lookup([1, 2]).any() and table.lookup([]).shape == (0, 3)
        with pytest.raises(UnknownIdError, match="id 1 has no row, nor have 1 more"):
            table.lookup([1, 2], missing="raise")


TRAINING = ["apply_gradients", "lookup_entry", "reinitialize", "touch", "expire", "take_delta", "state_dict"]


@pytest.mark.parametrize("method", TRAINING)
def test_a_serving_table_does_not_train(method: str, tmp_path: Path) -> None:
    table, ids, _ = exported(tmp_path, mutable=True)
    with pytest.raises(TooLateError, match=rf"table\.{method}: this is a serving table.*no optimizer states"):
        getattr(table, method)(ids, np.zeros((len(ids), 4)))


@pytest.mark.parametrize("method, given_", [("assign", True), ("assign_add", True), ("erase", False)])
def test_a_mapped_table_does_not_change(method: str, given_: bool, tmp_path: Path) -> None:
    table, ids, rows = exported(tmp_path)
    with pytest.raises(TooLateError, match="mutable=True"):
        getattr(table, method)(ids, *([rows] if given_ else []))


ROWS = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    "segments, ids, rows, error, message",
    [
        ([], [1, 2], ROWS, AttributeValueError, "at least one segment"),
        ([(0, None)], [1, 2], ROWS, AttributeValueError, "at least 1, got 0"),
        ([(3, "fp8")], [1, 2], ROWS, AttributeValueError, "no compressor is called"),
        ([(3, None)], [1.0, 2.0], ROWS, DTypeError, "ids must be integers"),
        ([(3, None)], [[1, 2]], ROWS, ShapeError, "one-dimensional"),
        ([(3, None)], [1, 1], ROWS, AttributeValueError, "id 1 is there twice"),
        ([(4, None)], [1, 2], ROWS, ShapeError, r"\(2, 4\)"),
        ([(3, None)], [1, 2], lambda a, b: ROWS[:1], ShapeError, r"rows\(0, 2\) must be of shape \(2, 3\)"),
        ([(3, None)], [1, 2], lambda a, b: ROWS.astype(str), DTypeError, "real numbers"),
        ([(3, None)], [1, 2], ROWS * 1j, DTypeError, "real numbers"),
    ],
)
def test_what_is_not_exported(
    segments: Any, ids: Any, rows: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export_rows(tmp_path / "t", segments, ids, rows)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda t: t.lookup([0.5]), DTypeError, "table.lookup: ids must be integers"),
        (lambda t: t.lookup([1], missing="initialize"), AttributeValueError, "'zeros' or 'raise'"),
        (lambda t: t.lookup([1], out=np.zeros((1, 4))), ShapeError, r"float32 array of shape \(1, 4\)"),
        (lambda t: t.assign([1], np.zeros((1, 5))), ShapeError, r"expected shape \(1, 4\)"),
        (lambda t: t.assign(["a"], np.zeros((1, 4))), DTypeError, "table.assign: ids"),
    ],
)
def test_what_lookups_refuse(
    call: Callable[[ServingTable], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    table, _, _ = exported(tmp_path, mutable=True)
    with pytest.raises(error, match=message):
        call(table)

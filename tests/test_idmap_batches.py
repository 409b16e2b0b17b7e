"""Distinct ids of a batch and sums over equal ids, both engines, against loops in Python, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.errors import DTypeError, RowIndexError, ShapeError
from symopt.idmap import IdMap, sum_by, unique

ENGINES = ("native", "reference")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
IDS = st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)), max_size=200)
Array = np.ndarray[Any, Any]


@settings(max_examples=100, deadline=None)
@given(ids=IDS)
def test_unique(ids: list[int]) -> None:
    once = list(dict.fromkeys(ids))
    for engine in ENGINES:
        found = unique(np.array(ids, np.int64), engine=engine)
        assert found.ids.tolist() == once
        assert found.inverse.tolist() == [once.index(i) for i in ids]
        assert found.counts.tolist() == [ids.count(i) for i in once]
        assert all(x.dtype == np.int64 for x in found)


@pytest.mark.parametrize("distinct", [1, 10, 5000, 100_000])
def test_unique_of_many(distinct: int) -> None:
    ids = np.random.default_rng(distinct).integers(0, distinct, 50_000) << 40
    for a, b in zip(unique(ids, engine="native"), unique(ids, engine="reference")):
        np.testing.assert_array_equal(a, b)


def sums_in_python(inverse: Array, n: int, values: Array) -> Array:
    wide = np.float64 if values.dtype == np.float64 else np.float32
    sums: dict[int, Array] = {}
    for k, row in zip(inverse.tolist(), values.astype(wide)):
        sums[k] = sums[k] + row if k in sums else row
    return np.array([sums.get(k, np.zeros(values.shape[1], wide)) for k in range(n)]).reshape(n, -1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("width", [1, 3, 32, 77])
@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16, np.float32, np.float64], ids=str)
def test_sums(dtype: Any, width: int, engine: str) -> None:
    """Many of each, some once, some never; zeros of both signs, infinities, and numbers that vanish beside others."""
    rng = np.random.default_rng(width)
    inverse = np.concatenate([rng.integers(0, 20, 300), np.arange(20, 40), rng.integers(45, 50, 30)])
    values = (rng.standard_normal((350, width)) * 10.0 ** rng.integers(-4, 4, (350, width))).astype(dtype)
    values[rng.random((350, width)) < 0.2] = -0.0
    values[7, 0] = np.inf
    found = sum_by(inverse, 52, values, engine=engine)
    expected = sums_in_python(inverse, 52, values)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_of_wider_arrays(engine: str) -> None:
    """Some columns of a batch, every other row, columns in reverse, Fortran order, the other order of bytes."""
    whole = np.random.default_rng(0).standard_normal((40, 12)).astype(np.float32)
    for values in (
        whole[:, 3:9],
        whole[::2],
        whole[:, ::-1],
        np.asfortranarray(whole),
        whole[::-1],
        whole.astype(">f4"),
    ):
        inverse = np.arange(len(values)) % 7
        found = sum_by(inverse, 7, values, engine=engine)
        assert found.tobytes() == sums_in_python(inverse, 7, values.astype(np.float32)).tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_to_sum(engine: str) -> None:
    assert sum_by([], 0, np.empty((0, 4)), engine=engine).shape == (0, 4)
    assert sum_by([0, 0], 1, np.empty((2, 0)), engine=engine).shape == (1, 0)
    assert not sum_by([], 3, np.empty((0, 4)), engine=engine).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_refused(engine: str) -> None:
    rows = np.ones((2, 3))
    for wrong in (-1, 2):
        with pytest.raises(RowIndexError, match=rf"inverse must be in \[0, 2\), got {wrong}"):
            sum_by([0, wrong], 2, rows, engine=engine)
    for values in (rows[0], rows[:1], rows[None]):
        with pytest.raises(ShapeError, match=r"values must have shape \(2, width\)"):
            sum_by([0, 1], 2, values, engine=engine)
    with pytest.raises(DTypeError, match="values must be float16"):
        sum_by([0, 1], 2, rows.astype(complex), engine=engine)
    with pytest.raises(DTypeError, match="inverse must be integers"):
        sum_by([0.0, 1.0], 2, rows, engine=engine)


def test_numpy_is_enough() -> None:
    """Without llvmlite, "auto" is the reference engine, and "native" says what to install."""
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "llvmlite" else super().find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
import numpy as np
from symopt.errors import DependencyError
from symopt.idmap import IdMap, sum_by, unique
found = IdMap()
assert found.engine == "reference" and found.get_or_insert([4, 2, 4]).slots.tolist() == [0, 1, 0]
assert sum_by(unique([4, 2, 4]).inverse, 2, np.ones((3, 1))).tolist() == [[2.0], [1.0]]
try:
    IdMap(engine="native").get([1])
except DependencyError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install llvmlite" in run.stdout


def test_threads() -> None:
    """Lookups in one map, and batches of any size, in several threads at once."""
    ids = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 20_000)
    found = IdMap()
    found.get_or_insert(ids)
    parts = [ids[k : k + 4000 + 500 * k % 3000] for k in range(0, 16_000, 1000)]

    def work(part: Array) -> bool:
        once = unique(np.concatenate([part, part[::-1]]))
        sums = sum_by(once.inverse, len(part), np.ones((2 * len(part), 3)))
        return bool((found.get(once.ids) == found.get(part)).all() and (sums == 2).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, parts * 10))

"""Whether what an executor holds is finite: every dtype and place, and what is told of what is not."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.dtypes import COMPLEX, FLOATS, to_numpy
from symopt.emulatedarrays import emulated_gpus
from symopt.finite import BLOCK, Bad, scan, scan_rows
from symopt.places import HOST, from_host
from symopt.sparse import RowSparseArray


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX])
@pytest.mark.parametrize("size", [0, 1, 7, BLOCK, BLOCK + 3])
def test_scan_is_what_numpy_says(dtype: str, size: int) -> None:
    rng = np.random.default_rng(size)
    array = rng.standard_normal(size).astype(to_numpy(dtype))
    assert scan(array) == ()
    for what, number in (("nan", np.nan), ("inf", np.inf), ("-inf", -np.inf)):
        places = sorted({0, size // 2, size - 1}) if size else []
        for at in places:
            array[at] = number
        shown = "inf" if dtype in COMPLEX and what == "-inf" else what
        assert scan(array) == ((Bad(shown, len(places), (places[0],)),) if places else ())


def test_kinds_are_told_apart_and_the_first_comes_first() -> None:
    array = np.zeros((3, 5), np.float32)
    array[0, 3], array[2, 4], array[1, 1], array[2, 0] = np.inf, np.nan, np.nan, -np.inf
    assert scan(array) == (Bad("inf", 1, (0, 3)), Bad("nan", 2, (1, 1)), Bad("-inf", 1, (2, 0)))
    assert scan(array.T) == (Bad("-inf", 1, (0, 2)), Bad("nan", 2, (1, 1)), Bad("inf", 1, (3, 0)))
    assert scan_rows(array, np.array([1, 2])) == (Bad("nan", 2, (1, 1)), Bad("-inf", 1, (2, 0)))
    assert scan(np.array(np.nan)) == (Bad("nan", 1, ()),)


def test_a_complex_number_is_nan_if_a_part_is() -> None:
    array = np.array([1, complex(np.inf, np.nan), complex(1, -np.inf)], np.complex64)
    assert scan(array) == (Bad("nan", 1, (1,)), Bad("inf", 1, (2,)))


@pytest.mark.parametrize("strided", [False, True])
def test_no_copy_of_the_array_is_made(strided: bool) -> None:
    array = np.ones((2, 1 << 22), np.float32)[:, :: 2 if strided else 1]
    array[-1, -1] = np.inf
    tracemalloc.start()
    found = scan(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == (Bad("inf", 1, (1, array.shape[1] - 1)),)
    assert peak < array.nbytes / 8


def executor(place: Any) -> tuple[Any, dict[str, Any]]:
    """A lazy table, a counter and an output, all finite."""
    w, g, lr, t = sym.var("w"), sym.var("g"), sym.var("lr", shape=()), sym.var("t", shape=())
    count = sym._plus_scalar(t, scalar=1, out=t, name="count")
    update = sym.sgd_mom_update(w, g, sym.var("mom"), lr=lr, momentum=0.9, out=w, name="emb")
    norm = sym.norm(w, name="size")
    up = (lambda x: x) if place is HOST else (lambda x: from_host(place, x))
    listed = RowSparseArray(up(np.ones((2, 4), np.float32)), up(np.array([7, 3])), (9, 4))
    arrays = {"w": up(np.ones((9, 4), np.float32)), "g": listed, "mom": up(np.zeros((9, 4), np.float32))}
    args = {"w": arrays["w"], "g": listed, "lr": 0.1, "t": 0.0}
    symbol = sym.Group([count, update, norm])
    return symbol.bind(place.context, args=args, aux_states={"mom": arrays["mom"]}), arrays


@pytest.fixture(params=["host", "emulated"])
def place(request: pytest.FixtureRequest) -> Any:
    if request.param == "host":
        yield HOST
        return
    request.getfixturevalue("cxx")
    with emulated_gpus(1) as (emulated,):
        yield emulated


def test_what_is_not_finite_is_named(place: Any) -> None:
    exe, arrays = executor(place)
    assert exe.check_finite() and len(exe.check_finite()) == 0
    assert str(exe.check_finite()) == "all finite"
    arrays["g"].data[1, 2] = np.nan
    arrays["w"][8, 3] = -np.inf
    exe._take({"lr": np.inf})
    report = exe.check_finite()
    assert not report
    found = {(f.name, f.role, f.what, f.count, f.first, f.node) for f in report}
    assert found == {
        ("g", "grad", "nan", 1, (3, 2), "emb"),
        ("w", "weight", "-inf", 1, (8, 3), "emb"),
        ("lr", "number", "inf", 1, (), "emb"),
    }
    assert all(f.where is not None and f.where.file == __file__ for f in report)
    assert "'g' (grad of 'emb'): nan at [3, 2]" in str(report)


def test_outputs_are_looked_at(place: Any) -> None:
    exe, arrays = executor(place)
    arrays["w"][0, 0] = np.inf
    exe.forward()
    assert ("size_output", "output", "inf") in {(f.name, f.role, f.what) for f in exe.check_finite()}
    exe.forward(t=np.inf)
    assert {("t", "number"), ("count_output", "output")} <= {(f.name, f.role) for f in exe.check_finite()}


def test_a_long_report_says_how_much_more_there_is() -> None:
    names = [f"w{k}" for k in range(30)]
    heads = [sym.sgd_update(sym.var(n), sym.var(f"g{n}"), lr=0.1) for n in names]
    args = {n: np.full(3, np.nan, np.float32) for n in (*names, *(f"g{n}" for n in names))}
    report = sym.Group(heads).bind(so.cpu(), args=args).check_finite()
    assert len(report) == 60
    assert "and 40 more" in str(report).splitlines()[-1]

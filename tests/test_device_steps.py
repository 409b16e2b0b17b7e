"""Numbers of the host in steps on a device: a refused step takes them back. And a promise of order changes no bit."""

from typing import Any

import numpy as np
import pytest
from test_engines import bits, random_array

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

pytestmark = pytest.mark.usefixtures("cxx")
ROWS, COLS = 50, 12


def lazy_adam(listed: Any, *, lazy: bool = True, canonical: bool = False) -> tuple[Any, dict[str, Any]]:
    """Adam with bias correction from a counter of steps, on the rows `listed`, which are given by reference."""
    rng = np.random.default_rng(0)
    arrays = {name: random_array(rng, (ROWS, COLS), "float32") for name in "wmv"}
    arrays["v"] = np.abs(arrays["v"])
    g = RowSparseArray(random_array(rng, (len(listed), COLS), "float32"), listed, (ROWS, COLS))
    g.canonical = canonical
    t = sym.var("t", shape=())
    now = t + 1
    lr = 0.1 * sym.sqrt(1 - 0.999**now) / (1 - 0.9**now)
    w, m, v = (sym.var(name) for name in "wmv")
    step = sym.adam_update(w, sym.var("g"), m, v, lr=lr, out=w, lazy_update=lazy)
    count = sym.identity(now, out=t)
    args = {"w": arrays["w"], "g": g, "t": 0.0}
    states = {"m": arrays["m"], "v": arrays["v"]}
    return sym.Group([step, count]).bind(args=args, aux_states=states, engine="emulator"), arrays


def copies(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: array.copy() for name, array in arrays.items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(bits(a[k]), bits(b[k])) for k in a)


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize(("wrong", "place"), [(-1, 0), (ROWS, 3), (2**40, 2)])
def test_a_wrong_index_writes_nothing_and_is_raised_later(lazy: bool, wrong: int, place: int) -> None:
    listed = np.array([3, 40, 7, 7])
    executor, arrays = lazy_adam(listed, lazy=lazy)
    executor.forward()
    before = copies(arrays)
    listed[place] = wrong
    executor.forward()
    assert same(before, arrays)
    with pytest.raises(
        so.errors.RowIndexError, match=rf"'g'.*indices\[{place}\] = {wrong} is not a row of {ROWS}"
    ):
        executor.forward()
    assert same(before, arrays) and executor.arg_dict["t"] == 1
    listed[place] = 5
    executor.forward()
    executor.synchronize()
    assert executor.arg_dict["t"] == 2 and not same(before, arrays)


def test_synchronize_raises_what_the_last_step_ran_into() -> None:
    listed = np.array([3, 4])
    executor, arrays = lazy_adam(listed)
    before = copies(arrays)
    listed[1] = ROWS
    executor.forward()
    with pytest.raises(
        so.errors.RowIndexError, match="neither that step nor one after it has written anything"
    ):
        executor.synchronize()
    assert same(before, arrays) and executor.arg_dict["t"] == 0
    executor.synchronize()


def test_a_fault_that_is_heard_of_late_names_no_index_of_a_later_gradient() -> None:
    """On a GPU the host may be several steps ahead; here word of the first is held back."""
    listed = np.array([3, 40, 7, 7])
    executor, arrays = lazy_adam(listed)
    before = copies(arrays)
    listed[1] = ROWS
    executor.forward()
    executor._step.engine.gate._seen = lambda: np.zeros(4, np.uint64)
    listed[1] = 40
    executor.forward()
    with pytest.raises(
        so.errors.RowIndexError, match=rf"indices\[1\] of an earlier step was not a row of {ROWS}"
    ):
        executor.synchronize()
    assert same(before, arrays) and executor.arg_dict["t"] == 0


@pytest.mark.parametrize("lazy", [True, False])
def test_promised_order_gives_the_same_bits(lazy: bool) -> None:
    results = []
    for canonical in (False, True):
        executor, arrays = lazy_adam(np.array([3, 4, 20, 49]), lazy=lazy, canonical=canonical)
        executor.forward()
        executor.synchronize()
        results.append(arrays)
    assert same(*results)


def test_numbers_of_a_step_that_was_refused_go_back_in_arrays_too() -> None:
    """The step that raises is not the one whose index is wrong: what that one made of numbers must not stay."""
    w, g, t = sym.var("w"), sym.var("g"), sym.var("t", shape=())
    for held in (np.array(1.0), 1.0):
        given = RowSparseArray(np.ones((1, 2), np.float32), np.array([0]), (3, 2))
        args: dict[str, Any] = {"w": np.zeros((3, 2), np.float32), "g": given, "t": held}
        nodes = [sym.sgd_update(w, g, lr=1, out=w), sym._plus_scalar(t, scalar=1, out=t)]
        executor = sym.Group(nodes).bind(args=args, engine="emulator")
        executor.forward()
        given.indices[0] = 9
        executor.forward()
        with pytest.raises(so.errors.RowIndexError, match=r"'g'.*indices\[0\] = 9"):
            executor.forward()
        assert executor.arg_dict["t"] == 2
        given.indices[0] = 1
        executor.forward()
        assert executor.arg_dict["t"] == 3
        assert args["w"].tolist() == [[-1, -1], [-1, -1], [0, 0]]

"""Steps on a device as their user sees them: nothing half done, nothing waited for, replayed or not the same bits."""

from typing import Any

import numpy as np
import pytest
from test_engines import bits, random_array

import symopt as so
from symopt import sym
from symopt.emulatedarrays import emulated_gpus
from symopt.places import from_host, place_of, place_of_array
from symopt.sparse import RowSparseArray

pytestmark = pytest.mark.usefixtures("cxx")
ROWS, COLS = 50, 12


def lazy_adam(
    listed: Any, *, lazy: bool = True, canonical: bool = False, engine: str = "emulator"
) -> tuple[Any, dict[str, Any]]:
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
    return sym.Group([step, count]).bind(args=args, aux_states=states, engine=engine), arrays


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


@pytest.mark.parametrize("listed", [[4, 3], [4, 4]])
def test_a_broken_promise_of_order_writes_nothing(listed: list[int]) -> None:
    executor, arrays = lazy_adam(np.array(listed), canonical=True)
    before = copies(arrays)
    executor.forward()
    with pytest.raises(so.errors.RowIndexError, match=r"canonical=True promises .* indices\[1\]"):
        executor.synchronize()
    assert same(before, arrays)


@pytest.mark.parametrize("lazy", [True, False])
def test_promised_order_gives_the_same_bits(lazy: bool) -> None:
    results = []
    for canonical in (False, True):
        executor, arrays = lazy_adam(np.array([3, 4, 20, 49]), lazy=lazy, canonical=canonical)
        executor.forward()
        executor.synchronize()
        results.append(arrays)
    assert same(*results)


def test_gradients_of_other_lengths_at_each_step() -> None:
    rng = np.random.default_rng(7)
    executor, arrays = lazy_adam(np.array([1, 2]))
    reference, expected = lazy_adam(np.array([1, 2]), engine="reference")
    for n in (0, 1, 7, 60, 2):
        listed = rng.integers(0, ROWS, n)
        g = RowSparseArray(random_array(rng, (n, COLS), "float32"), listed, (ROWS, COLS))
        executor.forward(g=g)
        reference.forward(g=g)
        executor.synchronize()
        assert same(expected, arrays), n


# ---- recorded steps


def clipped(context: Any, engine: str, capture: bool = False) -> tuple[Any, dict[str, Any]]:
    """Several kernels: gradients clipped by their common norm, Adam, and an average of the weights."""
    rng = np.random.default_rng(1)
    args: dict[str, Any] = {"limit": 1.0, "lr": 0.1}
    states: dict[str, Any] = {}
    grads = [sym.var(f"g{k}") for k in range(3)]
    squares = [sym.sum(sym.square(g)) for g in grads]
    scale = sym.var("limit", shape=()) / sym.sqrt(squares[0] + squares[1] + squares[2])
    lr = sym.var("lr", shape=())
    nodes = []
    for k, g in enumerate(grads):
        w, m, v, e = (sym.var(f"{name}{k}") for name in "wmve")
        new = sym.adam_update(w, sym.broadcast_mul(g, scale), m, v, lr=lr * (k + 1), out=w)
        nodes += [new, sym.elemwise_add(0.9 * e, 0.1 * new, out=e)]
        for name in "wge":
            args[f"{name}{k}"] = random_array(rng, (300 * k + 7,), "float32")
        for name in "mv":
            states[f"{name}{k}"] = np.abs(random_array(rng, (300 * k + 7,), "float32"))
    place = place_of(context)
    args = {n: a if isinstance(a, float) else from_host(place, a) for n, a in args.items()}
    states = {n: from_host(place, a) for n, a in states.items()}
    made = sym.Group(nodes).bind(context, args=args, aux_states=states, engine=engine, capture=capture)
    return made, {n: a for n, a in {**args, **states}.items() if not isinstance(a, float)}


def test_recorded_steps_take_new_numbers_and_arrays() -> None:
    rng = np.random.default_rng(2)
    with emulated_gpus():
        executors = [
            clipped(so.cpu(), "reference"),
            clipped(so.gpu(0), "auto"),
            clipped(so.gpu(1), "auto", capture=True),
        ]
        for k in range(6):
            changes: dict[str, Any] = {"lr": 0.1 / (k + 1), "limit": 1.0 + k}
            grad = random_array(rng, (307,), "float32")
            for executor, arrays in executors:
                if k % 2:
                    changes["g1"] = from_host(place_of_array(arrays["g1"]), grad)
                executor.forward(**changes)
            states = [{n: a for n, a in arrays.items() if n[0] != "g"} for _, arrays in executors]
            assert same(states[0], states[1]) and same(states[0], states[2]), k

"""What MXNet's optimizer classes do beyond the trajectories: changes between steps, 16 bits, errors, own classes."""

import copy
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from optimizer_driver import NAMES, Setup, make

import symopt as so
from symopt.optimizer import SGD

engines = pytest.mark.parametrize("engine", ["reference", "native"])

CHANGES = [
    ("adam", {"beta1": 0.5}), ("adam", {"rescale_grad": 0.25}), ("adam", {"clip_gradient": 0.3}),
    ("adam", {"wd": 0.1, "lr": 0.2}), ("adam", {"epsilon": 0.1}), ("sgd", {"momentum": 0.5}),
    ("lamb", {"bias_correction": False}), ("lamb", {"upper_bound": 0.01}), ("adamw", {"rescale_grad": 0.5}),
    ("rmsprop", {"clip_weights": 0.1}), ("ftml", {"clip_gradient": 0.2}), ("signum", {"wd_lh": 0.1}),
    ("adam", {"engine": "reference"}), ("nadam", {"schedule_decay": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=str)
def test_an_attribute_counts_from_the_next_step_on(name: str, change: dict[str, Any]) -> None:
    """As if the optimizer had been made with it, and given the states and counts."""
    kwargs: dict[str, Any] = {"momentum": 0.9} if name == "sgd" else {}
    setup = Setup(make(name, **kwargs))
    for _ in range(2):
        setup.step()
    twin = copy.deepcopy(setup)
    for key, value in change.items():
        setattr(setup.optimizer, key, value)
    fresh = make(name, **kwargs)
    vars(fresh).update(change)
    fresh._index_update_count.update(twin.optimizer._index_update_count)
    fresh.num_update = 2
    for _ in range(2):
        setup.step()
        fresh.update(twin.indices, twin.weights, twin.grads(), twin.states)
    np.testing.assert_equal(setup.weights, twin.weights)


def test_numbers_that_change_do_not_bind_anew() -> None:
    setup = Setup(make("adamw", clip_gradient=1.0))
    setup.step()
    (plan,) = setup.optimizer._plans.values()
    executor = plan._runner.executor  # type: ignore[union-attr]
    vars(setup.optimizer).update(lr=0.5, wd=0.1, beta1=0.8, rescale_grad=0.1, clip_gradient=0.2)
    setup.step()
    assert plan._runner.executor is executor  # type: ignore[union-attr]
    setup.optimizer.clip_gradient = None
    setup.step()
    assert plan._runner.executor is not executor  # type: ignore[union-attr]
    setup.optimizer.clip_gradient = 0.4
    setup.step()
    assert plan._runner.executor is executor  # type: ignore[union-attr]


@pytest.mark.parametrize("bound", [None, 0, 0.0, -1.0])
def test_no_clipping(bound: float | None) -> None:
    setup = Setup(SGD(1.0, clip_gradient=bound))
    before, grads = copy.deepcopy(setup.weights), setup.grads()
    setup.step(grads)
    np.testing.assert_array_equal(setup.weights[0], before[0] - grads[0])


def test_parameters_that_come_later_count_for_themselves() -> None:
    setup = Setup(make("adam", learning_rate=0.1))
    alone = Setup(make("adam", learning_rate=0.1), [(3,)])
    for _ in range(3):
        setup.step()
    late, grads = alone.weights[0].copy(), [alone.grads() for _ in range(2)]
    setup.indices, setup.weights = [*setup.indices, 2], [*setup.weights, late]
    setup.states = [*setup.states, setup.optimizer.create_state(2, late)]
    for grad in grads:
        alone.step(grad)
        setup.step([*(np.zeros_like(w) for w in setup.weights[:2]), *grad])
    np.testing.assert_array_equal(late, alone.weights[0])
    assert dict(setup.optimizer._index_update_count) == {0: 5, 1: 5, 2: 2}
    assert setup.optimizer.num_update == 5


def test_order_and_grouping_of_calls_change_nothing() -> None:
    together, apart, back = (Setup(make("adam")) for _ in range(3))
    for _ in range(3):
        grads = together.grads()
        together.step(grads)
        for i in apart.indices:
            apart.optimizer.update(i, apart.weights[i], grads[i], apart.states[i])
        back.optimizer.update([1, 0], back.weights[::-1], grads[::-1], back.states[::-1])
    np.testing.assert_equal(apart.weights, together.weights)
    np.testing.assert_equal(back.weights, together.weights)


# ---- states and 16 bits

SHAPES = {
    "SGD": None, "NAG": 1, "Signum": 1, "FTML": 3, "LARS": None, "GroupAdaGrad": (4, 1), "RMSProp": 1, "AdaGrad": 1,
    "SGLD": None, "Test": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_states_are_of_mxnets_form(name: str) -> None:
    weight = np.ones((4, 3), np.float32)
    state = make(name).create_state(0, weight)
    wanted = SHAPES.get(name, 2)
    if name == "DCASGD":
        assert state[0] is None and (state[1] == 1).all() and state[1] is not weight
    elif wanted is None:
        assert state is None
    elif isinstance(wanted, tuple):
        assert state.shape == wanted
    elif wanted == 1:
        assert state.shape == (4, 3) and not state.any()
    else:
        assert [x.shape for x in state] == [(4, 3)] * wanted


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [n for n in NAMES if n != "SGLD"])
def test_copies_of_16_bit_weights_move_as_float32_does(name: str, dtype: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    wide = Setup(make(name), dtype="float32")
    for w in wide.weights:
        w[...] = w.astype(kind)
    narrow = copy.deepcopy(wide)
    narrow.optimizer.multi_precision = True
    narrow.weights = [w.astype(kind) for w in wide.weights]
    wide.states, narrow.states = (
        [s.optimizer.create_state_multi_precision(i, w) for i, w in enumerate(s.weights)]
        for s in (wide, narrow)
    )
    for _ in range(3):
        grads = [g.astype(kind) for g in wide.grads()]
        wide.step([g.astype("float32") for g in grads])
        narrow.step(grads)
    for w, (full, _), short in zip(wide.weights, narrow.states, narrow.weights, strict=True):
        np.testing.assert_array_equal(full, w)
        np.testing.assert_array_equal(short, w.astype(kind))


def test_16_bits_without_copies_warn() -> None:
    with pytest.warns(UserWarning, match="multi_precision=True"):
        setup = Setup(make("adam"), dtype="float16")
    setup.step()
    assert setup.states[0][0].dtype == np.float16
    lamb = make("lamb")
    assert lamb.create_state(0, np.ones(3, np.float16))[0].dtype == np.float32


# ---- noise


@engines
def test_sgld(engine: str) -> None:
    setup = Setup(make("sgld", engine, learning_rate=0.01, wd=0.1, rescale_grad=0.5))
    rng = np.random.default_rng(7)
    for _ in range(2):
        before, grads = copy.deepcopy(setup.weights), setup.grads()
        setup.step(grads)
        for w, old, g in zip(setup.weights, before, grads, strict=True):
            noise = rng.standard_normal(w.shape) * math.sqrt(0.01)
            np.testing.assert_allclose(w, old - 0.005 * (0.5 * g + 0.1 * old) + noise, rtol=1e-12)


# ---- names


def test_lars_leaves_biases_to_sgd() -> None:
    names = {0: "fc_weight", 1: "fc_bias"}
    setup = Setup(make("lars", learning_rate=1.0, param_idx2name=names))
    before, grads = copy.deepcopy(setup.weights), setup.grads()
    setup.step(grads)
    rate = 0.001 * np.linalg.norm(before[0]) / (np.linalg.norm(grads[0]) + 1e-8)
    np.testing.assert_allclose(setup.weights[0], before[0] - rate * grads[0])
    np.testing.assert_allclose(setup.weights[1], before[1] - grads[1])


# ---- refused, and nothing written


def bad_grad(s: Setup) -> Any:
    return s.indices, s.weights, [s.weights[0], np.ones(7)], s.states


def bad_dtype(s: Setup) -> Any:
    return s.indices, s.weights, [g.astype("float32") for g in s.grads()], s.states


def bad_state(s: Setup) -> Any:
    return s.indices, s.weights, s.grads(), [s.states[0], s.states[1][0]]


def too_few(s: Setup) -> Any:
    return s.indices, s.weights, s.grads()[:1], s.states


def twice(s: Setup) -> Any:
    return [0, 0], s.weights, s.grads(), s.states


def read_only(s: Setup) -> Any:
    weights = [s.weights[0], s.weights[1].copy()]
    weights[1].flags.writeable = False
    return s.indices, weights, s.grads(), s.states


REFUSED = [
    (bad_grad, ValueError, "1/grad"), (bad_dtype, TypeError, "0/grad"), (bad_state, ValueError, "'1' has as states 2"),
    (too_few, ValueError, "got 2, 2, 1, 2"), (twice, ValueError, "parameter 0 twice"), (read_only, ValueError, "'1'"),
]  # fmt: skip


@pytest.mark.parametrize("ran", [False, True], ids=["first", "later"])
@pytest.mark.parametrize(("given", "error", "text"), REFUSED, ids=lambda x: getattr(x, "__name__", ""))
def test_bad_input_changes_nothing(given: Any, error: type[Exception], text: str, ran: bool) -> None:
    setup = Setup(make("adam"))
    if ran:
        setup.step()
    before = copy.deepcopy((setup.weights, setup.states)), setup.optimizer.num_update
    with pytest.raises(error, match=text) as caught:
        setup.optimizer.update(*given(setup))
    assert isinstance(caught.value, so.SymoptError)
    np.testing.assert_equal((setup.weights, setup.states), before[0])
    assert setup.optimizer.num_update == before[1]
    setup.step()
    assert dict(setup.optimizer._index_update_count) == {0: 1 + ran, 1: 1 + ran}


def test_arrays_that_are_replaced_are_seen() -> None:
    """Also within a state that is a list."""
    setup, twin = Setup(make("adam")), Setup(make("adam"))
    setup.states = [list(s) for s in setup.states]
    for _ in range(3):
        setup.weights = [w.copy() for w in setup.weights]
        for state in setup.states:
            state[1] = state[1].copy()
        setup.step()
        twin.step()
    np.testing.assert_equal(setup.weights, twin.weights)
    np.testing.assert_equal([tuple(s) for s in setup.states], twin.states)

"""What Keras's classes keep: slots, weights in Keras's order, and state by name."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import StateError
from symopt.keras.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Ftrl, Nadam, RMSprop
from symopt.state import Stateful

ORDERS: tuple[tuple[Any, list[str]], ...] = (
    (SGD(), []),
    (SGD(momentum=0.5), ["a/momentum", "b/momentum"]),
    (Adagrad(), ["a/accumulator", "b/accumulator"]),
    (Ftrl(), ["a/accumulator", "a/linear", "b/accumulator", "b/linear"]),
    (Adadelta(), ["a/accum_grad", "b/accum_grad", "a/accum_var", "b/accum_var"]),
    (Adam(), ["a/m", "b/m", "a/v", "b/v"]),
    (Adam(amsgrad=True), ["a/m", "b/m", "a/v", "b/v", "a/vhat", "b/vhat"]),
    (Adamax(), ["a/m", "b/m", "a/v", "b/v"]),
    (Nadam(), ["momentum_cache", "a/m", "b/m", "a/v", "b/v"]),
    (RMSprop(momentum=0.5, centered=True), ["a/rms", "b/rms", "a/momentum", "b/momentum", "a/mg", "b/mg"]),
)


def grads(step: int) -> list[np.ndarray[Any, Any]]:
    return [np.array([0.5, -1.0]) * (step + 1), np.array([[2.0]]) / (step + 1)]


def variables() -> list[so.Variable]:
    return [so.Variable(np.array([1.0, -1.0]), "a:0"), so.Variable(np.array([[0.5]]), "b:0")]


def run(optimizer: Any, on: list[so.Variable], steps: range) -> list[np.ndarray[Any, Any]]:
    for step in steps:
        optimizer.apply_gradients(zip(grads(step), on))
    return [v.numpy() for v in on]


def anew(optimizer: Any) -> Any:
    return type(optimizer).from_config(optimizer.get_config())


@pytest.mark.parametrize("optimizer, order", ORDERS, ids=lambda x: type(x).__name__)
def test_weights_are_in_keras_order(optimizer: Any, order: list[str]) -> None:
    optimizer = anew(optimizer)
    assert optimizer.get_weights() == [] and optimizer.get_slot_names() == []
    run(optimizer, variables(), range(1))
    name = optimizer.name
    assert [w.name for w in optimizer.weights] == [f"{name}/{w}:0" for w in ["iter", *order]]
    assert [w.name for w in optimizer.variables()] == [w.name for w in optimizer.weights]
    assert optimizer.get_slot_names() == list(dict.fromkeys(w.split("/")[1] for w in order if "/" in w))


@pytest.mark.parametrize("way", ["weights", "state"])
@pytest.mark.parametrize("optimizer, order", ORDERS, ids=lambda x: type(x).__name__)
def test_goes_on_where_it_stopped(optimizer: Any, order: list[str], way: str) -> None:
    first, second, on = anew(optimizer), anew(optimizer), variables()
    middle = run(first, on, range(3))
    kept, arrays = first.state_dict(), first.get_weights()
    restored = [so.Variable(x, v.name) for x, v in zip(middle, on, strict=True)]
    second.build(restored)
    if way == "weights":
        second.set_weights(arrays)
    else:
        found = second.load_state_dict(kept)
        assert not found
    expected = run(first, on, range(3, 6))
    for got, want in zip(run(second, restored, range(3, 6)), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert second.iterations == 6


def test_lists_of_older_keras() -> None:
    for cls in (Adagrad, Adadelta, RMSprop):
        optimizer, on = cls(), variables()
        run(optimizer, on, range(2))
        optimizer.set_weights(optimizer.get_weights()[1:])
        assert optimizer.iterations == 0
    adam, on = Adam(), variables()
    run(adam, on, range(2))
    weights = adam.get_weights()
    adam.set_weights([*weights, *weights[3:]])  # vhat of both
    for got, want in zip(adam.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, want)


def test_slots_of_ones_own() -> None:
    optimizer, w = Adam(), so.Variable(np.ones((2, 3), np.float32), "w")
    slot = optimizer.add_slot(w, "extra", "ones")
    assert optimizer.add_slot(w, "extra") is slot is optimizer.get_slot(w, "extra")
    assert slot.numpy().sum() == 6 and slot.dtype == np.float32
    assert optimizer.add_slot(w, "m", lambda shape, dtype: np.full(shape, 0.5, dtype)).numpy().sum() == 3
    assert optimizer.add_slot(w, "small", [1.0, 2.0], shape=(2,)).shape == (2,)
    optimizer.apply_gradients([(np.zeros((2, 3), np.float32), w)])
    np.testing.assert_allclose(optimizer.get_slot(w, "m").numpy(), 0.45)  # it began where add_slot said
    assert optimizer.get_slot_names() == ["extra", "m", "small", "v"]
    free = optimizer.add_weight("scale", (2,), initializer="ones")
    assert not any(weight is free for weight in optimizer.weights)
    assert free.numpy().tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="Unknown initializer"):
        optimizer.add_slot(w, "other", "glorot")
    with pytest.raises(ValueError, match="has shape"):
        optimizer.add_slot(w, "other", np.ones(5))


def test_state_is_by_name() -> None:
    optimizer, w, other, bare = (
        Nadam(0.5),
        so.Variable(np.ones(1), "w"),
        so.Variable(np.ones(1), "w"),
        np.ones(1),
    )
    optimizer.apply_gradients([(np.ones(1), v) for v in (w, other, bare)])
    state = optimizer.state_dict()
    assert list(state["parameters"]) == ["w", "w_1", "Variable"]
    assert list(state["parameters"]["w_1"]["states"]) == ["m", "v"]
    assert (
        state["iterations"] == 1 and state["class"] == "Nadam" and state["config"] == optimizer.get_config()
    )
    assert state["products"]["u_product"] == optimizer.weights[1].numpy()


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda s: s.update({"class": "Adam"}), "class: class is 'Adamax' here, the state has 'Adam'"),
        (lambda s: s.pop("iterations"), "iterations: missing"),
        (lambda s: s.update(iterations=-1), "expected a count"),
        (lambda s: s.update(iterations="many"), "iterations"),
        (lambda s: s["parameters"].pop("a"), "parameters/a: missing"),
        (lambda s: s["parameters"].update(c={}), "parameters/c: only in the state"),
        (lambda s: s["parameters"]["a"]["states"].pop("m"), "parameters/a/states/m: missing"),
        (
            lambda s: s["parameters"]["a"]["states"].update(m=np.ones(3)),
            "parameters/a/states/m: shape is (2,) here, the state has (3,)",
        ),
        (
            lambda s: s["parameters"]["a"]["states"].update(m=np.ones(2, "float32")),
            "parameters/a/states/m: dtype is 'float64' here",
        ),
        (lambda s: s.update(parameters=[1]), "parameters: expected a dict"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, text: str) -> None:
    optimizer, on = Adamax(0.5), variables()
    run(optimizer, on, range(2))
    state = optimizer.state_dict()
    state["parameters"] = {
        key: {**entry, "states": {n: x + 1 for n, x in entry["states"].items()}}
        for key, entry in state["parameters"].items()
    }
    change(state)
    before = optimizer.get_weights()
    with pytest.raises(StateError) as error:
        optimizer.load_state_dict(state)
    assert text in str(error.value)
    for got, want in zip(optimizer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_both_have_can_be_loaded() -> None:
    optimizer, on = Adamax(0.5), variables()
    run(optimizer, on, range(2))
    state = optimizer.state_dict()
    state["parameters"] = {"a": {**state["parameters"]["a"], "states": {"m": np.full(2, 7.0)}}, "c": {}}
    found = optimizer.load_state_dict(state, strict=False)
    assert found.missing == ["parameters/b", "parameters/a/states/v"]
    assert found.unexpected == ["parameters/c"]
    np.testing.assert_array_equal(optimizer.get_slot(on[0], "m").numpy(), [7.0, 7.0])


def test_any_optimizer_can_be_saved() -> None:
    assert isinstance(Adam(), Stateful)


def test_the_rate_is_configuration_not_state() -> None:
    optimizer, on = Adam(0.5), variables()
    run(optimizer, on, range(1))
    other = Adam(0.25)
    other.build(on)
    other.load_state_dict(optimizer.state_dict())
    assert other.learning_rate == 0.25 and other.iterations == 1

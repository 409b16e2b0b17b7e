"""Lists of Keras's get_weights as states of a step of so.compile: a run goes on, in both layouts and directions."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import StateError, UnknownOpError

# class, configuration, what so.compile is given for it
BOTH: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("SGD", {}, "sgd", {}),
    ("SGD", {"momentum": 0.9}, "momentum", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}, "nesterov", {"momentum": 0.9}),
    ("Adam", {"beta_1": 0.8, "epsilon": 1e-4}, "adam", {"beta1": 0.8, "epsilon": 1e-4}),
    ("Adam", {"amsgrad": True}, "amsgrad", {}),
    ("Adamax", {}, "adamax", {}),
    ("Nadam", {}, "nadam", {}),
    ("Adagrad", {"initial_accumulator_value": 0.3}, "adagrad", {"initial": {"history": 0.3}}),
    ("Adadelta", {"rho": 0.9}, "adadelta", {"rho": 0.9}),
    ("RMSprop", {}, "rmsprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}, "centered_rmsprop_mom", {"momentum": 0.5}),
    ("Ftrl", {}, "ftrl", {"initial": {"n": 0.1}}),
]
CASES = [("keras", *case) for case in BOTH] + [("keras3", *case) for case in BOTH]
CASES += [
    ("keras3", "Lion", {}, "lion", {}),
    ("keras3", "AdamW", {"weight_decay": 0.1}, "adamw", {"wd": 0.1}),
    ("keras3", "Lamb", {}, "lamb", {}),
]
LR = 0.0625  # the same in float32, which Keras keeps it in


def drawn(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "fc": rng.standard_normal((4, 3)).astype(np.float32),
        "bias": rng.standard_normal(3).astype(np.float32),
    }


def optimizer_of(layout: str, cls: str, config: dict[str, Any]) -> Any:
    return getattr(getattr(so, layout).optimizers, cls)(learning_rate=LR, **config)


def apply(optimizer: Any, variables: list[Any], seed: int) -> None:
    optimizer.apply_gradients(list(zip(drawn(seed).values(), variables)))


@pytest.mark.parametrize(("layout", "cls", "config", "rule", "attrs"), CASES)
def test_a_run_goes_on(
    layout: str, cls: str, config: dict[str, Any], rule: str, attrs: dict[str, Any]
) -> None:
    weights = drawn(0)
    variables = [so.Variable(x, name=n) for n, x in weights.items()]
    optimizer = optimizer_of(layout, cls, config)
    for seed in range(1, 5):
        apply(optimizer, variables, seed)
    arrays = {name: np.array(v.value) for name, v in zip(weights, variables)}
    step = so.compile(f"{layout}_{rule}", arrays, lr=LR, **attrs)
    full = {"learning_rate": LR, **config}
    step.load_state_dict(so.convert.from_keras_weights(optimizer.get_weights(), arrays, cls, full, layout))
    for seed in range(5, 30):
        apply(optimizer, variables, seed)
        step(drawn(seed))
    for name, v in zip(weights, variables):
        np.testing.assert_allclose(arrays[name], np.asarray(v.value), rtol=3e-4, atol=1e-5)
    back = so.convert.to_keras_weights(step.state_dict(), cls, full, layout)
    expected = optimizer.get_weights()
    assert [np.shape(x) for x in back] == [np.shape(x) for x in expected]
    for ours, theirs in zip(back, expected):
        np.testing.assert_allclose(ours, theirs, rtol=3e-3, atol=1e-5)
    optimizer_of(layout, cls, config).build(variables)
    again = optimizer_of(layout, cls, config)
    again.build(variables)
    again.set_weights(back)
    assert int(again.iterations) == 29


def test_layouts_are_not_mistaken() -> None:
    arrays = drawn(0)
    optimizer = optimizer_of("keras", "Adam", {})
    optimizer.build([so.Variable(x) for x in arrays.values()])
    grouped = optimizer.get_weights()  # count, m, m, v, v
    with pytest.raises(StateError, match=r"layout 'keras3' has arrays of shapes"):
        so.convert.from_keras_weights(grouped, arrays, "Adam")
    with pytest.raises(StateError, match="has arrays of shapes"):
        so.convert.from_keras_weights(grouped[:-1], arrays, "Adam", layout="keras")
    with pytest.raises(UnknownOpError, match="did you mean"):
        so.convert.from_keras_weights(grouped, arrays, "Adma", layout="keras")
    with pytest.raises(StateError, match="averages and accumulated"):
        so.convert.from_keras_weights(grouped, arrays, "Adam", {"use_ema": True})
    step = so.compile("sgd", arrays, lr=0.1)
    with pytest.raises(StateError, match="is updated by sgd_update, and Adam of keras3 is"):
        so.convert.to_keras_weights(step.state_dict(), "Adam")

"""What Keras 3's classes refuse: the types are Keras's, the texts say what was wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import SymoptError
from symopt.keras3 import optimizers as o
from symopt.keras3 import schedules

W = (2,)


def variable(name: str = "w") -> so.Variable:
    return so.Variable(np.zeros(W), name=name)


def built(**options: Any) -> Any:
    made = o.SGD(0.1, **options)
    made.build([variable()])
    return made


def over_a_schedule() -> None:
    optimizer = o.SGD(schedules.ExponentialDecay(0.1, 10, 0.5))
    optimizer.learning_rate = 0.5


def forgot_super() -> None:
    class Forgot(o.Optimizer):
        def __init__(self) -> None:
            self.momentum = 0.5

    Forgot().apply([np.zeros(W)], [variable()])


def momentum_after_build() -> None:
    optimizer = built()
    optimizer.momentum = 0.5
    optimizer.apply([np.zeros(W)])


ONE = np.zeros(W)
REFUSED: dict[str, tuple[type, str, Callable[[], Any]]] = {
    "unknown": (ValueError, "not recognized.*foo", lambda: o.Adam(foo=1)),  # type: ignore[call-arg]
    "lr": (ValueError, "not recognized.*lr", lambda: o.Adam(lr=0.1)),  # type: ignore[call-arg]
    "rate text": (ValueError, "learning_rate.*'fast'", lambda: o.SGD("fast")),  # type: ignore[arg-type]
    "rate nan": (ValueError, "learning_rate", lambda: o.SGD(float("nan"))),
    "rate below 0": (ValueError, "learning_rate", lambda: o.SGD(-0.1)),
    "two clips": (ValueError, "Only one of", lambda: o.SGD(clipnorm=1.0, clipvalue=1.0)),
    "clip 0": (ValueError, "clipnorm", lambda: o.SGD(clipnorm=0.0)),
    "clip below 0": (ValueError, "clipvalue", lambda: o.SGD(clipvalue=-1.0)),
    "decay below 0": (ValueError, "weight_decay", lambda: o.SGD(weight_decay=-1.0)),
    "ema momentum": (ValueError, "ema_momentum", lambda: o.SGD(use_ema=True, ema_momentum=1.5)),
    "ema frequency": (ValueError, "frequency", lambda: o.SGD(use_ema=True, ema_overwrite_frequency=0)),
    "ema part": (ValueError, "frequency", lambda: o.SGD(ema_overwrite_frequency=1.5)),  # type: ignore[arg-type]
    "accumulation 1": (ValueError, "integer >= 2", lambda: o.SGD(gradient_accumulation_steps=1)),
    "accumulation 0": (ValueError, "integer >= 2", lambda: o.SGD(gradient_accumulation_steps=0)),
    "accumulation part": (ValueError, ">= 2", lambda: o.SGD(gradient_accumulation_steps=2.5)),  # type: ignore[arg-type]
    "scale 0": (ValueError, "loss_scale_factor", lambda: o.SGD(loss_scale_factor=0.0)),
    "momentum": (ValueError, "momentum.*between", lambda: o.SGD(momentum=1.5)),
    "ftrl beta": (ValueError, "positive or zero", lambda: o.Ftrl(beta=-1.0)),
    "adamw": (ValueError, "must be a float", lambda: o.AdamW(weight_decay=None)),  # type: ignore[arg-type]
    "lion": (ValueError, "SignSGD", lambda: o.Lion(beta_1=0.0)),
    "lion above": (ValueError, "beta_1", lambda: o.Lion(beta_1=1.5)),
    "beta": (ValueError, "beta_2", lambda: o.Adam(beta_2=1.0)),
    "accumulator": (ValueError, "accumulator", lambda: o.Adagrad(initial_accumulator_value=-0.1)),
    "ftrl l1": (ValueError, "positive or zero", lambda: o.Ftrl(l1_regularization_strength=-0.5)),
    "ftrl power": (ValueError, "negative or zero", lambda: o.Ftrl(learning_rate_power=0.5)),
    "set later": (ValueError, "beta_1", lambda: setattr(o.Adam(), "beta_1", 2.0)),
    "over a schedule": (TypeError, "not settable", over_a_schedule),
    "decay steps": (ValueError, "decay_steps", lambda: schedules.ExponentialDecay(0.1, 0, 0.5)),
    "not built": (ValueError, "build", lambda: o.SGD().apply([ONE])),
    "length": (ValueError, "got 2 for 1", lambda: built().apply([ONE, ONE])),
    "no gradient": (ValueError, "No gradients", lambda: built().apply([None])),
    "no pairs": (ValueError, "pairs", lambda: o.SGD().apply_gradients([])),
    "triples": (ValueError, "pairs", lambda: o.SGD().apply_gradients([(1, 2, 3)])),  # type: ignore[list-item]
    "no pair": (ValueError, "pairs", lambda: o.SGD().apply_gradients([3])),  # type: ignore[list-item]
    "unknown variable": (ValueError, "Unknown variable", lambda: built().apply([ONE], [variable("other")])),
    "twice": (ValueError, "given twice", lambda: o.SGD().apply([ONE, ONE], [v := variable(), v])),
    "shape": (ValueError, "shape", lambda: built().apply([np.zeros(3)])),
    "no row": (IndexError, "7", lambda: built().apply([so.sparse.IndexedSlices(np.zeros(1), [7])])),
    "set_weights first": (ValueError, "not yet been built", lambda: o.SGD().set_weights([])),
    "set_weights length": (ValueError, "2 variables", lambda: built().set_weights([1])),
    "set_weights shape": (ValueError, "not compatible", lambda: built().set_weights([1, np.zeros(3)])),
    "load_own": (ValueError, "nothing was loaded", lambda: built().load_own_variables({"0": 1})),
    "stateless first": (ValueError, "must be built", lambda: o.SGD().stateless_apply([], [], [])),
    "stateless length": (ValueError, "expected 2", lambda: built().stateless_apply([1], [ONE], [ONE])),
    "initializer": (ValueError, "initializer", lambda: o.SGD().add_variable((1,), "glorot")),
    "initializers": (ValueError, "number of", lambda: o.SGD().add_optimizer_variables([], ["a"], ["zeros"] * 2)),
    "swap": (ValueError, "use_ema", lambda: built().swap()),
    "get": (ValueError, "Could not interpret", lambda: o.get(3)),
    "get unknown": (ValueError, "adamm.*did you mean", lambda: o.get("adamm")),
    "function": (ValueError, "LearningRateSchedule", lambda: o.SGD(lambda: 0.1).get_config()),
    "no rule": (NotImplementedError, "update_rule", lambda: o.Optimizer(0.1).build([variable()])),
    "no super": (RuntimeError, "super", forgot_super),
    "too late": (RuntimeError, "'momentum'.*'w'", momentum_after_build),
    "scaled clip": (ValueError, "clipnorm.*inner", lambda: o.LossScaleOptimizer(o.SGD(), clipnorm=1.0)),
    "scaled other": (ValueError, "foo", lambda: o.LossScaleOptimizer(o.SGD(), foo=1.0)),
    "scaled static": (ValueError, "dynamic", lambda: o.LossScaleOptimizer(o.SGD(), dynamic=False)),
    "multi rate": (AttributeError, "no learning rate", lambda: o.MultiOptimizer(lambda v: o.SGD()).learning_rate),
    "multi inner": (ValueError, "neither", lambda: o.OptimizerMap(o.SGD(), {"a": o.LossScaleOptimizer(o.SGD())})),
    "multi default": (TypeError, "default", lambda: o.OptimizerMap(3)),  # type: ignore[arg-type]
    "multi two": (ValueError, "Multiple", lambda: o.OptimizerMap(o.SGD(), {"a.*": o.SGD(), ".*b": o.SGD()})["ab"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    kind, text, call = REFUSED[what]
    with pytest.raises(kind, match=text) as caught:
        call()
    assert isinstance(caught.value, SymoptError)


def test_an_error_changes_nothing() -> None:
    variables = [variable("a"), variable("b")]
    optimizer = o.Adam(0.1, weight_decay=0.5, gradient_accumulation_steps=2)
    optimizer.apply([np.ones(2), np.ones(2)], variables)
    before = [x.numpy() for x in (*variables, *optimizer.variables)]
    for grads in ([np.ones(2), np.ones(3)], [np.ones(2), "text"], [None, None], [np.ones(2)]):
        with pytest.raises((ValueError, TypeError)):
            optimizer.apply(grads, variables)
    after = [x.numpy() for x in (*variables, *optimizer.variables)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rate", [1, np.float32(0.5), np.array([0.25]), 0])
def test_any_real_number_is_a_learning_rate(rate: Any) -> None:
    assert o.SGD(rate).get_config()["learning_rate"] == float(np.asarray(rate).item())

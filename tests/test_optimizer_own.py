"""Optimizer classes that users write: a step in NumPy, or the rule of an op."""

import copy
import math
from typing import Any

import numpy as np
import pytest
from optimizer_driver import Setup

import symopt as so
from symopt.optimizer import Adam, Optimizer

engines = pytest.mark.parametrize("engine", ["reference", "native"])


class Plain(Optimizer):
    """A step in NumPy, as one writes it for MXNet."""

    def create_state(self, index: Any, weight: Any) -> Any:
        return np.zeros_like(weight)

    def step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        for index, weight, grad, state in zip(indices, weights, grads, states, strict=True):
            self._update_count(index)
            lr, wd = self._get_lr(index), self._get_wd(index)
            t = self._index_update_count[index]
            state += grad * self.rescale_grad
            weight -= lr / t * (state + wd * weight)


class Ruled(Optimizer):
    """An op of the catalogue, and numbers."""

    decay = 0.9

    def rule(self, lr: float, wd: float, t: int, kind: Any) -> Any:
        return "keras3_lion", {"lr": lr / math.sqrt(t), "beta2": self.decay}


@pytest.mark.parametrize("half", [False, True])
def test_a_step_in_numpy(half: bool) -> None:
    dtype = "float16" if half else "float64"
    setup = Setup(Plain(learning_rate=0.5, wd=0.1, multi_precision=half), dtype=dtype)
    updater = so.optimizer.Updater(copy.deepcopy(setup.optimizer))
    weights = copy.deepcopy(setup.weights)
    expected, total = [w.astype("float32" if half else dtype) for w in weights], [0.0, 0.0]
    for t in (1, 2):
        grads = setup.grads()
        setup.step(grads)
        updater(setup.indices, grads, weights)
        for k in (0, 1):
            total[k] = total[k] + grads[k].astype(expected[k].dtype)
            expected[k] -= 0.5 / t * (total[k] + 0.1 * expected[k])
    for k in (0, 1):
        np.testing.assert_allclose(setup.weights[k], expected[k].astype(dtype), rtol=1e-3 if half else 1e-12)
        np.testing.assert_array_equal(weights[k], setup.weights[k])


@engines
def test_a_rule_of_ones_own(engine: str) -> None:
    optimizer = Ruled(learning_rate=0.1)
    optimizer.engine = engine
    setup = Setup(optimizer)
    w, mean = setup.weights[0].copy(), 0.0
    for t in (1, 2, 3):
        grads = setup.grads()
        setup.step(grads)
        w -= 0.1 / math.sqrt(t) * np.sign(0.9 * mean + 0.1 * grads[0])
        mean = 0.9 * mean + (1 - 0.9) * grads[0]
        np.testing.assert_allclose(setup.weights[0], w)


def test_a_rule_that_is_wrong_says_so() -> None:
    with pytest.raises(so.SymoptError, match="no attribute 'momentum'"):
        Setup(type("Odd", (Optimizer,), {"rule": lambda *_: ("sgd", {"momentum": 1.0})})())
    with pytest.raises(so.SymoptError, match="no update op is called 'sdg'; did you mean"):
        Setup(type("Odd", (Optimizer,), {"rule": lambda *_: ("sdg", {})})())
    with pytest.raises(NotImplementedError, match="input 'noise': define draw"):
        Setup(type("Odd", (Optimizer,), {"rule": lambda *_: ("sgld", {"lr": 1.0})})()).step()


def test_subclasses_of_classes_with_a_step_of_their_own() -> None:
    """The class calls fused_step by default, as MXNet's does; a subclass chooses."""
    klass = type("Mine", (Adam,), {"step": Plain.step, "create_state": Plain.create_state})
    setup = Setup(klass(use_fused_step=False, learning_rate=1.0))
    before, grads = copy.deepcopy(setup.weights), setup.grads()
    setup.step(grads)
    np.testing.assert_allclose(setup.weights[0], before[0] - grads[0])

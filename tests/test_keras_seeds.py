"""The documents on Adamax and Adagrad, sentence by sentence."""

import inspect
import json
from typing import Any

import numpy as np
import pytest

from symopt.keras.optimizers import Adagrad, Adamax, Optimizer
from symopt.keras.schedules import ExponentialDecay
from symopt.sparse import IndexedSlices

METHODS = (
    "add_slot", "add_weight", "apply_gradients", "from_config", "get_config", "get_gradients", "get_slot",
    "get_slot_names", "get_updates", "get_weights", "minimize", "set_weights", "variables",
)  # fmt: skip


def defaults(cls: Any) -> dict[str, Any]:
    """The arguments of a constructor, in order."""
    found = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in found if p.kind is p.POSITIONAL_OR_KEYWORD}


def test_constructors() -> None:
    adamax = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "name": "Adamax"}
    assert list(defaults(Adamax).items()) == list(adamax.items())
    adagrad = {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-07, "name": "Adagrad"}
    assert list(defaults(Adagrad).items()) == list(adagrad.items())
    assert issubclass(Adamax, Optimizer) and issubclass(Adagrad, Optimizer)


def adamax_in_words(w: Any, grads: Any, lr: float, beta1: float, beta2: float, epsilon: float) -> Any:
    """The initialisation and the update rule as the document has them."""
    m = v = np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        m = beta1 * m + (1 - beta1) * g
        v = np.maximum(beta2 * v, np.abs(g))
        current_lr = lr / (1 - beta1**t)
        w = w - current_lr * m / (v + epsilon)
    return w, m, v


@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_adamax_is_what_its_document_says(engine: str) -> None:
    rng = np.random.default_rng(1)
    w, grads = rng.normal(size=(4, 3)), rng.normal(size=(6, 4, 3))
    grads[2] = 0  # v may be next to 0: epsilon is there for that
    expected = adamax_in_words(w, grads, 0.25, 0.75, 0.875, 1e-3)
    optimizer = Adamax(0.25, 0.75, 0.875, 1e-3)
    optimizer.engine = engine
    for g in grads:
        optimizer.apply_gradients([(g, w)])
    for got, want in zip((w, *(optimizer.get_slot(w, n).numpy() for n in "mv")), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    zero = np.ones(2)
    Adamax().apply_gradients([(np.zeros(2), zero)])
    np.testing.assert_array_equal(zero, np.ones(2))


@pytest.mark.parametrize("cls", [Adamax, Adagrad])
def test_sparse_gradients_touch_the_slices_that_were_used(cls: Any) -> None:
    """Rows that were not used keep w, m and v, where a dense gradient with zeros would let them decay."""
    optimizer, w = cls(0.5), np.ones((4, 2))
    optimizer.apply_gradients([(np.ones((4, 2)), w)])
    slots = optimizer.get_slot_names()
    before = w.copy(), [optimizer.get_slot(w, s).numpy() for s in slots]
    optimizer.apply_gradients([(IndexedSlices(np.ones((3, 2)), np.array([2, 0, 2]), (4, 2)), w)])
    for now, old in zip(
        (w, *(optimizer.get_slot(w, s).numpy() for s in slots)), (before[0], *before[1]), strict=True
    ):
        np.testing.assert_array_equal(now[[1, 3]], old[[1, 3]])
        assert (now[2] != old[2]).all()


def test_adagrad_adapts_to_how_often_a_parameter_is_updated() -> None:
    """The more updates, the smaller."""
    optimizer, w = Adagrad(1.0), np.zeros(1)
    moves = []
    for _ in range(4):
        before = w[0]
        optimizer.apply_gradients([(np.ones(1), w)])
        moves.append(before - w[0])
    np.testing.assert_allclose(moves, 1 / (np.sqrt(0.1 + np.arange(1, 5)) + 1e-7), rtol=1e-12)
    assert moves == sorted(moves, reverse=True)
    with pytest.raises(ValueError, match="must be non-negative: -1"):
        Adagrad(initial_accumulator_value=-1)


@pytest.mark.parametrize("cls", [Adamax, Adagrad])
@pytest.mark.filterwarnings("ignore:The `lr` argument")
def test_keywords(cls: Any) -> None:
    """clipnorm by norm, clipvalue by value, decay of the rate by inverse time, lr instead of learning_rate."""
    g = np.array([3.0, -4.0])
    clipped = {"clipnorm": g / 5 * 0.5, "clipvalue": np.array([0.5, -0.5])}
    for name, same in clipped.items():
        one, other = np.ones(2), np.ones(2)
        cls(0.5, **{name: 0.5}).apply_gradients([(g, one)])
        cls(0.5).apply_gradients([(same, other)])
        np.testing.assert_allclose(one, other, rtol=1e-14)
    decayed, by_hand, optimizer = np.ones(2), np.ones(2), cls(lr=0.5)
    slow = cls(0.5, decay=0.5)
    for step in range(3):
        slow.apply_gradients([(g, decayed)])
        optimizer.lr = 0.5 / (1 + 0.5 * step)
        optimizer.apply_gradients([(g, by_hand)])
    np.testing.assert_allclose(decayed, by_hand, rtol=1e-14)
    for wrong in ({"clip": 1.0}, {"momentum": 0.5}):
        with pytest.raises(TypeError, match="Allowed kwargs are"):
            cls(**wrong)


@pytest.mark.parametrize("cls", [Adamax, Adagrad])
def test_members(cls: Any) -> None:
    optimizer, w = cls(ExponentialDecay(0.5, 10, 0.5)), np.ones(2)
    assert all(callable(getattr(optimizer, name)) for name in METHODS)
    assert (
        optimizer.apply_gradients([(np.ones(2), w)], name="step", experimental_aggregate_gradients=False) == 1
    )
    assert optimizer.iterations == 1 and optimizer.weights[0] is optimizer.iterations
    with pytest.raises(TypeError):
        optimizer.apply_gradients([(np.ones(2), w, 3)])
    with pytest.raises(ValueError, match="No gradients provided"):
        optimizer.apply_gradients([(None, w)])
    with pytest.raises(ValueError, match="autograd"):
        optimizer.get_gradients(1.0, [w])
    again = cls.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert again.get_config() == optimizer.get_config() and again.get_weights() == []

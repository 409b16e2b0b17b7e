"""Row_sparse gradients in MXNet's optimizer classes: only the rows listed, or every row."""

import copy
from typing import Any

import numpy as np
import pytest
from optimizer_driver import NAMES, make

from symopt.sparse import RowSparseArray

engines = pytest.mark.parametrize("engine", ["reference", "native"])
ROWS = np.array([5, 1, 5])  # any order, one of them twice
LISTED, OTHERS = np.array([1, 5]), np.array([0, 2, 3, 4])
LAZY = [
    ("SGD", {"momentum": 0.9, "lazy_update": True}), ("SGD", {"lazy_update": True}), ("Adam", {"lazy_update": True}),
    ("AdaGrad", {}), ("GroupAdaGrad", {"wd": 0.0}),
]  # fmt: skip


def gradient(seed: int) -> tuple[RowSparseArray, Any]:
    """A gradient with a row listed twice, and the same as a dense array."""
    data = np.random.default_rng(seed).standard_normal((3, 4))
    sparse = RowSparseArray(data, ROWS, (6, 4))
    return sparse, sparse.todense()


def start() -> Any:
    return np.random.default_rng(9).standard_normal((6, 4))


@engines
@pytest.mark.parametrize(("name", "kwargs"), LAZY, ids=str)
def test_lazy_rows_move_as_if_there_were_no_others(name: str, kwargs: dict[str, Any], engine: str) -> None:
    kwargs = {"wd": 0.1, "rescale_grad": 0.5, "clip_gradient": 0.4, "learning_rate": 0.1, **kwargs}
    whole, part = (make(name, engine, **kwargs) for _ in range(2))
    weight, rows = start(), start()[LISTED]
    states = [whole.create_state(0, weight), part.create_state(0, rows)]
    for seed in range(3):
        sparse, dense = gradient(seed)
        before = copy.deepcopy((sparse.data, sparse.indices))
        whole.update([0], [weight], [sparse], [states[0]])
        part.update([0], [rows], [dense[LISTED]], [states[1]])
        np.testing.assert_equal((sparse.data, sparse.indices), before)
    np.testing.assert_array_equal(weight[LISTED], rows)
    np.testing.assert_array_equal(weight[OTHERS], start()[OTHERS])


@engines
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("AdaGrad", "GroupAdaGrad", "SGLD")])
def test_otherwise_every_row_moves(name: str, engine: str) -> None:
    kwargs: dict[str, Any] = {"wd": 0.1, "learning_rate": 0.1}
    if name in ("SGD", "LARS", "DCASGD"):
        kwargs["momentum"] = 0.9
    optimizers = [make(name, engine, **kwargs) for _ in range(2)]
    weights = [start(), start()]
    states = [o.create_state(0, w) for o, w in zip(optimizers, weights, strict=True)]
    for seed in range(3):
        for optimizer, weight, grad, state in zip(optimizers, weights, gradient(seed), states, strict=True):
            optimizer.update([0], [weight], [grad], [state])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0][OTHERS] != start()[OTHERS]).any()


@engines
def test_ftrl_of_a_row_sparse_weight_is_lazy(engine: str) -> None:
    """As in MXNet, where storage decides; a dense weight is made anew in every row, so it becomes 0 in most."""
    ftrl = make("ftrl", engine)
    weight, dense = RowSparseArray(start(), np.arange(6), (6, 4)), start()
    states = [ftrl.create_state(k, w) for k, w in enumerate((weight, dense))]
    ftrl.update([0, 1], [weight, dense], [gradient(0)[0]] * 2, states)
    np.testing.assert_array_equal(weight.data[OTHERS], start()[OTHERS])
    np.testing.assert_array_equal(weight.data[LISTED], dense[LISTED])
    assert not dense[OTHERS].any()


def test_a_gradient_may_be_dense_in_one_step_and_sparse_in_the_next() -> None:
    adam = make("adam", lazy_update=True, wd=0.1)
    weight, w2 = start(), start()
    states = [adam.create_state(k, w) for k, w in enumerate((weight, w2))]
    for seed, kind in enumerate((0, 1, 0, 0, 1)):
        before = weight.copy()
        adam.update([0, 1], [weight, w2], [gradient(seed)[kind], np.ones((6, 4))], states)
        np.testing.assert_array_equal(
            (weight == before).all(axis=1), [kind == 0 and r in OTHERS for r in range(6)]
        )
    (plan,) = adam._plans.values()
    assert len(list(plan._runners)) == 2


@engines
def test_group_adagrad_is_as_documented(engine: str) -> None:
    optimizer = make("groupadagrad", engine, learning_rate=0.1, rescale_grad=2.0, clip_gradient=1.5)
    weight, expected = start(), start()
    history, h = optimizer.create_state(0, weight), np.zeros((6, 1))
    for seed in range(3):
        sparse, dense = gradient(seed)
        optimizer.update([0], [weight], [sparse if seed % 2 else dense], [history])
        grad = np.clip(dense * 2.0, -1.5, 1.5)
        h += np.mean(np.square(grad), axis=1, keepdims=True)
        expected -= 0.1 * grad / (np.sqrt(h) + 1e-6)
    np.testing.assert_allclose(weight, expected, rtol=1e-12)
    np.testing.assert_allclose(history, h, rtol=1e-12)


def test_a_row_that_is_not_there_changes_nothing() -> None:
    adam = make("adam", lazy_update=True)
    weights = [start(), start()]
    states = [adam.create_state(k, w) for k, w in enumerate(weights)]
    wrong = RowSparseArray(np.ones((1, 4)), [6], (6, 4))
    with pytest.raises(IndexError, match="1/grad"):
        adam.update([0, 1], weights, [np.ones((6, 4)), wrong], states)
    np.testing.assert_array_equal(weights, [start(), start()])
    assert adam.num_update == 0

"""Keras's update ops beyond the recorded vectors: what a sparse gradient moves, aliases, and schedule-free AdamW."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.forms import get_op
from symopt.opdef import OPS
from symopt.sparse import RowSparseArray

STILL: tuple[str, ...] = ()
# What moves in the rows that a sparse gradient does not list; nothing is STILL.
MOVES: dict[str, tuple[str, ...]] = {
    "keras_sgd_update": STILL,
    "keras_momentum_update": STILL,
    "keras_nesterov_update": STILL,
    "keras_adagrad_update": STILL,
    "keras_adamax_update": STILL,
    "keras_adam_update": ("weight", "mean", "var"),
    "keras_amsgrad_update": ("weight", "mean", "var"),
    "keras_nadam_update": ("mean", "var"),
    "keras_rmsprop_update": ("var",),
    "keras_rmsprop_mom_update": STILL,
    "keras_centered_rmsprop_update": ("var", "mean"),
    "keras_centered_rmsprop_mom_update": STILL,
    "keras_adadelta_update": STILL,
    "keras_ftrl_update": STILL,
    "keras_ftrl_power_update": STILL,
    "keras3_sgd_update": STILL,
    "keras3_momentum_update": ("weight", "mom"),
    "keras3_nesterov_update": ("weight", "mom"),
    "keras3_adagrad_update": STILL,
    "keras3_adamax_update": ("weight", "mean", "u"),
    "keras3_adam_update": ("weight", "mean", "var"),
    "keras3_adamw_update": ("weight", "mean", "var"),
    "keras3_amsgrad_update": ("weight", "mean", "var"),
    "keras3_nadam_update": ("weight", "mean", "var"),
    "keras3_rmsprop_update": ("var",),
    "keras3_rmsprop_mom_update": ("weight", "var", "mom"),
    "keras3_centered_rmsprop_update": ("var", "mean"),
    "keras3_centered_rmsprop_mom_update": ("weight", "var", "mean", "mom"),
    "keras3_adadelta_update": ("acc_g", "acc_delta"),
    "keras3_ftrl_update": ("weight",),
    "keras3_ftrl_power_update": ("weight",),
    "keras3_lion_update": ("weight", "mean"),
    "keras3_lamb_update": ("weight", "mean", "var"),
    "keras3_schedule_free_adamw_update": ("weight", "var"),
}


def numbers(name: str) -> dict[str, Any]:
    return {
        k: v for k, v in {"step": 2, "u_product": 0.2, "momentum": 0.5}.items() if k in get_op(name).attrs
    }


def test_the_table_is_complete() -> None:
    others = ("adafactor", "muon")
    names = {name for name in OPS if name.startswith("keras") and not any(x in name for x in others)}
    assert names == set(MOVES)


@pytest.mark.parametrize("name", MOVES)
def test_what_moves_where_there_is_no_gradient(name: str) -> None:
    weight = np.full((4, 3), 0.5)
    states = {state: np.full((4, 3), 0.25) for state in get_op(name).states}
    grad = RowSparseArray(np.full((2, 3), 0.3), np.array([2, 0]), (4, 3))
    before = {n: x.copy() for n, x in ({"weight": weight} | states).items()}
    getattr(so.nd, name)(weight, grad, *states.values(), out=weight, **numbers(name))
    after = {"weight": weight} | states
    assert {n for n in after if (after[n][[1, 3]] != before[n][[1, 3]]).any()} == set(MOVES[name])
    assert all((after[n][[0, 2]] != before[n][[0, 2]]).all() for n in after if n != "max_var")


@pytest.mark.parametrize("name", MOVES)
def test_repeated_rows_are_summed_before_they_are_squared(name: str) -> None:
    """Keras 3 itself squares first; that is not copied."""
    halves = RowSparseArray(np.full((2, 3), 0.3), np.array([2, 2]), (4, 3))
    whole = RowSparseArray(np.full((1, 3), 0.6), np.array([2]), (4, 3))
    results = []
    for grad in (halves, whole):
        weight = np.full((4, 3), 0.5)
        states = [np.full((4, 3), 0.25) for _ in get_op(name).states]
        getattr(so.nd, name)(weight, grad, *states, out=weight, **numbers(name))
        results.append([weight, *states])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["sgd_update", "adam_update", "amsgrad_update"])
def test_rules_that_did_not_change_are_one_op(name: str) -> None:
    assert get_op(f"keras_{name}") is get_op(f"keras3_{name}")


@pytest.mark.parametrize("warmup_steps", [0, 3])
def test_schedule_free_adamw_is_the_papers(warmup_steps: int) -> None:
    """Algorithm 1 of arXiv:2405.15682 with its three sequences, averaged with equal weights."""
    rng = np.random.default_rng(0)
    x = y = z = rng.standard_normal((3, 4))
    weight, z_state, var_state, var = y.copy(), z.copy(), np.zeros((3, 4)), np.zeros((3, 4))
    beta1, beta2, lr, epsilon = 0.8, 0.95, 0.1, 1e-6
    for t in range(1, 6):
        grad = rng.standard_normal((3, 4))
        options = {"step": t, "lr": lr, "beta1": beta1, "beta2": beta2, "epsilon": epsilon}
        so.nd.keras3_schedule_free_adamw_update(
            weight, grad, z_state, var_state, out=weight, warmup_steps=warmup_steps, **options
        )
        var = beta2 * var + (1 - beta2) * grad**2
        rate = lr * min(1, t / warmup_steps) if warmup_steps else lr
        z = z - rate * grad / (np.sqrt(var / (1 - beta2**t)) + epsilon)
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta1) * z + beta1 * x
        np.testing.assert_allclose(weight, y, rtol=1e-10)
        np.testing.assert_allclose(z_state, z, rtol=1e-10)


def test_ftrl_with_the_usual_power_is_the_one_with_a_root() -> None:
    arrays = np.random.default_rng(0).random((4, 3, 5))
    one, other = ([x.copy() for x in arrays] for _ in range(2))
    so.nd.keras_ftrl_update(*one, lr=0.1, l1_regularization_strength=0.1, out=one[0])
    so.nd.keras_ftrl_power_update(*other, lr=0.1, l1_regularization_strength=0.1, out=other[0])
    np.testing.assert_allclose(one, other, rtol=1e-12)

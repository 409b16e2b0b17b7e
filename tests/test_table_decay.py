"""Decay that respects sparsity: what rows miss is made up for, and equals the dense result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.embedding import Segment, Table

engines = pytest.mark.parametrize("engine", ["reference", "native"])
N, DIM, STEPS = 12, 5, 40
IDS = np.arange(N) * 1_000_003 - 7


def batches(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows that are touched at each step, some never, and their gradients."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(STEPS):
        rows = rng.permutation(N - 1)[: rng.integers(0, 5)]
        found.append((rows, rng.standard_normal((len(rows), DIM)).astype(np.float64)))
    return found


def schedule(step: int) -> float:
    return 0.1 / (1 + step % 7)


@engines
@pytest.mark.parametrize("rate", [0.1, schedule], ids=["constant", "schedule"])
@pytest.mark.parametrize("rule", ["monolith_adagrad", "monolith_sgd", "torch_adam"])
def test_global_decay_is_that_of_the_dense_step(rule: str, rate: Any, engine: str) -> None:
    """w = (1 - lr * wd) * w at every step for every row, then the rule for the rows with gradient."""
    wd = 0.3
    segment = Segment(
        DIM,
        rule,
        learning_rate=rate,
        weight_decay=wd,
        decay="decoupled_global",
        initializer=1.0,
        dtype="float64",
    )
    table = Table(segment, engine=engine)
    plain = Table(Segment(DIM, rule, learning_rate=rate, initializer=1.0, dtype="float64"), engine=engine)
    for own in (table, plain):
        own.lookup(IDS, missing="initialize")
    for step, (rows, grads) in enumerate(batches(0)):
        lr = rate(step) if callable(rate) else rate
        weight = plain.lookup(IDS)
        plain.assign(IDS, weight * (1 - lr * wd))
        plain.apply_gradients(IDS[rows], grads)
        table.apply_gradients(IDS[rows], grads)
        np.testing.assert_allclose(table.lookup(IDS), plain.lookup(IDS), rtol=1e-12, err_msg=f"step {step}")
    stored = table.lookup_entry(IDS).weights
    assert abs(stored - table.lookup(IDS)).max() > 0.1  # some rows have not seen all of it
    table.flush()
    np.testing.assert_allclose(table.lookup_entry(IDS).weights, plain.lookup(IDS), rtol=1e-12)
    np.testing.assert_allclose(table.lookup(IDS), plain.lookup(IDS), rtol=1e-12)


@engines
def test_decoupled_decay_is_for_rows_with_gradient(engine: str) -> None:
    table = Table(
        Segment(2, "monolith_sgd", learning_rate=0.5, weight_decay=0.2, decay="decoupled", initializer=1.0),
        engine=engine,
    )
    table.lookup([1, 2], missing="initialize")
    table.apply_gradients([1], [[1.0, 0.0]])
    np.testing.assert_allclose(table.lookup([1, 2]), [[0.4, 0.9], [1.0, 1.0]], rtol=1e-6)


@engines
def test_l2_goes_into_the_gradient(engine: str) -> None:
    table = Table(
        Segment(
            2,
            "monolith_adagrad",
            learning_rate=0.5,
            weight_decay=0.2,
            initializer=1.0,
            initial={"history": 0.0},
        ),
        engine=engine,
    )
    table.apply_gradients([1], [[0.8, -0.2]])
    np.testing.assert_allclose(table.lookup([1]), [[0.5, 1.0]], rtol=1e-6)  # g = 1 and 0
    np.testing.assert_allclose(table.lookup_entry([1]).states["0/history"], [[1, 0]], atol=1e-7)


@engines
def test_rows_that_are_born_late_have_missed_nothing(engine: str) -> None:
    table = Table(
        Segment(
            1, "monolith_sgd", learning_rate=0.5, weight_decay=1.0, decay="decoupled_global", initializer=8.0
        ),
        engine=engine,
    )
    table.apply_gradients([1], [[0.0]])  # a row's first step has its decay, as any other's
    table.apply_gradients([2], [[0.0]])
    assert table.lookup([1, 2]).tolist() == [[2.0], [4.0]]
    table.assign_add([1], [[1.0]])  # on what lookups show
    assert table.lookup([1]).tolist() == [[3.0]]


@engines
def test_decay_that_leaves_nothing_is_refused(engine: str) -> None:
    """Rows could not make up for it: nothing would tell what came after."""
    table = Table(
        Segment(
            1, "monolith_sgd", learning_rate=0.1, weight_decay=2.0, decay="decoupled_global", initializer=8.0
        ),
        engine=engine,
    )
    table.lookup([1, 2], missing="initialize")
    with pytest.raises(so.errors.AttributeValueError, match="nothing of any weight"):
        table.apply_gradients([1, 3], [[3.0], [1.0]], learning_rate=0.5)
    assert len(table) == 2 and table.steps == 0
    assert table.lookup([1]).tolist() == [[8.0]]
    with pytest.raises(so.errors.AttributeValueError, match="weight_decay"):
        Segment(1, "monolith_sgd", learning_rate=1.0, weight_decay=-1.0)


@engines
def test_a_rate_that_is_given_goes_before_the_rules_default(engine: str) -> None:
    table = Table(Segment(1, "torch_adamw", wd=0.0), engine=engine)
    table.apply_gradients([1], [[1.0]], learning_rate=0.5)
    np.testing.assert_allclose(table.lookup([1]), [[-0.5]], rtol=1e-6)


@engines
def test_a_schedule_that_fails_changes_nothing(engine: str) -> None:
    def broken(step: int) -> float:
        if step == 1:
            raise RuntimeError("no rate today")
        return 0.1

    table = Table(Segment(1, "monolith_sgd", learning_rate=broken), engine=engine)
    table.apply_gradients([1], [[1.0]])
    with pytest.raises(RuntimeError, match="today"):
        table.apply_gradients([1, 2], [[1.0], [1.0]])
    assert len(table) == 1 and table.steps == 1

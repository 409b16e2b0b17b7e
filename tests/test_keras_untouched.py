"""After an error nothing has changed: weights, slots, counts, and which variables an optimizer knows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symopt as so
from symopt.sparse import IndexedSlices, RowSparseArray

SHAPES = ((4, 2), (3, 2), (5,))
Make = Callable[[tuple[int, ...]], Any]


def rows(shape: tuple[int, ...], index: int) -> np.ndarray:
    return np.ones((1, *shape[1:]), np.float32)


BAD: dict[str, tuple[Make, str]] = {
    "shape": (lambda shape: np.ones(7, np.float32), r"expected shape .*got \(7,\)"),
    "text": (lambda shape: np.full(shape, "x"), "expected float32, got|must be an array|has dtype"),
    "row too high": (lambda s: IndexedSlices(rows(s, 9), np.array([9]), s), r"indices\[0\] = 9 is not a row of"),
    "negative row": (lambda s: RowSparseArray(rows(s, -1), np.array([-1]), s), r"indices\[0\] = -1 is not a row"),
    "wide rows": (lambda s: IndexedSlices(np.ones((1, 9), np.float32), np.array([0]), s), r"expected .*got \(1, 9\)"),
    "other table": (lambda s: IndexedSlices(rows(s, 0), np.array([0]), (77, 2)), r"\(77, 2\), expected"),
}  # fmt: skip
GOOD: dict[str, Make] = {
    "dense": lambda shape: np.full(shape, 0.5, np.float32),
    "sparse": lambda shape: IndexedSlices(np.ones((2, *shape[1:]), np.float32), np.array([2, 0]), shape),
    "none": lambda shape: None,
}


def make(kind: str) -> Any:
    family, _, cls = kind.partition(" ")
    k3 = so.keras3.optimizers
    if cls == "LossScaleOptimizer":
        return k3.LossScaleOptimizer(k3.Adam(0.1), initial_scale=2.0)
    if cls == "MultiOptimizer":
        return k3.MultiOptimizer(k3.OptimizerMap(k3.Adam(0.1), {"v1": k3.SGD(0.1, momentum=0.5)}))
    options = {"clipnorm": 1.0} if cls == "Adagrad" else {}
    return getattr(getattr(so, family).optimizers, cls)(0.1, **options)


def snapshot(optimizer: Any, variables: list[Any]) -> list[Any]:
    return [v.numpy() for v in variables] + [np.array(w) for w in optimizer.get_weights()]


KINDS = ["keras Adam", "keras Nadam", "keras Adagrad", "keras3 Adam", "keras3 Adagrad", "keras3 Nadam"]
KINDS += ["keras3 LossScaleOptimizer", "keras3 MultiOptimizer"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(plan=st.lists(st.tuples(*[st.sampled_from([*GOOD, *BAD])] * len(SHAPES)), min_size=1, max_size=4))
def test_a_step_is_taken_or_nothing_changes(kind: str, plan: list[tuple[str, ...]]) -> None:
    optimizer = make(kind)
    variables = [so.Variable(np.ones(s, np.float32), name=f"v{k}") for k, s in enumerate(SHAPES)]
    for names in plan:
        before = snapshot(optimizer, variables)
        grads = [(GOOD[n] if n in GOOD else BAD[n][0])(s) for n, s in zip(names, SHAPES, strict=True)]
        is_bad = any(n in BAD for n in names) or all(n == "none" for n in names)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                optimizer.apply_gradients(zip(grads, variables))
        except so.errors.SymoptError:
            assert is_bad
            after = snapshot(optimizer, variables)
            assert len(before) == len(after) and all(map(np.array_equal, before, after))
        else:
            assert not is_bad


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["keras Adam", "keras Adagrad", "keras3 Adam", "keras3 MultiOptimizer"])
@pytest.mark.parametrize("is_first", [True, False])
def test_messages_name_variable_expected_and_given(kind: str, bad: str, is_first: bool) -> None:
    optimizer = make(kind)
    variables = [so.Variable(np.ones(s, np.float32), name=f"v{k}") for k, s in enumerate(SHAPES)]
    if not is_first:
        optimizer.apply_gradients(zip([GOOD["dense"](s) for s in SHAPES], variables))
    grads = [GOOD["dense"](SHAPES[0]), BAD[bad][0](SHAPES[1]), GOOD["dense"](SHAPES[2])]
    with pytest.raises(so.errors.SymoptError, match=f"gradient of '?v1.*({BAD[bad][1]})"):
        optimizer.apply_gradients(zip(grads, variables))


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_step_that_fails_fixes_no_variables(kind: str) -> None:
    optimizer = make(kind)
    wrong, right = ([so.Variable(np.ones(3, np.float32), name="w")] for _ in range(2))
    with pytest.raises(so.errors.ShapeError):
        optimizer.apply_gradients(zip([np.ones(4, np.float32)], wrong))
    optimizer.apply_gradients(zip([np.ones(3, np.float32)], right))
    assert "w_1" not in str(optimizer.state_dict()) and int(optimizer.iterations) <= 1


@pytest.mark.parametrize("kind", [k for k in KINDS if "Multi" not in k])
def test_a_first_step_that_cannot_be_bound_leaves_nothing(kind: str) -> None:
    optimizer, table = make(kind), np.ones((4, 2), np.float32)
    before = [np.array(w) for w in optimizer.get_weights()]
    parts = [table, table[:2]]  # which both would be written
    for _ in range(2):
        with pytest.raises(so.errors.ArrayError, match="shares memory"):
            optimizer.apply_gradients(zip([np.ones(v.shape, np.float32) for v in parts], parts))
        assert len(optimizer.get_weights()) == len(before)
        assert table.all()
    optimizer.apply_gradients([(np.ones((4, 2), np.float32), table)])
    assert int(optimizer.iterations) == 1 and (table != 1).all()
    assert "Variable_1" not in str(optimizer.state_dict())

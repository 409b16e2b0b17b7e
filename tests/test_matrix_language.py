"""What formulas on matrices may say: every pair of shapes that fits, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_engines import bits
from test_matrix import ENGINES, arrays, node, run

import symopt as so
from symopt import sym
from symopt.errors import GraphError, ShapeError
from symopt.forms import get_op
from symopt.lang import (
    RowState,
    State,
    Tensor,
    Updated,
    count,
    row_count,
    row_max,
    row_sum,
    sum_of,
    updated,
    where,
)
from symopt.matrices import ColumnState, Matrix, column_count, column_mean, column_sum, matmul, transpose


@so.update_op
def every_grid_update(weight: Matrix, grad: Tensor, row: RowState, col: ColumnState, mom: State, *,
                             lr: float = 1.0) -> Updated:  # fmt: skip
    """Every pair of grids that fits: values, conditions and numbers."""
    mean = column_mean(row)
    row = where(col > 0.5, grad, -grad) * row
    cross = matmul(transpose(weight), grad)
    turned = transpose(grad) * row_max(transpose(weight)) + row_count(transpose(weight))
    square = matmul(weight, transpose(weight)) * 2 + sum_of(cross) / count(cross)
    mom = matmul(square, weight) + transpose(turned) / column_count(weight) + row
    return updated(
        mom - lr * mean, row=row_sum(square) + mean, col=column_sum(cross) + row_sum(mean), mom=mom
    )


def every_grid(weight: Any, grad: Any, row: Any, col: Any, lr: float) -> tuple[Any, ...]:
    def t(x: Any) -> Any:
        return x.swapaxes(-1, -2)

    row, col = row[..., None], col[..., None, :]
    mean = row.mean(-2, keepdims=True)
    product = np.where(col > 0.5, grad, -grad) * row
    cross = t(weight) @ grad
    turned = t(grad) * t(weight).max(-1, keepdims=True) + weight.shape[-2]
    square = weight @ t(weight) * 2 + cross.mean()
    mom = square @ weight + t(turned) / weight.shape[-2] + product
    row, col = square.sum(-1, keepdims=True) + mean, cross.sum(-2, keepdims=True) + mean
    return mom - lr * mean, row[..., 0], col[..., 0, :], mom


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 3, 4), (1, 1), (130, 70)], ids=str)
def test_grids(shape: tuple[int, ...]) -> None:
    args, states = arrays("every_grid_update", shape)
    expected = every_grid(args["weight"], args["grad"], states["row"], states["col"], 0.5)
    one, other = (run(node("every_grid_update", lr=0.5), args, states, engine) for engine in ENGINES)
    for name, value in zip(("weight", *states), expected, strict=True):
        np.testing.assert_allclose(one[name], value, rtol=1e-10, atol=1e-12)
        assert np.array_equal(bits(one[name]), bits(other[name]))


@so.update_op
def cubic_update(weight: Matrix, grad: Tensor, *, lr: float = 1.0) -> Updated:
    """The new weight is the result of the library itself, which reads the old one."""
    return updated(matmul(matmul(weight, transpose(grad)), weight))


def test_a_product_is_not_written_over_its_operands() -> None:
    args, _ = arrays("cubic_update", (4, 3))
    for engine in ENGINES:
        found = run(node("cubic_update"), args, {}, engine)["weight"]
        np.testing.assert_allclose(found, args["weight"] @ args["grad"].T @ args["weight"], rtol=1e-12)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200, 8193])
def test_column_sums_have_the_canonical_order(size: int) -> None:
    x = np.random.default_rng(size).standard_normal((size, 3)).astype(np.float32)
    rows = sym.sum(sym.var("x"), axis=1).bind(args={"x": np.ascontiguousarray(x.T)}).forward()[0]

    @so.update_op
    def column_sum_update(weight: Matrix, grad: Tensor, col: ColumnState) -> Updated:
        return updated(weight, col=column_sum(weight))

    col = np.zeros(3, np.float32)
    so.nd.column_sum_update(x, x.copy(), col)
    assert np.array_equal(bits(col), bits(rows))


# ---- what is refused


def refused(formula: Callable[..., Any]) -> None:
    name = so.update_op(formula).__name__
    variables = [sym.var(n) for n in get_op(name).input_names()]
    args, states = arrays(name, (4, 3))
    getattr(sym, name)(*variables).bind(args=args, aux_states=states)


def test_matrices_that_do_not_fit() -> None:
    def bad_matrix_update(weight: Matrix, grad: Tensor) -> Updated:
        return updated(matmul(weight, grad))

    with pytest.raises(
        GraphError,
        match=r"\(rows x columns\) and \(rows x columns\) do not fit, in .*test_matrix_language.py:",
    ):
        refused(bad_matrix_update)

    def bad_matrix_update(weight: Matrix, grad: Tensor) -> Updated:  # type: ignore[no-redef]
        return updated(weight + transpose(grad))

    with pytest.raises(
        GraphError, match=r"add: matrices of \(rows x columns\) and \(columns x rows\) do not fit"
    ):
        refused(bad_matrix_update)

    def bad_matrix_update(weight: Matrix, grad: Tensor, col: ColumnState) -> Updated:  # type: ignore[no-redef]
        return updated(weight, col=col * weight)

    with pytest.raises(
        GraphError, match=r"col: a value of \(rows x columns\) does not fit the array of \(1 x columns\)"
    ):
        refused(bad_matrix_update)

    def bad_matrix_update(weight: Matrix, grad: Tensor) -> Updated:  # type: ignore[no-redef]
        return updated(matmul(weight, sum_of(grad)))

    with pytest.raises(GraphError, match="matmul: a number is no matrix"):
        refused(bad_matrix_update)


def test_matrices_must_be_declared() -> None:
    def bad_matrix_update(weight: Tensor, grad: Tensor) -> Updated:
        return updated(transpose(weight))

    with pytest.raises(GraphError, match="transpose is for formulas whose weight is annotated Matrix"):
        refused(bad_matrix_update)
    for bad in (lambda: so.op(_ordinary), lambda: so.update_op(_columns)):
        with pytest.raises(GraphError, match="only the weight of an update op can be a Matrix"):
            bad()


def _ordinary(data: Matrix) -> Tensor:
    return data


def _columns(weight: Tensor, grad: Tensor, col: ColumnState) -> Updated:
    return updated(weight, col=col)


def test_shapes_that_are_refused() -> None:
    w, g, row, col = (np.ones(s) for s in ((4, 3), (4, 3), (4,), (3,)))
    with pytest.raises(ShapeError, match="weight must be a matrix or a stack of matrices"):
        so.nd.keras3_muon_update(row, row.copy(), row.copy())
    with pytest.raises(ShapeError, match="col must have one value per column of weight"):
        so.nd.keras3_adafactor_update(w, g, row, row.copy(), step=1)
    with pytest.raises(ShapeError, match="row must have one value per row of weight"):
        so.nd.keras3_adafactor_update(w, g, col, col.copy(), step=1)

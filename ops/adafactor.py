"""Adafactor: second moments of a matrix as the product of one number per row and one per column."""

from symopt.lang import (
    Integer,
    RowState,
    State,
    Tensor,
    Updated,
    abs2,
    maximum,
    mean_of,
    minimum,
    row_mean,
    sqrt,
    updated,
)
from symopt.matrices import ColumnState, Matrix, column_mean, matmul
from symopt.opdef import update_op


@update_op
def keras3_adafactor_update(weight: Matrix, grad: Tensor, row: RowState, col: ColumnState, *,
                            step: Integer, lr: float = 0.001, beta2_decay: float = -0.8, epsilon1: float = 1e-30,
                            epsilon2: float = 1e-3, clip_threshold: float = 1.0, wd: float = 0.0) -> Updated:
    """Adafactor [Shazeer & Stern 2018, arXiv:1804.04235] without momentum; Keras 3, decay apart from the gradient."""
    weight = weight - lr * (wd * weight)
    beta2 = 1 - step**beta2_decay
    squares = abs2(grad) + epsilon1
    row = beta2 * row + (1 - beta2) * row_mean(squares)
    col = beta2 * col + (1 - beta2) * column_mean(squares)
    u = grad / sqrt(matmul(row / column_mean(row), col))
    return updated(_stepped(weight, u, step, lr, epsilon2, clip_threshold), row=row, col=col)


@update_op
def keras3_adafactor_vector_update(weight: Tensor, grad: Tensor, var: State, *,
                                   step: Integer, lr: float = 0.001, beta2_decay: float = -0.8,
                                   epsilon1: float = 1e-30, epsilon2: float = 1e-3, clip_threshold: float = 1.0,
                                   wd: float = 0.0) -> Updated:
    """Adafactor with one second moment per element: what Keras 3 does to a weight of one axis."""
    weight = weight - lr * (wd * weight)
    beta2 = 1 - step**beta2_decay
    var = beta2 * var + (1 - beta2) * (abs2(grad) + epsilon1)
    return updated(_stepped(weight, grad / sqrt(var), step, lr, epsilon2, clip_threshold), var=var)


def _stepped(weight: Tensor, u: Tensor, step: float, lr: float, epsilon2: float, clip_threshold: float) -> Tensor:
    """The weight after a step against u, in proportion to the size of the weight, with u clipped by its own size."""
    rate = maximum(_rms(weight), epsilon2) * minimum(lr, step**-0.5)
    return weight - rate * u / maximum(_rms(u) / clip_threshold, 1)


def _rms(x: Tensor) -> Tensor:
    return sqrt(mean_of(abs2(x)))

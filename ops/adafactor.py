"""Adafactor: the second moments of a matrix are made of one number per row and one per column."""

from symopt.lang import (
    Integer,
    RowState,
    State,
    Tensor,
    Updated,
    abs2,
    lerp,
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
    """Adafactor [Shazeer & Stern 2018, arXiv:1804.04235] without momentum; Keras 3, decay before anything else."""
    weight = weight - lr * (wd * weight)
    beta2 = 1 - step**beta2_decay
    squares = abs2(grad) + epsilon1
    row = beta2 * row + (1 - beta2) * row_mean(squares)
    col = beta2 * col + (1 - beta2) * column_mean(squares)
    u = grad / sqrt(matmul(row / column_mean(row), col))
    return updated(weight - _rate(weight, step, lr, epsilon2) * _clipped(u, clip_threshold), row=row, col=col)


@update_op
def keras3_adafactor_vector_update(weight: Tensor, grad: Tensor, var: State, *,
                                   step: Integer, lr: float = 0.001, beta2_decay: float = -0.8,
                                   epsilon1: float = 1e-30, epsilon2: float = 1e-3, clip_threshold: float = 1.0,
                                   wd: float = 0.0) -> Updated:
    """Adafactor with one second moment per element: what Keras 3 does to a weight of one axis."""
    weight = weight - lr * (wd * weight)
    beta2 = 1 - step**beta2_decay
    var = beta2 * var + (1 - beta2) * (abs2(grad) + epsilon1)
    u = grad / sqrt(var)
    return updated(weight - _rate(weight, step, lr, epsilon2) * _clipped(u, clip_threshold), var=var)


@update_op
def torch_adafactor_update(weight: Matrix, grad: Tensor, row_var: RowState, col_var: ColumnState, *,
                           step: Integer, lr: float = 1e-2, beta2_decay: float = -0.8,
                           epsilon1: float = 2.0**-23, epsilon2: float = 1e-3, d: float = 1.0, wd: float = 0.0,
                           maximize: bool = False) -> Updated:
    """Adafactor of torch 2.13, the size of the weight taken before decay; epsilon1 is torch's for float32."""
    g = -grad if maximize else grad
    row_var = lerp(row_var, row_mean(abs2(g)), step**beta2_decay)
    col_var = lerp(col_var, column_mean(abs2(g)), step**beta2_decay)
    var = matmul(row_var, col_var) / maximum(column_mean(row_var), epsilon1)
    u = g / sqrt(maximum(var, epsilon1 * epsilon1))
    rate = _rate(weight, step, lr, epsilon2)
    return updated(weight - lr * (wd * weight) - rate * _clipped(u, d), row_var=row_var, col_var=col_var)


@update_op
def torch_adafactor_vector_update(weight: Tensor, grad: Tensor, variance: State, *,
                                  step: Integer, lr: float = 1e-2, beta2_decay: float = -0.8,
                                  epsilon1: float = 2.0**-23, epsilon2: float = 1e-3, d: float = 1.0,
                                  wd: float = 0.0, maximize: bool = False) -> Updated:
    """torch_adafactor_update of a weight of one axis: one second moment per element."""
    g = -grad if maximize else grad
    variance = lerp(variance, abs2(g), step**beta2_decay)
    u = g / sqrt(maximum(variance, epsilon1 * epsilon1))
    rate = _rate(weight, step, lr, epsilon2)
    return updated(weight - lr * (wd * weight) - rate * _clipped(u, d), variance=variance)


def _rate(weight: Tensor, step: float, lr: float, epsilon2: float) -> Tensor:
    """A learning rate in proportion to the size of the weight."""
    return maximum(_rms(weight), epsilon2) * minimum(lr, step**-0.5)


def _clipped(u: Tensor, threshold: float) -> Tensor:
    """u, made smaller as a whole where its root mean square is above the threshold."""
    return u / maximum(_rms(u) / threshold, 1)


def _rms(x: Tensor) -> Tensor:
    return sqrt(mean_of(abs2(x)))

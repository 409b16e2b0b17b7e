"""Reductions over all elements (axis=None) or over each row (every axis but the first), in the canonical order."""

from symopt import lang
from symopt.lang import Tensor, Tensors
from symopt.opdef import op


@op(name="sum", aliases=("sum_axis",))
def sum_(data: Tensor, *, axis: bool = False, keepdims: bool = False) -> Tensor:
    """Sum of the elements."""
    return lang.row_sum(data) if axis else lang.sum_of(data)


@op
def mean(data: Tensor, *, axis: bool = False, keepdims: bool = False) -> Tensor:
    """Mean of the elements; NaN of none."""
    return lang.row_mean(data) if axis else lang.sum_of(data) / lang.count(data)


@op(name="max", aliases=("max_axis",))
def max_(data: Tensor, *, axis: bool = False, keepdims: bool = False) -> Tensor:
    """Largest element; NaN if there is one; -inf of none."""
    return lang.row_max(data) if axis else lang.max_of(data)


@op(name="min", aliases=("min_axis",))
def min_(data: Tensor, *, axis: bool = False, keepdims: bool = False) -> Tensor:
    """Smallest element; NaN if there is one; inf of none."""
    return lang.row_min(data) if axis else lang.min_of(data)


@op
def norm(data: Tensor, *, ord: int = 2, axis: bool = False, keepdims: bool = False) -> Tensor:
    """Euclidean norm."""
    if ord != 2:
        raise ValueError(f"ord = {ord} must be 2")
    return lang.row_norm(data) if axis else lang.norm(data)


@op
def all_finite(data: Tensor, *, init_output: bool = True) -> Tensor:
    """1 if no element is infinite or NaN, else 0; of shape (1,)."""
    return lang.min_of(lang.where(lang.is_finite(data), 1, 0))


@op(result="compute")
def multi_sum_sq(array: Tensors, *, num_arrays: int = 0, scale: float = 1.0) -> Tensor:
    """Sum of squares of each array: any number of arrays -> (number,)."""
    return lang.sum_of(lang.square(scale * array))

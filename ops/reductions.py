"""Reductions over all elements (axis=None) or over each row (every axis but the first), in the canonical order."""

from symopt import lang
from symopt.lang import States, Tensor, Tensors, Updated, updated
from symopt.opdef import op, update_op


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


def _is_finite32(x: Tensor) -> Tensor:
    """MXNet looks at float32 values, also of float64 arrays: this number is the first that rounds to infinity."""
    return lang.where(lang.absolute(x) < 3.4028235677973366e38, 1, 0)


@op(aliases=("_npi_all_finite", "mxnet1_all_finite"))
def all_finite(data: Tensor, *, init_output: bool = True) -> Tensor:
    """1 if every element is finite as a float32, else 0; of shape (1,). NaN is not."""
    return lang.min_of(_is_finite32(data))


@op(result="compute", aliases=("mxnet1_multi_sum_sq",))
def multi_sum_sq(array: Tensors, *, num_arrays: int = 0, scale: float = 1.0) -> Tensor:
    """Sum of squares of each array: any number of arrays -> (number,)."""
    return lang.sum_of(lang.abs2(scale * array))


@op(then=lang.min_of, aliases=("_npi_multi_all_finite", "mxnet1_multi_all_finite"))
def multi_all_finite(array: Tensors, *, num_arrays: int = 0, init_output: bool = True) -> Tensor:
    """1 if every element of every array is finite as a float32, else 0; of shape (1,)."""
    return lang.min_of(_is_finite32(array))


@update_op(count="num_arrays", aliases=("mxnet1_reset_arrays",))
def reset_arrays(array: States, *, num_arrays: int = 0) -> Updated:
    """Fills every array with zeros. It has no result but the arrays."""
    return updated(None, array=lang.filled(array, 0))

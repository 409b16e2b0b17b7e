"""The language of formulas on matrices: what they may say besides the rest of the language.

The weight is annotated `Matrix`: it has two axes at least, and more are a stack of matrices. Then a *row* is a row of a
matrix, and a value may have other numbers of rows and columns than the weight: sums of rows or columns, products,
transposes. Such values meet as NumPy's arrays do: one row, or one column, goes with any number of them.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from . import pairs
from .errors import GraphError
from .expr import Node
from .lang import abs2, conjugate, row_sum, size, sqrt
from .tensor import Tensor, place

__all__ = [
    "ColumnState", "Matrix", "adjoint", "column_count", "column_mean", "column_sum", "is_tall", "matmul",
    "matrix_norm", "transpose",
]  # fmt: skip

Matrix = Annotated[Tensor, "matrix"]  # the weight: matrices of rows and columns
ColumnState = Annotated[Tensor, "column_state"]  # updated by the formula; one value per column of each matrix


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix product; of a column and a row the outer product. Its last digits depend on the BLAS library."""
    return _call("matmul", x, y)


def transpose(x: Tensor) -> Tensor:
    """Rows and columns exchanged."""
    return _call("transpose", x)


def adjoint(x: Tensor) -> Tensor:
    """Rows and columns exchanged, and imaginary parts negated: of real matrices, the transpose."""
    return transpose(conjugate(x))


def column_sum(x: Tensor) -> Tensor:
    """Sum of each column, in the canonical order: one row."""
    return _call("column_sum", x)


def column_mean(x: Tensor) -> Tensor:
    """Mean of each column: one row."""
    return column_sum(x) / column_count(x)


def column_count(x: Tensor) -> Tensor:
    """Number of elements of a column."""
    _need_matrices(x, "column_count")
    return size(x, 0)


def matrix_norm(x: Tensor) -> Tensor:
    """Euclidean norm of each matrix."""
    return sqrt(column_sum(row_sum(abs2(x))))


def is_tall(x: Tensor) -> bool:
    """Whether the weight has more rows than columns, known when the formula is traced: an `if` may ask it."""
    return x.builder.tall


def _call(op: str, *operands: Tensor) -> Tensor:
    """The routine `op` of a library on whole matrices."""
    for x in operands:
        _need_matrices(x, op)
    builder, where = operands[0].builder, place()

    def call(*nodes: Node) -> Node:
        return builder.routine(op, nodes, where)

    parts = [(x.node, x.imag) for x in operands]
    if len(parts) == 2:
        return Tensor(builder, *pairs.product(call, partial(builder.make, where=where), *parts))
    ((real, imag),) = parts
    return Tensor(builder, call(real), imag and call(imag))


def _need_matrices(x: Tensor, what: str) -> None:
    if not x.builder.matrices:
        raise GraphError(f"{what} is for formulas whose weight is annotated Matrix, in {place()}")

"""Routines of libraries that formulas on matrices use: functions of whole arrays, each a call of its own in a program.

Every engine on the CPU calls the functions of this table on the same arrays, so none can disagree. All have the same
bits everywhere but the matrix product, whose bits depend on the BLAS library behind NumPy (not so an outer product).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import grids
from .canonical import canonical_fold
from .expr import Node

Array = npt.NDArray[Any]


class Routine(NamedTuple):
    """`noun`: what its result is called; `grid`: that of the result, from those of the operands, "" if they do not fit;
    `numpy` takes arrays of (matrices, rows, columns) and writes into the last."""

    noun: str
    grid: Callable[..., str]
    numpy: Callable[..., object]


def _matmul(x: Array, y: Array, out: Array) -> None:
    if x.shape[2] == 1:
        np.multiply(x, y, out=out)  # an outer product has nothing to sum, and no library is faster at it
    else:
        np.matmul(x, y, out=out)


def _copy_transposed(x: Array, out: Array) -> None:
    out[...] = _transposed(x)


def _column_sum(x: Array, out: Array) -> None:
    # Some columns at a time: then the lanes of their sums stay in the cache.
    for first in range(0, x.shape[2], 1024):
        columns = slice(first, first + 1024)
        out[:, 0, columns] = canonical_fold(x[:, :, columns], "add", 0.0)


def _spread(x: Array, out: Array) -> None:
    """The same numbers all along an axis of length 1."""
    out[...] = x


ROUTINES = {
    "matmul": Routine("product", grids.product, _matmul),
    "transpose": Routine("transposed", lambda x: x[::-1], _copy_transposed),
    "column_sum": Routine("column_sum", lambda x: "1" + x[1], _column_sum),
    "spread": Routine("spread", lambda x: x, _spread),
}


def call_routine(node: Node, arrays: Sequence[Array], out: Array) -> None:
    """Write the result of a routine into `out`. Its operands are loads, or transposes of such: these are
    views, which a matrix product reads as they are."""
    ROUTINES[node.op].numpy(*[_operand(x, arrays) for x in node.inputs], out)


def _operand(x: Node, arrays: Sequence[Array]) -> Array:
    return arrays[x.attrs["index"]] if x.op == "load" else _transposed(_operand(x.inputs[0], arrays))


def _transposed(x: Array) -> Array:
    return x.swapaxes(1, 2)

"""The table of primitives: everything a formula may do, one line each.

Columns: name, arity, what it is called in readable text, the NumPy function (the definition), the LLVM text, and
the function that evaluates it on two float64 numbers of the host where NumPy's would not do.
In LLVM text {t} is the type of the operands, {s} its suffix in intrinsic names, {b} the type of a condition.

Reductions fold with `combine` from `identity`, always in the order of the canonical sum (docs/semantics.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .expr import Extent


class Prim(NamedTuple):
    """One primitive. `result` is "same" (dtype of the operands) or "bool"."""

    name: str
    arity: int
    text: str
    numpy: Callable[..., Any]
    llvm: str
    result: str = "same"
    host: Callable[..., float] | None = None
    exact: bool = True  # IEEE-rounded, the same bits everywhere


class Reduction(NamedTuple):
    """A fold of many values to one: over a row or over the whole tensor."""

    name: str
    combine: str
    identity: float
    extent: Extent


def _pow(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        return -math.inf if x < 0 and y % 2 == 1 else math.inf
    except ValueError:
        return math.copysign(math.inf, x) if x == 0 and y % 2 == 1 else math.inf if x == 0 else math.nan


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _log(x: float) -> float:
    return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)


_TABLE = (
    # name, arity, text, NumPy, LLVM
    Prim("add", 2, "{0} + {1}", np.add, "fadd {t} {0}, {1}"),
    Prim("sub", 2, "{0} - {1}", np.subtract, "fsub {t} {0}, {1}"),
    Prim("mul", 2, "{0} * {1}", np.multiply, "fmul {t} {0}, {1}"),
    Prim("div", 2, "{0} / {1}", np.divide, "fdiv {t} {0}, {1}"),
    Prim("fmod", 2, "fmod({0}, {1})", np.fmod, "frem {t} {0}, {1}"),
    Prim("neg", 1, "-{0}", np.negative, "fneg {t} {0}"),
    Prim("abs", 1, "abs({0})", np.abs, "call {t} @llvm.fabs.{s}({t} {0})"),
    Prim("sqrt", 1, "sqrt({0})", np.sqrt, "call {t} @llvm.sqrt.{s}({t} {0})"),
    Prim("floor", 1, "floor({0})", np.floor, "call {t} @llvm.floor.{s}({t} {0})"),
    Prim("ceil", 1, "ceil({0})", np.ceil, "call {t} @llvm.ceil.{s}({t} {0})"),
    Prim("trunc", 1, "trunc({0})", np.trunc, "call {t} @llvm.trunc.{s}({t} {0})"),
    Prim("rint", 1, "rint({0})", np.rint, "call {t} @llvm.rint.{s}({t} {0})"),  # halves to even
    Prim("lt", 2, "{0} < {1}", np.less, "fcmp olt {t} {0}, {1}", "bool"),
    Prim("le", 2, "{0} <= {1}", np.less_equal, "fcmp ole {t} {0}, {1}", "bool"),
    Prim("eq", 2, "{0} == {1}", np.equal, "fcmp oeq {t} {0}, {1}", "bool"),
    Prim("ne", 2, "{0} != {1}", np.not_equal, "fcmp une {t} {0}, {1}", "bool"),
    Prim("and", 2, "{0} and {1}", np.logical_and, "and {b} {0}, {1}", "bool"),
    Prim("or", 2, "{0} or {1}", np.logical_or, "or {b} {0}, {1}", "bool"),
    Prim("where", 3, "{1} if {0} else {2}", np.where, "select {b} {0}, {t} {1}, {t} {2}"),
    Prim("exp", 1, "exp({0})", np.exp, "call {t} @llvm.exp.{s}({t} {0})", "same", _exp, False),
    Prim("log", 1, "log({0})", np.log, "call {t} @llvm.log.{s}({t} {0})", "same", _log, False),
    Prim("tanh", 1, "tanh({0})", np.tanh, "call {t} @llvm.tanh.{s}({t} {0})", "same", math.tanh, False),
    Prim("pow", 2, "{0} ** {1}", np.power, "call {t} @llvm.pow.{s}({t} {0}, {t} {1})", "same", _pow, False),
)
PRIMS = {prim.name: prim for prim in _TABLE}

REDUCTIONS = {
    f"{prefix}{name}": Reduction(f"{prefix}{name}", combine, identity, extent)
    for prefix, extent in (("row_", Extent.ROW), ("", Extent.TENSOR))
    for name, combine, identity in (("sum", "add", 0.0), ("max", "max", -math.inf), ("min", "min", math.inf))
}

# What a row of the domain must be a row of the array for: a flat run of elements has none of it.
NEED_ROWS = {"column", *(name for name, fold in REDUCTIONS.items() if fold.extent == Extent.ROW)}

# What a fold does to two values; max and min let NaN through from either side and take the second of equals.
COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "max": lambda a, b: np.where((a > b) | (a != a), a, b),
    "min": lambda a, b: np.where((a < b) | (a != a), a, b),
}

# Leaves of a formula: `load` reads parameter `index`; `scalar` is a number of the host, by name: an attribute, or
# "count:row" and "count:tensor", how many elements there are; `const` is a number written in the formula; `touched`
# is the condition that a row is in the sparse gradient; `column` is the number of an element in its row, from 0.
LEAVES = ("load", "scalar", "const", "touched", "column")
CAST = "cast"

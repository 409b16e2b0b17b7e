"""The table of primitives: everything a formula may do, one line each.

Columns: name, arity, what it is called in readable text, the NumPy function (the definition), the LLVM text, the CUDA
text, and the function that evaluates it on two float64 numbers of the host where NumPy's would not do.
In LLVM text {t} is the type of the operands, {s} its suffix in intrinsic names, {b} the type of a condition. In CUDA
text {f} is the suffix of functions on float32. A primitive without LLVM text is more than an instruction there.

Reductions fold with `combine` from `identity`, always in the order of the canonical sum (docs/semantics.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .expr import Extent


class Prim(NamedTuple):
    """One primitive. `result` is "same" (dtype of the operands) or "bool"."""

    name: str
    arity: int
    text: str
    numpy: Callable[..., Any]
    llvm: str
    cuda: str
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


def _hash(x: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Mixes 32 bits so that each depends on all."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def _noise(index: npt.NDArray[np.int64], seed: np.float32, salt: np.float32) -> npt.NDArray[np.float32]:
    """A number in [0, 1) for each element, made from its index alone: no state, so no order."""
    low, high = (np.asarray(part, np.uint32) for part in (index & 0xFFFFFFFF, index >> 32))
    seed_bits, salt_bits = (np.asarray(x, np.float32).view(np.uint32) for x in (seed, salt))
    with np.errstate(over="ignore"):
        # The high half comes in after the low one is mixed: else two far runs of indices would share numbers.
        x = _hash(low ^ _hash(seed_bits))
        x = _hash(x + high * np.uint32(0x9E3779B9) + salt_bits * np.uint32(0x85EBCA6B))
    return (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def _toward(x: npt.NDArray[Any], direction: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The neighbour of a 16-bit number on the side that `direction`, a number, is of zero."""
    bits = np.asarray(x).view(np.uint16)
    up = np.asarray(direction) > 0
    away = np.where(up == (bits < 0x8000), 1, -1).astype(np.uint16)
    from_zero = np.where(up, 0x0001, 0x8001).astype(np.uint16)
    return np.where((bits & 0x7FFF) == 0, from_zero, bits + away).view(np.asarray(x).dtype)


def _call(function: str, arity: int = 1) -> str:
    """A call of an LLVM intrinsic."""
    operands = ", ".join(f"{{t}} {{{k}}}" for k in range(arity))
    return f"call {{t}} @llvm.{function}.{{s}}({operands})"


_TABLE = (
    # name, arity, text, NumPy, LLVM, CUDA
    Prim("add", 2, "{0} + {1}", np.add, "fadd {t} {0}, {1}", "{0} + {1}"),
    Prim("sub", 2, "{0} - {1}", np.subtract, "fsub {t} {0}, {1}", "{0} - {1}"),
    Prim("mul", 2, "{0} * {1}", np.multiply, "fmul {t} {0}, {1}", "{0} * {1}"),
    Prim("div", 2, "{0} / {1}", np.divide, "fdiv {t} {0}, {1}", "{0} / {1}"),
    Prim("fmod", 2, "fmod({0}, {1})", np.fmod, "frem {t} {0}, {1}", "fmod{f}({0}, {1})"),
    Prim("neg", 1, "-{0}", np.negative, "fneg {t} {0}", "-{0}"),
    Prim("abs", 1, "abs({0})", np.abs, _call("fabs"), "fabs{f}({0})"),
    Prim("sqrt", 1, "sqrt({0})", np.sqrt, _call("sqrt"), "sqrt{f}({0})"),
    Prim("floor", 1, "floor({0})", np.floor, _call("floor"), "floor{f}({0})"),
    Prim("ceil", 1, "ceil({0})", np.ceil, _call("ceil"), "ceil{f}({0})"),
    Prim("trunc", 1, "trunc({0})", np.trunc, _call("trunc"), "trunc{f}({0})"),
    Prim("rint", 1, "rint({0})", np.rint, _call("rint"), "rint{f}({0})"),  # halves to even
    Prim("lt", 2, "{0} < {1}", np.less, "fcmp olt {t} {0}, {1}", "{0} < {1}", "bool"),
    Prim("le", 2, "{0} <= {1}", np.less_equal, "fcmp ole {t} {0}, {1}", "{0} <= {1}", "bool"),
    Prim("eq", 2, "{0} == {1}", np.equal, "fcmp oeq {t} {0}, {1}", "{0} == {1}", "bool"),
    Prim("ne", 2, "{0} != {1}", np.not_equal, "fcmp une {t} {0}, {1}", "{0} != {1}", "bool"),
    Prim("and", 2, "{0} and {1}", np.logical_and, "and {b} {0}, {1}", "{0} && {1}", "bool"),
    Prim("or", 2, "{0} or {1}", np.logical_or, "or {b} {0}, {1}", "{0} || {1}", "bool"),
    Prim("where", 3, "{1} if {0} else {2}", np.where, "select {b} {0}, {t} {1}, {t} {2}", "{0} ? {1} : {2}"),
    Prim("noise", 3, "noise({1}, {2})", _noise, "", "noise({0}, {1}, {2})"),
    Prim("toward", 2, "neighbour({0}, {1})", _toward, "", "toward({0}, {1})"),
    Prim("exp", 1, "exp({0})", np.exp, _call("exp"), "exp{f}({0})", "same", _exp, False),
    Prim("log", 1, "log({0})", np.log, _call("log"), "log{f}({0})", "same", _log, False),
    Prim("tanh", 1, "tanh({0})", np.tanh, _call("tanh"), "tanh{f}({0})", "same", math.tanh, False),
    Prim("pow", 2, "{0} ** {1}", np.power, _call("pow", 2), "pow{f}({0}, {1})", "same", _pow, False),
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
# is the condition that a row is in the sparse gradient; `index` is the number of the element, or row, in the tensor,
# `column` that of an element in its row, from 0.
LEAVES = ("load", "scalar", "const", "touched", "index", "column")
CAST = "cast"
# A complex number made of two real ones, its parts: only what is stored is one. Loads of complex arrays have an
# attribute `part` (0 real, 1 imaginary) and the dtype of the parts; all primitives are real.
PAIR = "pair"

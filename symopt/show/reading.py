"""What a formula's primitives mean to a reader: functions found again, and neutral numbers left out.

Rules are written as in passes.simplify, whose own are among them. Those here are for reading only: they may change a
bit, and no engine sees them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..passes import simplify
from ..prims import PRIMS
from .terms import Rules, Term, by_operator, number, number_of, rewritten


def _rounded_at_random(dtype: str) -> tuple[Any, Any]:
    """What passes.rounding makes of a value that is rounded at random: one of its two neighbours."""
    nearest = (dtype, "x")
    other = ("toward", nearest, "error")
    chosen = (
        "lt",
        ("mul", ("noise", "i", "seed", "salt"), ("abs", ("sub", other, nearest))),
        ("abs", "error"),
    )
    return ("where", chosen, other, nearest), (f"random_{dtype}", "x")


# What the functions of the language are made of. Arguments are rewritten first: a clip has a maximum inside.
FUNCTIONS: Rules = (
    (("mul", "x", "x"), ("square", "x")),
    (("pow", "x", 2.0), ("square", "x")),
    (("where", ("lt", 0.0, "x"), 1.0, ("where", ("lt", "x", 0.0), -1.0, 0.0)), ("sign", "x")),
    (("where", ("lt", "c", "x"), "c", ("max", ("neg", "c"), "x")), ("clip", "x", "c")),
    (("where", ("lt", "c", "x"), "c", ("max", "b", "x")), ("min", "c", ("max", "b", "x"))),
    (("where", ("le", 0.0, "c"), ("clip", "x", "c"), "x"), ("clip", "x", "c")),
    (("where", ("le", 0.0, "c"), ("max", "c", "x"), "x"), ("max", "c", "x")),
    (("where", ("le", 0.0, "c"), ("min", "c", "x"), "x"), ("min", "c", "x")),
    (("where", ("or", ("lt", "y", "x"), ("ne", "x", "x")), "x", "y"), ("max", "x", "y")),
    (("where", ("or", ("lt", "x", "y"), ("ne", "x", "x")), "x", "y"), ("min", "x", "y")),
    (("where", ("lt", "y", "x"), "x", "y"), ("max", "x", "y")),
    (("where", ("lt", "x", "y"), "x", "y"), ("min", "x", "y")),
    (("sqrt", ("sum", ("square", "x"))), ("norm", "x")),
    (("sqrt", ("row_sum", ("square", "x"))), ("row_norm", "x")),
    (("div", ("sum", "x"), ("count",)), ("mean", "x")),
    (("div", ("row_sum", "x"), ("row_count",)), ("row_mean", "x")),
    (("mul", ("mul", ("matrices",), ("column_count",)), ("row_count",)), ("count",)),
    (("div", ("column_sum", "x"), ("column_count",)), ("column_mean", "x")),
    (("sqrt", ("column_sum", ("row_sum", ("square", "x")))), ("matrix_norm", "x")),
    (("spread", "x"), "x"),
    (("eq", ("sub", "x", "x"), 0.0), ("is_finite", "x")),
    (("float16", ("float32", "x")), ("float16", "x")),  # the way that float64 takes
    (("bfloat16", ("float32", "x")), ("bfloat16", "x")),
    (("ne", ("where", "c", 1.0, 0.0), 0.0), "c"),  # a condition of the host, handed to a kernel
    (
        (
            "add",
            ("where", ("lt", "w", 0.5), "x", "y"),
            ("mul", ("where", ("lt", "w", 0.5), "w", ("sub", "w", 1.0)), ("sub", "y", "x")),
        ),
        ("lerp", "x", "y", "w"),
    ),
    (
        ("noise", "i", ("float32", "seed"), ("float32", ("sub", -1.0, "stream"))),
        ("uniform", "seed", "stream"),
    ),
    _rounded_at_random("float16"),
    _rounded_at_random("bfloat16"),
)

# True of numbers, if not of infinities, NaN and the sign of zero.
NEUTRAL: Rules = (
    (("add", "x", 0.0), "x"),
    (("add", 0.0, "x"), "x"),
    (("sub", 0.0, "x"), ("neg", "x")),
    (("mul", "x", 0.0), 0.0),
    (("mul", 0.0, "x"), 0.0),
    (("div", 0.0, "x"), 0.0),
    (("pow", "x", 1.0), "x"),
    (("pow", "x", 0.0), 1.0),
    (("square", 0.0), 0.0),
    (("sum", 0.0), 0.0),
    (("row_sum", 0.0), 0.0),
    (("row_mean", 0.0), 0.0),
    (("column_sum", 0.0), 0.0),
    (("lerp", "x", "y", 0.0), "x"),
    (("lerp", "x", "y", 1.0), "y"),
    (("where", 1.0, "x", "y"), "x"),
    (("where", 0.0, "x", "y"), "y"),
    (("and", 1.0, "c"), "c"),
    (("and", "c", 1.0), "c"),
    (("or", 0.0, "c"), "c"),
    (("or", "c", 0.0), "c"),
)

_RULES = by_operator((*simplify.RULES, *FUNCTIONS, *NEUTRAL))


def read(t: Term) -> Term:
    """A term whose arguments are read already, as a reader would write it."""
    while True:
        better = _folded(rewritten(t, _RULES))
        if better is t:
            return t
        t = better


def _folded(t: Term) -> Term:
    """The number that an operator makes of numbers. `neg(number)` is how a number below zero is written."""
    prim, chosen = PRIMS.get(t.op), {"max": max, "min": min}.get(t.op)
    numbers = [x for x in map(number_of, t.args) if x is not None]
    if len(numbers) < len(t.args) or not numbers or number_of(t) is not None:
        return t
    if chosen is not None and len(numbers) == 2 and not any(map(math.isnan, numbers)):
        return number(chosen(numbers))
    if prim is None:
        return t
    with np.errstate(all="ignore"):
        return number(float((prim.host or prim.numpy)(*numbers)))

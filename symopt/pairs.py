"""Complex arithmetic as real primitives, on pairs of a real and an imaginary part.

The imaginary part of a real operand is None: a real number scales or shifts a complex one part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .errors import DTypeError
from .expr import Node

Pair = tuple[Node, Node | None]
Make = Callable[..., Node]

UNORDERED = {
    "lt": "< or >", "le": "<= or >=", "fmod": "fmod",
    "max": "max_of", "min": "min_of", "row_max": "row_max", "row_min": "row_min",
}  # fmt: skip


def apply(make: Make, zero: Node, op: str, operands: Sequence[Pair]) -> Pair:
    """The primitive `op` on pairs, some of them complex. `make(op, *nodes)` makes a real one; `zero` is the number 0.

    DTypeError if the op has no meaning for complex values, or is not there for them.
    """
    if op in _BINARY:
        return _BINARY[op](make, *operands)
    if op == "where":
        (condition, _), *choices = operands
        real, imag = zip(*((re, zero if im is None else im) for re, im in choices), strict=True)
        return make(op, condition, *real), make(op, condition, *imag)
    if op in ("neg", "sum", "row_sum"):
        ((re, im),) = operands
        return make(op, re), im and make(op, im)
    if op == "conj":
        ((re, im),) = operands
        return re, im and make("neg", im)
    if op == "abs":
        return make("sqrt", abs2(make, operands[0])), None
    if op in ("eq", "ne"):
        same = [make(op, a or zero, b or zero) for a, b in zip(*operands, strict=True)]
        return make("and" if op == "eq" else "or", *same), None
    raise refusal(UNORDERED[op]) if op in UNORDERED else unavailable(op)


def refusal(what: str) -> DTypeError:
    """The error of what needs an order of its values."""
    return DTypeError(f"{what} has no meaning for complex values")


def unavailable(what: str) -> DTypeError:
    """The error of what is not there for complex values."""
    return DTypeError(f"{what} does not take complex values")


def product(times: Make, make: Make, x: Pair, y: Pair) -> Pair:
    """The product of complex values by that of real ones, `times`."""
    (a, b), (c, d) = x, y
    real, imag = times(a, c), None
    if b is not None and d is not None:
        real = make("sub", real, times(b, d))
    crossed = [times(p, q) for p, q in ((a, d), (b, c)) if p is not None and q is not None]
    if crossed:
        imag = crossed[0] if len(crossed) == 1 else make("add", *crossed)
    return real, imag


def abs2(make: Make, x: Pair) -> Node:
    """re * re + im * im."""
    re, im = x
    square = make("mul", re, re)
    return square if im is None else make("add", square, make("mul", im, im))


def _add(make: Make, x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    return make("add", a, c), d if b is None else b if d is None else make("add", b, d)


def _sub(make: Make, x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    if d is None:
        return make("sub", a, c), b
    return make("sub", a, c), make("neg", d) if b is None else make("sub", b, d)


def _mul(make: Make, x: Pair, y: Pair) -> Pair:
    return product(partial(make, "mul"), make, x, y)


def _div(make: Make, x: Pair, y: Pair) -> Pair:
    """By a complex number: times its conjugate, over its squared magnitude."""
    (a, b), (c, d) = x, y
    if d is None:
        return make("div", a, c), make("div", b, c)
    real, imag = make("mul", a, c), make("mul", a, d)
    if b is None:
        imag = make("neg", imag)
    else:
        real, imag = make("add", real, make("mul", b, d)), make("sub", make("mul", b, c), imag)
    size = abs2(make, y)
    return make("div", real, size), make("div", imag, size)


_BINARY: dict[str, Callable[[Make, Pair, Pair], Pair]] = {"add": _add, "sub": _sub, "mul": _mul, "div": _div}

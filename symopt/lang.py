"""The language of formulas: what a file in ops/ may say.

A formula is a Python function of Tensors, traced once per signature. It cannot branch on a value (use `where`),
and says nothing of dtype, storage or device. Attributes arrive as numbers the host knows; what is computed from
them alone is computed on the host in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import pairs
from .errors import GraphError
from .expr import Extent
from .grids import WHOLE
from .tensor import (
    Condition,
    Integer,
    Number,
    RowState,
    Scalar,
    State,
    States,
    Tensor,
    Tensors,
    Updated,
    apply,
    is_complex,
    ordered,
    place,
    plain,
    updated,
)

__all__ = [
    "Condition", "Integer", "RowState", "Scalar", "State", "States", "Tensor", "Tensors", "Updated", "abs2",
    "absolute", "at_least", "at_most", "both", "ceil", "clip", "column", "conjugate", "count", "either",
    "exp", "filled", "float16", "floor", "fmod", "is_finite", "lerp", "log", "max_of", "maximum", "mean_of",
    "min_of", "minimum", "norm", "power", "rint", "row_count", "row_max", "row_mean", "row_min", "row_norm",
    "row_sum", "sign", "sqrt", "square", "sum_of", "tanh", "trunc", "uniform", "updated", "where",
]  # fmt: skip


def sqrt(x: Number) -> Tensor:
    """Square root of each element, correctly rounded."""
    return apply("sqrt", x)


def square(x: Tensor) -> Tensor:
    """x * x."""
    return apply("mul", x, x)


def abs2(x: Tensor) -> Tensor:
    """Squared magnitude, a real number: x * x, or re * re + im * im. What second moments are made of."""
    if x.imag is None:
        return square(x)
    return Tensor(x.builder, pairs.abs2(partial(x.builder.make, where=place()), (x.node, x.imag)))


def absolute(x: Tensor) -> Tensor:
    """Absolute value; of a complex number, the square root of abs2."""
    return apply("abs", x)


def conjugate(x: Tensor) -> Tensor:
    """x with its imaginary part negated; of real values, x."""
    return apply("conj", x) if is_complex(x) else x


def exp(x: Tensor) -> Tensor:
    """e ** x. On array values the last digit depends on the platform's library."""
    return apply("exp", x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm. On array values the last digit depends on the platform's library."""
    return apply("log", x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent. On array values the last digit depends on the platform's library."""
    return apply("tanh", x)


def floor(x: Tensor) -> Tensor:
    """The largest whole number not above x."""
    return apply("floor", x)


def ceil(x: Tensor) -> Tensor:
    """The smallest whole number not below x."""
    return apply("ceil", x)


def trunc(x: Tensor) -> Tensor:
    """x without its fraction: the nearest whole number toward zero."""
    return apply("trunc", x)


def rint(x: Tensor) -> Tensor:
    """The nearest whole number; of two as near, the even one."""
    return apply("rint", x)


def float16(x: Tensor) -> Tensor:
    """x rounded to what float16 can hold, to nearest even; float64 by way of float32."""
    if is_complex(x):
        raise pairs.unavailable("float16")
    kind = x.node.type
    if kind is None or kind.extent == Extent.HOST:
        raise GraphError("float16 of a number: the host keeps its numbers in float64; give an array")
    rounded = x.builder.cast(x.node, "float16", place())
    return Tensor(x.builder, x.builder.cast(rounded, kind.dtype))


def power(x: Number, y: Number) -> Tensor:
    """x ** y. On array values the last digit depends on the platform's library."""
    return apply("pow", x, y)


def fmod(x: Number, y: Number) -> Tensor:
    """Remainder of x / y with the sign of x, exact."""
    return apply("fmod", x, y)


def where(condition: Tensor | bool, x: Number, y: Number) -> Tensor:
    """x where the condition holds, y elsewhere."""
    return apply("where", condition, x, y)


def filled(x: Tensor, value: float) -> Tensor:
    """The number for each element of x, complex if x is."""
    number = where(x != x, value, value)
    return number if x.imag is None else Tensor(x.builder, number.node, x.builder.const(0))


def both(a: Tensor | bool, b: Tensor | bool) -> Tensor:
    """The condition that a and b hold."""
    return apply("and", a, b)


def either(a: Tensor | bool, b: Tensor | bool) -> Tensor:
    """The condition that a or b holds."""
    return apply("or", a, b)


def sign(x: Tensor) -> Tensor:
    """1, -1, or 0 for zeros and NaN, as MXNet has it."""
    ordered("sign", x)
    return where(x > 0, 1, where(x < 0, -1, 0))


def maximum(x: Number, y: Number) -> Tensor:
    """The larger; NaN if either is NaN; of equals the second."""
    ordered("maximum", x, y)
    return _first_if(apply("lt", y, x), x, y)


def minimum(x: Number, y: Number) -> Tensor:
    """The smaller; NaN if either is NaN; of equals the second."""
    ordered("minimum", x, y)
    return _first_if(apply("lt", x, y), x, y)


def _first_if(wins: Tensor, x: Number, y: Number) -> Tensor:
    """x where it wins or is NaN, else y."""
    return where(wins if plain(x) else either(wins, apply("ne", x, x)), x, y)


def lerp(start: Tensor, end: Tensor, weight: Number) -> Tensor:
    """start + weight * (end - start), reckoned from the nearer of the two as torch does: weight 1 gives just `end`."""
    if not isinstance(weight, Tensor):
        weight = Tensor(start.builder, start.builder.const(weight))
    near = weight < 0.5
    return where(near, start, end) + where(near, weight, weight - 1) * (end - start)


def is_finite(x: Tensor) -> Tensor:
    """The condition that x is neither infinite nor NaN."""
    return x - x == 0


def clip(x: Tensor, bound: Number) -> Tensor:
    """x between -bound and bound when bound >= 0, else x. NaN passes."""
    return _bounded(x, bound, lambda: where(x > bound, bound, where(x < -bound, -bound, x)))


def at_least(x: Tensor, bound: Number) -> Tensor:
    """The larger of x and bound when bound >= 0, else x. NaN passes."""
    return _bounded(x, bound, lambda: where(x < bound, bound, x))


def at_most(x: Tensor, bound: Number) -> Tensor:
    """The smaller of x and bound when bound >= 0, else x. NaN passes."""
    return _bounded(x, bound, lambda: where(x > bound, bound, x))


def _bounded(x: Tensor, bound: Number, within: Callable[[], Tensor]) -> Tensor:
    """`within()` when bound >= 0, else x.

    An attribute whose sign is known when the graph is built acts or vanishes; a computed bound is tested.
    """
    if not isinstance(bound, Tensor):
        return within() if bound >= 0 else x
    on = bound.node.attrs.get("on")
    if on is not False:
        ordered(str(bound.node.attrs.get("name", "a bound")), x, bound)
    if on is None:
        return where(bound >= 0, within(), x)
    return within() if on else x


def row_sum(x: Tensor) -> Tensor:
    """Sum of each row: (rows, *tail) -> one value per row, in the canonical order."""
    return apply("row_sum", x)


def row_max(x: Tensor) -> Tensor:
    """Largest of each row; NaN if the row has one; -inf for an empty row."""
    return apply("row_max", x)


def row_min(x: Tensor) -> Tensor:
    """Smallest of each row; NaN if the row has one; inf for an empty row."""
    return apply("row_min", x)


def row_mean(x: Tensor) -> Tensor:
    """Mean of each row, over all axes but the first. Looks at one row only: such formulas may update lazily."""
    return row_sum(x) / row_count(x)


def row_norm(x: Tensor) -> Tensor:
    """Euclidean norm of each row."""
    return sqrt(row_sum(abs2(x)))


def sum_of(x: Tensor) -> Tensor:
    """Sum of all elements, in the canonical order: one value per tensor. A value per row counts for each element."""
    return apply("sum", x)


def mean_of(x: Tensor) -> Tensor:
    """Mean of all elements: one value per tensor."""
    return sum_of(x) / count(x)


def max_of(x: Tensor) -> Tensor:
    """Largest of all elements; NaN if there is one; -inf for an empty tensor."""
    return apply("max", x)


def min_of(x: Tensor) -> Tensor:
    """Smallest of all elements; NaN if there is one; inf for an empty tensor."""
    return apply("min", x)


def norm(x: Tensor) -> Tensor:
    """Euclidean norm of the whole tensor: one value per tensor."""
    return sqrt(sum_of(abs2(x)))


def count(x: Tensor) -> Tensor:
    """Number of elements of the tensor."""
    if x.node.type is None or x.node.type.grid == WHOLE:
        return _count(x, "tensor")
    return _count(x, "matrices") * size(x, 0) * size(x, 1)


def row_count(x: Tensor) -> Tensor:
    """Number of elements of a row."""
    return size(x, 1)


def size(x: Tensor, axis: int) -> Tensor:
    """Number of rows (0) or columns (1) of x. In a formula not on matrices columns are all axes but the first."""
    letter = x.node.type.grid[axis] if x.node.type else ""
    return Tensor(x.builder, x.builder.const(1)) if letter == "1" else _count(x, COUNTS[letter])


COUNTS = {"r": "column", "c": "row"}  # a row has as many elements as there are columns


def column(x: Tensor) -> Tensor:
    """Number of each element in its row of x, from 0, over all axes but the first. Exact up to 2**24 columns."""
    grid = x.node.type.grid if x.node.type else WHOLE
    if grid[1] == "1":
        return Tensor(x.builder, x.builder.const(0))
    return Tensor(x.builder, x.builder.leaf("column", x.builder.compute, Extent.ELEMENT, grid))


def uniform(like: Tensor, seed: Number, stream: Number = 0) -> Tensor:
    """A random number in [0, 1) for each element of `like`, a multiple of 2**-24, with the same bits in every engine.

    It is made from the seed, the stream and the index of the element, and from nothing else: neither order nor threads
    matter, and what is drawn again is the same. Two streams have nothing to do with each other. Both numbers are
    rounded to float32.
    """
    if is_complex(like):
        raise pairs.unavailable("uniform")
    builder, of = like.builder, like.node.type
    if of is None or of.extent == Extent.HOST:
        raise GraphError("uniform like a number: the host has no elements to draw for; give an array")
    given = (x.node if isinstance(x, Tensor) else builder.const(x) for x in (seed, stream))
    seed_node, stream_node = given
    salt = builder.make("sub", builder.const(-1), stream_node)  # below 0: rounding has the numbers from 0
    return Tensor(builder, builder.cast(builder.noise(of, seed_node, salt), builder.compute))


def _count(x: Tensor, of: str) -> Tensor:
    return Tensor(x.builder, x.builder.leaf("scalar", "float64", Extent.HOST, name=f"count:{of}"))

"""Values inside a formula, what its inputs and results are called, and how a primitive is applied to values."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

from . import pairs
from .errors import GraphError, Where
from .expr import Node

if TYPE_CHECKING:
    from .build import Builder


class Tensor:
    """A value inside a formula: an input, or something computed from inputs. One value per element.

    `node` computes it; of a complex value, its real part, and `imag` the other.
    """

    __slots__ = ("builder", "imag", "node")
    __array_ufunc__ = None  # NumPy scalars on the left hand side hand over to us

    def __init__(self, builder: Builder, node: Node, imag: Node | None = None) -> None:
        self.builder = builder
        self.node = node
        self.imag = imag

    def __add__(self, other: Number) -> Tensor:
        return apply("add", self, other)

    def __radd__(self, other: Number) -> Tensor:
        return apply("add", other, self)

    def __sub__(self, other: Number) -> Tensor:
        return apply("sub", self, other)

    def __rsub__(self, other: Number) -> Tensor:
        return apply("sub", other, self)

    def __mul__(self, other: Number) -> Tensor:
        return apply("mul", self, other)

    def __rmul__(self, other: Number) -> Tensor:
        return apply("mul", other, self)

    def __truediv__(self, other: Number) -> Tensor:
        return apply("div", self, other)

    def __rtruediv__(self, other: Number) -> Tensor:
        return apply("div", other, self)

    def __pow__(self, other: Number) -> Tensor:
        return apply("pow", self, other)

    def __rpow__(self, other: Number) -> Tensor:
        return apply("pow", other, self)

    def __neg__(self) -> Tensor:
        return apply("neg", self)

    def __lt__(self, other: Number) -> Tensor:
        return apply("lt", self, other)

    def __le__(self, other: Number) -> Tensor:
        return apply("le", self, other)

    def __gt__(self, other: Number) -> Tensor:
        return apply("lt", other, self)

    def __ge__(self, other: Number) -> Tensor:
        return apply("le", other, self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return apply("eq", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return apply("ne", self, other)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise GraphError("a formula cannot branch on a value: write where(condition, this, that)")


# What an input is, for annotating a formula's parameters. To a type checker all of them are Tensors.
State = Annotated[Tensor, "state"]  # updated by the formula; the shape of the weight
RowState = Annotated[Tensor, "row_state"]  # updated by the formula; one value per row
Scalar = Annotated[Tensor, "scalar"]  # a one-element array
Condition = Annotated[Tensor, "condition"]  # of any dtype, only compared with zero
Tensors = Annotated[Tensor, "tensors"]  # any number of inputs; the formula gets them one at a time
States = Annotated[Tensor, "states"]  # any number of states, likewise

# What an attribute is, where Python's float, bool, int (decides what is computed) and str do not say it.
Integer = Annotated[float, "integer"]  # a whole number that changes from step to step: a step count

Number = Tensor | float
LANGUAGE = ("symopt.tensor", "symopt.lang", "symopt.matrices")


class Updated(NamedTuple):
    """What an update op returns: the new weight, and the new value of each state."""

    weight: Tensor | None
    states: dict[str, Tensor]


def updated(weight: Tensor | None, /, **states: Tensor) -> Updated:
    """The result of an update op: the new weight (None: it has no other result), and the new states by name."""
    return Updated(weight, states)


def place() -> Where:
    """The line of the formula that is being traced: the first frame outside the language."""
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") in LANGUAGE and frame.f_back is not None:
        frame = frame.f_back
    return Where(frame.f_code.co_filename, frame.f_lineno)


def apply(op: str, *operands: Any) -> Tensor:
    if plain(*operands):
        raise TypeError(f"{op} of numbers only, {operands}: one operand must come from the formula's inputs")
    builder = next(x.builder for x in operands if isinstance(x, Tensor))
    n_conditions = {"where": 1, "and": 2, "or": 2}.get(op, 0)
    nodes = [
        x.node if isinstance(x, Tensor) else builder.truth(x) if k < n_conditions else builder.const(x)
        for k, x in enumerate(operands)
    ]
    make = partial(builder.make, where=place())
    if not is_complex(*operands):
        return Tensor(builder, make(op, *nodes))
    parts = [(n, x.imag if isinstance(x, Tensor) else None) for n, x in zip(nodes, operands, strict=True)]
    return Tensor(builder, *pairs.apply(make, builder.const(0), op, parts))


def is_complex(*operands: Any) -> bool:
    return any(isinstance(x, Tensor) and x.imag is not None for x in operands)


def ordered(what: str, *operands: Any) -> None:
    """DTypeError for complex operands, which have no order."""
    if is_complex(*operands):
        raise pairs.refusal(what)


def plain(*operands: Any) -> bool:
    return not any(isinstance(x, Tensor) for x in operands)

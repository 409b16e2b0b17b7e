"""What Python's operators and the fluent methods mean on a Symbol: each makes one op node.

Between Symbols the op is MXNet's elementwise one, with a number its scalar variant; nodes are called as
MXNet calls them (`_plus0`, `_mulscalar0`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any, NoReturn, Self, TypeVar

from .errors import NotImplementedForSymbol, UnknownOpError, near
from .expr import Node
from .opdef import OPS, OpDef, all_ops

S = TypeVar("S", bound="Operators")

# operator: (op of two Symbols, its hint, op with a number on the right, its hint, on the left, its hint)
_TABLE: dict[str, tuple[str, str, str, str, str, str]] = {
    "+": ("elemwise_add", "_plus", "_plus_scalar", "_plusscalar", "_plus_scalar", "_plusscalar"),
    "-": ("elemwise_sub", "_minus", "_minus_scalar", "_minusscalar", "_rminus_scalar", "_rminusscalar"),
    "*": ("elemwise_mul", "_mul", "_mul_scalar", "_mulscalar", "_mul_scalar", "_mulscalar"),
    "/": ("elemwise_div", "_div", "_div_scalar", "_divscalar", "_rdiv_scalar", "_rdivscalar"),
    "%": ("_mod", "_mod", "_mod_scalar", "_modscalar", "_rmod_scalar", "_rmodscalar"),
    "**": ("_power", "_power", "_power_scalar", "_powerscalar", "_rpower_scalar", "_rpowerscalar"),
    "maximum": (
        "_maximum", "_maximum", "_maximum_scalar", "_maximumscalar", "_maximum_scalar", "_maximumscalar",
    ),
    "minimum": (
        "_minimum", "_minimum", "_minimum_scalar", "_minimumscalar", "_minimum_scalar", "_minimumscalar",
    ),
    "==": ("_equal", "_equal", "_equal_scalar", "_equal_scalar", "", ""),
    "!=": ("_not_equal", "_not_equal", "_not_equal_scalar", "_not_equal_scalar", "", ""),
    ">": ("_greater", "_greater", "_greater_scalar", "_greater_scalar", "", ""),
    ">=": ("_greater_equal", "_greater_equal", "_greater_equal_scalar", "_greater_equal_scalar", "", ""),
    "<": ("_lesser", "_lesser", "_lesser_scalar", "_lesser_scalar", "", ""),
    "<=": ("_lesser_equal", "_lesser_equal", "_lesser_equal_scalar", "_lesser_equal_scalar", "", ""),
}  # fmt: skip


class Operators:
    """The base class of Symbol. `==` makes a node too, so Symbols are told apart by identity only."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy scalars on the left hand side hand over to us

    _outputs: tuple[Node, ...]

    def _op(self, op: str, hint: str, /, *args: Any, **kwargs: Any) -> Self:
        """A Symbol of the op on these inputs; Symbol defines it."""
        raise NotImplementedError

    def __add__(self, other: Self | float) -> Self:
        return binary("+", self, other)

    def __radd__(self, other: float) -> Self:
        return reflected("+", self, other)

    def __sub__(self, other: Self | float) -> Self:
        return binary("-", self, other)

    def __rsub__(self, other: float) -> Self:
        return reflected("-", self, other)

    def __mul__(self, other: Self | float) -> Self:
        return binary("*", self, other)

    def __rmul__(self, other: float) -> Self:
        return reflected("*", self, other)

    def __truediv__(self, other: Self | float) -> Self:
        return binary("/", self, other)

    def __rtruediv__(self, other: float) -> Self:
        return reflected("/", self, other)

    def __mod__(self, other: Self | float) -> Self:
        return binary("%", self, other)

    def __rmod__(self, other: float) -> Self:
        return reflected("%", self, other)

    def __pow__(self, other: Self | float) -> Self:
        return binary("**", self, other)

    def __rpow__(self, other: float) -> Self:
        return reflected("**", self, other)

    def __neg__(self) -> Self:
        return binary("*", self, -1.0)

    def __abs__(self) -> Self:
        return self._op("abs", "abs", self)

    def __eq__(self, other: object) -> Self:  # type: ignore[override]
        return binary("==", self, other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]
        return binary("!=", self, other)

    def __gt__(self, other: Self | float) -> Self:
        return binary(">", self, other)

    def __ge__(self, other: Self | float) -> Self:
        return binary(">=", self, other)

    def __lt__(self, other: Self | float) -> Self:
        return binary("<", self, other)

    def __le__(self, other: Self | float) -> Self:
        return binary("<=", self, other)

    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Callable[..., Self]:
        """A fluent method: `x.sqrt()` is `sym.sqrt(x)`, for every ordinary op of one array."""
        op = None if name.startswith("_") else OPS.get(name)
        if op is None or not is_fluent(op):
            known = (*dir(type(self)), *fluent_names()) if not name.startswith("_") else ()
            raise UnknownOpError(f"a Symbol has no attribute {name!r}{near(name, known)}")

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._op(name, name.lower(), self, *args, **kwargs)

        method.__name__, method.__doc__ = name, op.doc
        return method

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *fluent_names()})

    def astype(self, dtype: Any, **kwargs: Any) -> Self:
        """The same values in another dtype."""
        return self._op("Cast", "cast", self, dtype=dtype, **kwargs)

    def __bool__(self) -> NoReturn:
        raise NotImplementedForSymbol("a Symbol has no truth value: it stands for values not known yet")


def binary(operator: str, left: S, right: object) -> S:
    """The node `left operator right` for a Symbol on the left."""
    two, hint, scalar, scalar_hint, _, _ = _TABLE[operator]
    if isinstance(right, Operators):
        return left._op(two, hint, left, right)
    return left._op(scalar, scalar_hint, left, scalar=_number(operator, right))


def reflected(operator: str, right: S, left: object) -> S:
    """The node `left operator right` for a number on the left."""
    *_, op, hint = _TABLE[operator]
    return right._op(op, hint, right, scalar=_number(operator, left))


def _number(operator: str, value: object) -> Real:
    if isinstance(value, Real) and not isinstance(value, bool):
        return value
    kind = type(value).__name__
    raise NotImplementedForSymbol(
        f"{operator} takes Symbols and numbers, got {kind}: bind arrays to a variable"
    )


def is_fluent(op: OpDef) -> bool:
    """Whether the op is also a method of Symbols: an ordinary op of one array."""
    return not op.is_update and len(op.inputs) == 1 and op.inputs[0].kind == "tensor"


def fluent_names() -> Iterator[str]:
    """Names of the ops that are also methods."""
    return (op.name for op in all_ops() if is_fluent(op) and not op.name.startswith("_"))


def _refuse(name: str, why: str) -> Callable[..., NoReturn]:
    def refused(self: Operators, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedForSymbol(f"{name} is not available on a Symbol: {why}")

    refused.__name__ = name
    refused.__doc__ = f"Not available on a Symbol: {why}."
    return refused


_REFUSED = {
    "a Symbol is never changed; write a = a + b": (
        "__iadd__", "__isub__", "__imul__", "__itruediv__", "__imod__", "__ipow__",
    ),
    "it has no values before it is bound; use bind(...) or eval(...)": (
        "asnumpy", "asscalar", "__array__", "wait_to_read", "as_in_context", "copyto",
    ),
    "it is no array; a copy of the graph is copy.copy(symbol)": ("copy",),
    "there are no gradients here; they come from outside": ("detach", "backward", "gradient"),
}  # fmt: skip

for _why, _names in _REFUSED.items():
    for _name in _names:
        setattr(Operators, _name, _refuse(_name, _why))

"""What an op is, read off the signature of its formula, and the registry of all ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, get_type_hints, overload

from .attrs import REQUIRED, Attr
from .errors import GraphError, UnknownOpError, Where, near
from .lang import Tensor

F = TypeVar("F", bound=Callable[..., Any])

KINDS = ("tensor", "state", "row_state", "scalar", "condition", "tensors")
STATE_KINDS = ("state", "row_state")
ATTR_KINDS = {float: "float", bool: "bool", int: "int", str: "str"}
SPECIAL_ATTRS = {"dtype": "dtype", "axis": "axis"}
SWITCHES = ("clip_gradient", "clip_grad", "clip_weights", "lower_bound", "upper_bound")


class Input(NamedTuple):
    """One array input. kind: tensor, state, row_state (one per row), scalar, condition, or tensors (any number)."""

    name: str
    kind: str


class OpDef:
    """An op: its formula and everything read off the formula's signature.

    `result`: dtype of the outputs, "same" as the inputs or "compute" (float32 for 16-bit inputs).
    `mxnet`: the name MXNet registered it under, used in files, if not `name`.
    `standard`: outputs that follow the dense formula in every row even under lazy_update.
    """

    def __init__(
        self,
        formula: Callable[..., Any],
        *,
        name: str = "",
        is_update: bool,
        aliases: tuple[str, ...] = (),
        result: str = "same",
        standard: tuple[str, ...] = (),
        mxnet: str = "",
    ) -> None:
        self.name = name or formula.__name__
        self.formula = formula
        self.inputs, self.attrs = _read_signature(formula)
        self.where = Where(formula.__code__.co_filename, formula.__code__.co_firstlineno)
        self.is_update = is_update
        self.aliases = aliases
        self.result = result
        self.standard = frozenset(standard)
        self.mxnet = mxnet

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    @cached_property
    def doc(self) -> str:
        """The formula's docstring, without its indentation."""
        from inspect import cleandoc

        return cleandoc(self.formula.__doc__ or "")

    @cached_property
    def states(self) -> tuple[str, ...]:
        return tuple(i.name for i in self.inputs if i.kind in STATE_KINDS)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: "output", then the new value of each state."""
        return ("output", *self.states)

    @cached_property
    def is_variadic(self) -> bool:
        return any(i.kind == "tensors" for i in self.inputs)

    @cached_property
    def structural(self) -> tuple[str, ...]:
        """Names of the attributes that decide what is computed, not with which numbers."""
        return tuple(a.name for a in self.attrs.values() if not a.is_numeric)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.attrs.values() if a.is_numeric)

    @cached_property
    def formula_keywords(self) -> frozenset[str]:
        """Attributes that the formula itself takes; lazy_update may be one that only the engine reads."""
        names = self.formula.__code__.co_varnames
        first = self.formula.__code__.co_argcount
        return frozenset(names[first : first + self.formula.__code__.co_kwonlyargcount])

    def input_names(self, count: int | None = None) -> tuple[str, ...]:
        """Names of the inputs; an op with any number of them calls them array_0, array_1, ..."""
        if not self.is_variadic:
            return tuple(i.name for i in self.inputs)
        return tuple(f"{self.inputs[0].name}_{k}" for k in range(count or 0))


OPS: dict[str, OpDef] = {}


def get_op(name: str) -> OpDef:
    """The op registered under a name or alias; UnknownOpError with the nearest names."""
    op = OPS.get(name)
    if op is None:
        raise UnknownOpError(f"no op is called {name!r}{near(name, OPS)}")
    return op


def all_ops() -> Iterator[OpDef]:
    """Every op once, in order of registration."""
    return iter({id(op): op for op in OPS.values()}.values())


@overload
def update_op(formula: F) -> F: ...
@overload
def update_op(
    *, mxnet: str = "", aliases: tuple[str, ...] = (), standard: tuple[str, ...] = ()
) -> Callable[[F], F]: ...
def update_op(
    formula: F | None = None,
    *,
    mxnet: str = "",
    aliases: tuple[str, ...] = (),
    standard: tuple[str, ...] = (),
) -> F | Callable[[F], F]:
    """Register an update op: its first input is the weight, its output the new weight, its states are updated.

    `mxnet`: the name MXNet has for it in files; `aliases`: further names; `standard`: outputs ("output" or states)
    that follow the dense formula in every row even when the gradient is row_sparse and lazy_update is on.

    >>> from symopt.lang import State, Tensor, Updated, updated
    >>> @update_op
    ... def heavy_ball_update(weight: Tensor, grad: Tensor, mom: State, *, lr: float, momentum: float = 0.9) -> Updated:
    ...     '''Polyak's heavy ball.'''
    ...     mom = momentum * mom - lr * grad
    ...     return updated(weight + mom, mom=mom)
    >>> get_op("heavy_ball_update").states
    ('mom',)
    """

    def decorate(function: F) -> F:
        _register(function, is_update=True, mxnet=mxnet, aliases=aliases, standard=standard)
        return function

    return decorate(formula) if formula is not None else decorate


@overload
def op(formula: F) -> F: ...
@overload
def op(
    *, name: str = "", mxnet: str = "", aliases: tuple[str, ...] = (), result: str = "same"
) -> Callable[[F], F]: ...
def op(
    formula: F | None = None,
    *,
    name: str = "",
    mxnet: str = "",
    aliases: tuple[str, ...] = (),
    result: str = "same",
) -> F | Callable[[F], F]:
    """Register an ordinary op: a formula without states. Shapes follow from what the formula looks at."""

    def decorate(function: F) -> F:
        _register(function, is_update=False, mxnet=mxnet, aliases=aliases, name=name, result=result)
        return function

    return decorate(formula) if formula is not None else decorate


def _register(function: Callable[..., Any], *, is_update: bool, **options: Any) -> None:
    made = OpDef(function, is_update=is_update, **options)
    if is_update:
        made.attrs.setdefault("lazy_update", Attr("lazy_update", "bool", True))
        if not made.inputs or made.inputs[0].kind != "tensor":
            raise GraphError(f"{made.name}: the first input of an update op is the weight, annotated Tensor")
    for key in dict.fromkeys((made.name, made.mxnet or made.name, *made.aliases)):
        old = OPS.get(key)
        if old is not None and old.where.file != made.where.file:
            raise GraphError(f"an op called {key!r} is already registered at {old.where}")
        OPS[key] = made


def _read_signature(function: Callable[..., Any]) -> tuple[tuple[Input, ...], dict[str, Attr]]:
    """Inputs and attributes, read off the code object: `inspect.signature` would double the time of the import."""
    while hasattr(function, "__wrapped__"):  # somebody's decorator
        function = function.__wrapped__
    hints = function.__annotations__
    if any(isinstance(hint, str) for hint in hints.values()):  # from __future__ import annotations
        hints = get_type_hints(function, include_extras=True)
    code, defaults = function.__code__, function.__kwdefaults__ or {}
    first, last = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    stars = sum(code.co_flags & flag > 0 for flag in (4, 8))  # *args, **kwargs; they come after the keywords
    positional = code.co_varnames[:first] + code.co_varnames[last : last + stars]
    inputs = tuple(_input(function, name, hints.get(name)) for name in positional)
    attrs = {
        name: _attr(name, hints.get(name), defaults.get(name, REQUIRED))
        for name in code.co_varnames[first:last]
    }
    return inputs, attrs


def _input(function: Callable[..., Any], name: str, hint: Any) -> Input:
    kind = "tensor" if hint is Tensor else getattr(hint, "__metadata__", ("",))[0]
    if kind not in KINDS:
        raise GraphError(
            f"{function.__name__}: annotate input {name!r} with Tensor, State, RowState, Scalar, Condition or "
            f"Tensors; attributes come after a *"
        )
    return Input(name, kind)


def _attr(name: str, hint: Any, default: Any) -> Attr:
    kind = SPECIAL_ATTRS.get(name) or ATTR_KINDS.get(hint) or getattr(hint, "__metadata__", ("float",))[0]
    if kind == "axis" and default is not REQUIRED:
        default = None
    return Attr(name, kind, default, switch=name in SWITCHES)

"""The inputs and attributes of an op, read off the signature of its formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

from .attrs import REQUIRED, Attr
from .errors import GraphError
from .tensor import Tensor

KINDS = ("tensor", "matrix", "state", "row_state", "column_state", "scalar", "condition", "tensors", "states")
ATTR_KINDS = {float: "float", bool: "bool", int: "int", str: "str"}
SPECIAL_ATTRS = {"dtype": "dtype", "axis": "axis"}
SWITCHES = ("clip_gradient", "clip_grad", "clip_weights", "lower_bound", "upper_bound")


class Input(NamedTuple):
    """One array input. kind: tensor, state, row_state (one per row), scalar, condition; in formulas on matrices also
    matrix (the weight) and column_state; tensors or states (any number of them); in derived ops also master (the
    float32 copy of a weight) residual (a state: what rounding the weight lost)
    and vector (one number per tensor)."""

    name: str
    kind: str


def read_signature(function: Callable[..., Any]) -> tuple[tuple[Input, ...], dict[str, Attr]]:
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
            f"{function.__name__}: annotate input {name!r} with Tensor, State, RowState, Scalar, Condition, Tensors, "
            f"Matrix or ColumnState; attributes come after a *"
        )
    return Input(name, kind)


def _attr(name: str, hint: Any, default: Any) -> Attr:
    kind = SPECIAL_ATTRS.get(name) or ATTR_KINDS.get(hint) or getattr(hint, "__metadata__", ("float",))[0]
    if kind == "axis" and default is not REQUIRED:
        default = None
    return Attr(name, kind, default, switch=name in SWITCHES)

"""The module `so.sym`: variables, groups, files, and a constructor for every registered op."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from .attrs import REQUIRED
from .compose import caller
from .dtypes import MXNET_CODES, canonical
from .errors import AttributeValueError, ShapeError, StorageError, UnknownArgumentError
from .expr import VARIABLE, Node
from .forms import find_op, get_op
from .names import AttrScope, NameManager, Prefix, hint_of, merged_attrs
from .opdef import OPS, OpDef
from .operators import binary, reflected
from .symbol import Symbol, group, make

if TYPE_CHECKING:
    from inspect import Signature

__all__ = [
    "AttrScope", "Group", "NameManager", "Prefix", "Symbol", "Variable", "contrib", "load", "load_json",
    "maximum", "minimum", "pow", "sparse", "var",
]  # fmt: skip

STYPE_CODES = {"default": "0", "row_sparse": "1"}
_constructors: dict[str, tuple[OpDef, Callable[..., Symbol]]] = {}


def var(
    name: str,
    attr: Mapping[str, str] | None = None,
    shape: int | Sequence[int] | None = None,
    lr_mult: float | None = None,
    wd_mult: float | None = None,
    dtype: Any = None,
    init: Any = None,
    stype: str | None = None,
    **kwargs: str,
) -> Symbol:
    """A variable: an array, or a number, that is given a value when the graph is bound.

    `shape` may leave dimensions open as -1; () is a number. Further keywords are string attributes `__key__`.

    >>> var("w", shape=(4, 3), stype="row_sparse").list_attr()
    {'__shape__': '(4, 3)', '__storage_type__': '1'}
    """
    if not isinstance(name, str) or not name:
        raise UnknownArgumentError(f"a variable's name must be a string, got {name!r}")
    attrs = merged_attrs(attr)
    if shape is not None:
        attrs["__shape__"] = str(_shape(name, shape))
    for key, number in (("__lr_mult__", lr_mult), ("__wd_mult__", wd_mult)):
        if number is not None:
            attrs[key] = str(number)
    if dtype is not None:
        known = canonical(dtype)
        attrs["__dtype__"] = str(MXNET_CODES.get(known, known))
    if init is not None:
        attrs["__init__"] = init if isinstance(init, str) else init.dumps()
    if stype is not None:
        if stype not in STYPE_CODES:
            raise StorageError(f"variable {name!r}: stype {stype!r} must be one of {', '.join(STYPE_CODES)}")
        attrs["__storage_type__"] = STYPE_CODES[stype]
    if kwargs:
        attrs.update(_extra(name, kwargs))
    return Symbol((Node(VARIABLE, (), attrs, name, caller()),))


Variable = var
Group = group


def load(fname: str | PathLike[str]) -> Symbol:
    """The Symbol in a file of MXNet's JSON format."""
    from .serial import load

    return load(fname)


def load_json(json_str: str) -> Symbol:
    """The Symbol of a text in MXNet's JSON format."""
    from .serial import load_json

    return load_json(json_str)


def pow(base: Symbol | float, exp: Symbol | float) -> Any:
    """base ** exp, of Symbols or numbers."""
    return base**exp


def maximum(left: Symbol | float, right: Symbol | float) -> Any:
    """The larger of two Symbols or numbers, element by element; NaN if either is NaN."""
    return _either("maximum", max, left, right)


def minimum(left: Symbol | float, right: Symbol | float) -> Any:
    """The smaller of two Symbols or numbers, element by element; NaN if either is NaN."""
    return _either("minimum", min, left, right)


def _either(name: str, of_numbers: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if isinstance(left, Symbol):
        return binary(name, left, right)
    return reflected(name, right, left) if isinstance(right, Symbol) else of_numbers(left, right)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    try:
        sizes = (
            (operator.index(shape),) if not isinstance(shape, Sequence) else tuple(map(operator.index, shape))
        )
    except TypeError:
        raise ShapeError(f"variable {name!r}: shape must be integers, got {shape!r}") from None
    if any(size < -1 for size in sizes):
        raise ShapeError(f"variable {name!r}: shape {sizes} has a negative size; -1 means not known")
    return sizes


def _extra(name: str, attrs: Mapping[str, str]) -> dict[str, str]:
    for key, value in attrs.items():
        if not (key.startswith("__") and key.endswith("__") and isinstance(value, str)):
            text = "further attributes are strings and called __key__"
            raise AttributeValueError(f"variable {name!r}: {text}, got {key}={value!r}")
    return merged_attrs(attrs)


def _constructor(op_name: str) -> Callable[..., Symbol]:
    """The function that builds nodes of an op, made once; again if the op was registered anew."""
    op = get_op(op_name)
    known = _constructors.get(op_name)
    if known is not None and known[0] is op:
        return known[1]
    hint = hint_of(op_name)

    def construct(*args: Any, name: Any = None, attr: Any = None, out: Any = None, **kwargs: Any) -> Symbol:
        return make(op_name, hint, *args, name=name, attr=attr, out=out, **kwargs)

    construct.__name__ = construct.__qualname__ = op_name
    construct.__doc__ = _document(op)
    construct.__signature__ = _signature(op)  # type: ignore[attr-defined]
    _constructors[op_name] = op, construct
    return construct


def _signature(op: OpDef) -> Signature:
    """The signature that help() and completion show."""
    from inspect import Parameter, Signature

    kinds = Parameter
    if op.is_variadic:
        parameters = [kinds(op.inputs[0].name, kinds.VAR_POSITIONAL, annotation=Symbol)]
    else:
        parameters = [
            kinds(i.name, kinds.POSITIONAL_OR_KEYWORD, default=None, annotation=Symbol) for i in op.inputs
        ]
    for spec in op.attrs.values():
        default = kinds.empty if spec.default is REQUIRED else spec.default
        parameters.append(kinds(spec.name, kinds.KEYWORD_ONLY, default=default))
    parameters += [kinds(key, kinds.KEYWORD_ONLY, default=None) for key in ("name", "attr", "out")]
    return Signature(parameters, return_annotation=Symbol)


def _document(op: OpDef) -> str:
    lines = [op.doc, "", "Inputs: " + ", ".join(f"{i.name} ({i.kind.replace('_', ' ')})" for i in op.inputs)]
    for spec in op.attrs.values():
        default = "required" if spec.default is REQUIRED else f"default {spec.default}"
        lines.append(f"{spec.name}: {spec.doc}{'; ' if spec.doc else ''}{default}")
    return "\n".join(lines)


class Namespace:
    """Ops under one of MXNet's prefixes: `contrib.x` is `_contrib_x`, or plain `x`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        full = (self._prefix + name, f"_{name}", name)
        return _constructor(next((key for key in full if find_op(key)), name))

    def __dir__(self) -> list[str]:
        return sorted(key.removeprefix(self._prefix) for key in OPS if key.startswith(self._prefix))


contrib = Namespace("_contrib_")
sparse = Namespace("_sparse_")


def __getattr__(name: str) -> Callable[..., Symbol]:
    return _constructor(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *OPS})

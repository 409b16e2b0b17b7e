"""`so.nd`: the ops, run at once on arrays. The same inputs and attributes as in `so.sym`; states are updated in place.

A call builds a graph of one node, binds it and runs it. The bound step is kept by signature (op, kinds, shapes, dtypes,
flags), so that the next call like it neither traces nor compiles nor plans; it only points at other arrays.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import sym
from .arrays import Array, as_array, check_overlap
from .attrs import REQUIRED
from .binding import is_number
from .compose import Call, caller, parse
from .dtypes import to_numpy
from .errors import ArrayError, DTypeError, MissingArgumentError, ShapeError, UnknownArgumentError, near
from .expr import children, toposort
from .opdef import OPS, OpDef, get_op
from .passes.ir import Value
from .sparse import RowSparseArray
from .step import Step

KEPT = 512  # signatures; the one used longest ago goes first

_steps: OrderedDict[tuple[Any, ...], _Eager] = OrderedDict()
_lock = threading.Lock()


def _forget() -> None:
    """A forked child may have inherited steps that another thread was in the middle of, and their locks."""
    global _lock
    _steps.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)


class _Eager:
    """The step of one op, pointed at other arrays by each call."""

    def __init__(
        self, op: OpDef, inputs: Mapping[str, Any], attrs: Mapping[str, Any], out: str | None
    ) -> None:
        variables = {name: _variable(name, value) for name, value in inputs.items()}
        target = {} if out is None else {"out": variables[out]}
        symbol = getattr(sym, op.name)(*variables.values(), name=op.name, **attrs, **target)
        self.node = symbol._outputs[0]
        self.step = Step(symbol._outputs, inputs, toposort(symbol._outputs, children), "auto")
        self.lock = threading.Lock()

    @property
    def result(self) -> Value:
        return self.step.program.lowered.heads[0]

    def run(self, inputs: Mapping[str, Any], numbers: Mapping[str, float], out: Array | None) -> Any:
        step = self.step
        with self.lock:
            try:
                step.take(inputs)
                step.override({(id(self.node), name): value for name, value in numbers.items()})
                step.place_output(out)
                step.run()
                return step.outputs[0]
            finally:
                step.release()


def _variable(name: str, value: Any) -> Any:
    stype = "row_sparse" if isinstance(value, RowSparseArray) else None
    return sym.var(name, shape=() if is_number(value) else None, stype=stype)


def _call(op: OpDef, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    inputs = _inputs(op, args, kwargs)
    call = Call(op, op.name, caller())
    for key in kwargs:
        if key not in op.attrs:
            raise UnknownArgumentError(f"{op.name}: no input or attribute {key!r}{near(key, op.attrs)}")
    attrs = {key: parse(call, op.attrs[key], value) for key, value in kwargs.items()}
    for name, attr in op.attrs.items():
        if attr.default is REQUIRED and name not in attrs:
            raise MissingArgumentError(f"{op.name}: attribute {name} is required")
    alias = next((name for name, value in inputs.items() if value is out), None) if out is not None else None
    target = None if out is None or alias is not None else _target(op, out, inputs)
    numbers = {name: value for name, value in attrs.items() if op.attrs[name].is_numeric}
    signature = _signature(op, inputs, attrs, alias)
    with _lock:
        step = _steps.get(signature)
        if step is not None:
            _steps.move_to_end(signature)
    if step is None:
        step = _Eager(op, inputs, attrs, alias)
        with _lock:
            _steps[signature] = step
            while len(_steps) > KEPT:
                _steps.popitem(last=False)
    if target is not None:
        _check_target(op, target, step)
    result = step.run(inputs, numbers, target)
    return result if out is None else out


def _inputs(op: OpDef, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The inputs by name, taken from positions and out of `kwargs`."""
    if op.is_variadic:
        arrays = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
        return dict(zip(op.input_names(len(arrays)), arrays, strict=True))
    names = op.input_names()
    if len(args) > len(names):
        raise UnknownArgumentError(f"{op.name} has {len(names)} inputs ({', '.join(names)}), got {len(args)}")
    found = dict(zip(names, args, strict=False))
    for name in names:
        if name in kwargs:
            if name in found:
                raise UnknownArgumentError(f"{op.name}: input {name} was given by position and by name")
            found[name] = kwargs.pop(name)
    missing = [name for name in names if name not in found]
    if missing:
        raise MissingArgumentError(f"{op.name}: input {missing[0]} is missing: it needs {', '.join(names)}")
    return {name: found[name] for name in names}


def _signature(
    op: OpDef, inputs: Mapping[str, Any], attrs: Mapping[str, Any], alias: str | None
) -> tuple[Any, ...]:
    kinds: list[Any] = []
    for name, x in inputs.items():
        if is_number(x):
            kinds.append("number")
        elif isinstance(x, RowSparseArray):
            kinds.append(("row_sparse", x.shape, x.dtype))
        else:
            array = as_array(x, f"input {name!r}", mutable=False)
            kinds.append((array.shape, array.dtype, array.flags.c_contiguous))
    flags = tuple(
        (key, (value >= 0) if op.attrs[key].switch else None if op.attrs[key].is_numeric else value)
        for key, value in sorted(attrs.items())
    )
    return (op, tuple(kinds), flags, alias)


def _target(op: OpDef, out: Any, inputs: Mapping[str, Any]) -> Array:
    """`out` as the array to write: memory of its own, shared with no input."""
    array = as_array(out, f"{op.name}: out", mutable=True)
    entries = [("out", array, True)]
    for name, x in inputs.items():
        if not is_number(x):
            data = x.data if isinstance(x, RowSparseArray) else as_array(x, name, mutable=False)
            entries.append((name, data, False))
    check_overlap(entries)
    return array


def _check_target(op: OpDef, out: Array, step: _Eager) -> None:
    value = step.result
    if value.host:
        raise ArrayError(f"{op.name}: the result is a number; out= takes arrays")
    if out.shape != value.shape:
        raise ShapeError(f"{op.name}: out has shape {out.shape}, the result has {value.shape}")
    if out.dtype != to_numpy(value.dtype):
        raise DTypeError(f"{op.name}: out is {out.dtype.name}, the result is {value.dtype}")


def _function(name: str) -> Callable[..., Any]:
    op = get_op(name)

    def run(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        return _call(op, args, kwargs, out)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = getattr(sym, name).__doc__
    return run


def __getattr__(name: str) -> Callable[..., Any]:
    return _function(name)


def __dir__() -> list[str]:
    return sorted(OPS)

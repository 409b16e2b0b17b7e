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
from .arrays import Array
from .attrs import REQUIRED
from .bound import is_number
from .compose import Call, caller, of_so_many, parse
from .dtypes import to_numpy
from .errors import ArrayError, DTypeError, MissingArgumentError, ShapeError, UnknownArgumentError, near
from .expr import children, origin, toposort
from .forms import get_op
from .mxnetfiles import load as load
from .mxnetfiles import load_frombuffer as load_frombuffer
from .mxnetfiles import save as save
from .opdef import OPS, OpDef
from .overlap import check_overlap
from .passes.ir import Value
from .places import HOST, Place, place_of_array
from .sparse import RowSparseArray
from .step import Step

FILES = ("load", "load_frombuffer", "save")
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
    """The step of one op, pointed at other arrays by each call. `out`: the inputs that the results go into."""

    def __init__(
        self,
        op: OpDef,
        inputs: Mapping[str, Any],
        attrs: Mapping[str, Any],
        out: tuple[str, ...],
        place: Place,
    ) -> None:
        variables = {name: _variable(name, value) for name, value in inputs.items()}
        target = {"out": [variables[name] for name in out]} if out else {}
        symbol = getattr(sym, op.name)(*variables.values(), name=op.name, **attrs, **target)
        self.node = origin(symbol._outputs[0])[0]
        self.step = Step(symbol._outputs, inputs, toposort(symbol._outputs, children), "auto", place)
        self.lock = threading.Lock()

    @property
    def results(self) -> tuple[Value, ...]:
        return self.step.program.lowered.heads

    def run(
        self, inputs: Mapping[str, Any], numbers: Mapping[str, Any], out: Sequence[Array | None]
    ) -> list[Any]:
        step = self.step
        with self.lock:
            try:
                step.take(inputs)
                step.override({(id(self.node), name): value for name, value in numbers.items()})
                for k, array in enumerate(out):
                    step.place_output(k, array)
                step.run()
                return list(step.outputs)
            finally:
                step.release()


def _variable(name: str, value: Any) -> Any:
    stype = "row_sparse" if isinstance(value, RowSparseArray) else None
    return sym.var(name, shape=() if is_number(value) else None, stype=stype)


def _call(family: OpDef, args: Sequence[Any], kwargs: dict[str, Any], out: Any) -> Any:
    op, inputs = _inputs(family, args, kwargs)
    call = Call(op, op.name, caller())
    for key in kwargs:
        if key not in op.attrs:
            raise UnknownArgumentError(f"{op.name}: no input or attribute {key!r}{near(key, op.attrs)}")
    attrs = {key: parse(call, op.attrs[key], value) for key, value in kwargs.items()}
    for name, attr in op.attrs.items():
        if attr.default is REQUIRED and name not in attrs:
            raise MissingArgumentError(f"{op.name}: attribute {name} is required")
    outs = _outs(op, out)
    place = _place(inputs)
    given = {id(value): name for name, value in inputs.items()}
    aliases = tuple(given[id(x)] for x in outs if id(x) in given)
    in_place = aliases if len(aliases) == op.n_results else ()
    targets = [
        None if in_place or x is None or id(x) in given else _target(op, x, inputs, place) for x in outs
    ]
    step = _step(op, inputs, attrs, in_place, place)
    for k, target in enumerate(targets):
        if target is not None:
            _check_target(op, target, step.results[k])
    numbers = {name: value for name, value in attrs.items() if op.attrs[name].is_numeric}
    results = step.run(inputs, numbers, targets)
    for x, result in zip(outs, results):
        if x is not None and not in_place and id(x) in given:
            with place.current():
                place.as_array(x, f"{op.name}: out", mutable=True)[...] = result
    if not op.n_results:
        return None
    shown = [x if x is not None else result for x, result in zip(outs, results)]
    return shown if op.parts and op.is_update else shown[0]


def _outs(op: OpDef, out: Any) -> list[Any]:
    """`out` as one array, or None, for each result."""
    several = isinstance(out, (list, tuple)) and op.n_results != 1
    found = list(out) if several else [None] * op.n_results if out is None else [out]
    if len(found) != op.n_results:
        raise ArrayError(f"{op.name} has {op.n_results} results, got {len(found)} arrays as out=")
    return found


def _place(inputs: Mapping[str, Any]) -> Place:
    """Where the first array among the inputs is: all others must be there too."""
    for x in inputs.values():
        if not is_number(x):
            return place_of_array(x)
    return HOST


def _step(
    op: OpDef, inputs: Mapping[str, Any], attrs: Mapping[str, Any], out: tuple[str, ...], place: Place
) -> _Eager:
    signature = _signature(op, inputs, attrs, out, place)
    with _lock:
        step = _steps.get(signature)
        if step is not None:
            _steps.move_to_end(signature)
    if step is None:
        step = _Eager(op, inputs, attrs, out, place)
        with _lock:
            _steps[signature] = step
            while len(_steps) > KEPT:
                _steps.popitem(last=False)
    return step


def _inputs(family: OpDef, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[OpDef, dict[str, Any]]:
    """The op of as many inputs as are given, and those by name, taken from positions and out of `kwargs`."""
    call, args = of_so_many(Call(family, family.name, caller()), args, kwargs)
    op = call.op
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
    return op, {name: found[name] for name in names}


def _signature(
    op: OpDef, inputs: Mapping[str, Any], attrs: Mapping[str, Any], out: tuple[str, ...], place: Place
) -> tuple[Any, ...]:
    kinds: list[Any] = []
    for name, x in inputs.items():
        if is_number(x):
            kinds.append("number")
        elif isinstance(x, RowSparseArray):
            place.view(x.data, f"input {name!r}")
            kinds.append(("row_sparse", x.shape, x.dtype))
        else:
            array = place.as_array(x, f"input {name!r}", mutable=False)
            kinds.append((array.shape, array.dtype, array.flags.c_contiguous))
    flags = tuple(
        (key, (value >= 0) if op.attrs[key].switch else None if op.attrs[key].is_numeric else value)
        for key, value in sorted(attrs.items())
    )
    return (op, tuple(kinds), flags, out, place)


def _target(op: OpDef, out: Any, inputs: Mapping[str, Any], place: Place) -> Array:
    """`out` as the array to write: memory of its own, shared with no input."""
    array = place.as_array(out, f"{op.name}: out", mutable=True)
    entries = [("out", array, True)]
    for name, x in inputs.items():
        if not is_number(x):
            data = (
                x.data
                if isinstance(x, RowSparseArray)
                else place.as_array(x, f"input {name!r}", mutable=False)
            )
            entries.append((name, data, False))
    check_overlap(entries)
    return array


def _check_target(op: OpDef, out: Array, value: Value) -> None:
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
    return sorted([*OPS, *FILES])

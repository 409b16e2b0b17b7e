"""How one parameter is updated: an op of the catalogue, its attributes, and what its states begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from .. import sym
from ..arrays import Array
from ..attrs import REQUIRED
from ..dtypes import to_numpy
from ..errors import MissingArgumentError, UnknownArgumentError, UnknownOpError, near
from ..forms import get_op
from ..infer import infer
from ..opdef import OPS, OpDef
from ..places import place_of_array
from ..symbol import Symbol

Initial = float | str  # a number, "weight" (a copy of it), or an attribute's name


@dataclass(frozen=True, slots=True)
class Update:
    """An op, and what it is given beside weight and gradient.

    `attrs`: numbers, flags, or Symbols made of scalar variables; a variable shared by all parameters costs the same for
    one as for a thousand. `initial`: what states begin with, if not as the op says. `scalars`: its inputs of one
    element, such as adamw's rescale_grad.
    """

    op: OpDef
    attrs: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Initial] = field(default_factory=dict)
    scalars: Mapping[str, Symbol] = field(default_factory=dict)

    def symbol(
        self, name: str, weight: Symbol, grad: Symbol, states: Mapping[str, Symbol], **more: Any
    ) -> Symbol:
        """The node called `name` that updates `weight`."""
        given = {self.op.inputs[0].name: weight, self.op.inputs[1].name: grad, **states, **self.scalars}
        inputs = [given[i.name] for i in self.op.inputs]
        made: Symbol = getattr(sym, self.op.name)(*inputs, name=name, **self.attrs, **more)
        return made


def find_op(rule: str | Callable[..., Any] | OpDef, prefix: str = "") -> OpDef:
    """The update op called `rule`, with or without `_update`, or of a formula or constructor of `so.sym`.

    UnknownOpError with the nearest names. `prefix` "mp_" gives the form with a float32 copy of the weight.

    >>> find_op("torch_adamw")
    <op torch_adamw_update>
    """
    name = rule if isinstance(rule, str) else getattr(rule, "__name__", None) or getattr(rule, "name", None)
    if not isinstance(name, str):
        raise UnknownOpError(f"a rule is the name of an update op, or its formula; got {rule!r}")
    full = name if name in OPS or name.endswith("_update") else f"{name}_update"
    try:
        op = get_op(prefix + full)
    except UnknownOpError:
        rules = {n.removesuffix("_update") for n, op in OPS.items() if op.is_update}
        raise UnknownOpError(f"no update op is called {name!r}{near(name, rules)}") from None
    if not op.is_update or op.is_variadic:
        raise UnknownOpError(f"{name!r} is no rule: it does not update one weight")
    return op


def count_of(op: OpDef) -> str:
    """The attribute that is the number of this step, an integer without a default; "" if the formula has none."""
    return next((n for n, a in op.attrs.items() if a.kind == "integer" and a.default is REQUIRED), "")


def new_states(update: Update, weight: Any) -> dict[str, Array]:
    """Arrays for the states of one weight, beside it in memory, with the values that they begin with."""
    op, place = update.op, place_of_array(weight)
    array = place.view(weight, "a weight")
    flags = tuple((n, update.attrs[n]) for n in op.structural if n in update.attrs)
    made = {}
    for name, (shape, dtype) in _state_types(op, flags, array.shape, array.dtype.name).items():
        made[name] = state = place.zeros(shape, to_numpy(dtype))
        first = first_value(update, name)
        with place.current():
            if isinstance(first, str):
                state[...] = array
            elif first:
                state[...] = first
    return made


def first_value(update: Update, name: str) -> Initial:
    """What a state begins with: a number, or "weight" for a copy of it."""
    op = update.op
    if name in update.initial:
        first: Any = update.initial[name]
    else:
        is_master = op.master >= 0 and op.inputs[op.master].name == name
        first = "weight" if is_master else op.initial.get(name, 0.0)
    if first == op.inputs[0].name or first == "weight":
        return "weight"
    if isinstance(first, str):
        value = update.attrs.get(first, op.attrs[first].default)
        if isinstance(value, Symbol):
            raise MissingArgumentError(
                f"{op.name}: state {name!r} begins as {first}, which changes; give initial="
            )
        return float(value)
    return float(first)


@cache
def _state_types(
    op: OpDef, flags: tuple[tuple[str, Any], ...], shape: tuple[int, ...], dtype: str
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each state, as inference has them."""
    required = {n: 1.0 for n, a in op.attrs.items() if a.default is REQUIRED or n == "seed"}
    variables = {i.name: sym.var(f"{i.name}:") for i in op.inputs}
    node = getattr(sym, op.name)(*variables.values(), **required | dict(flags))
    name = f"{op.inputs[0].name}:"
    shapes = {name: shape} | {f"{i.name}:": (1,) for i in op.inputs if i.kind == "scalar"}
    types = infer(node._outputs, shapes, {name: dtype})
    found = {}
    for n in types.order:
        if n.is_variable and n.name[:-1] in op.states:
            state = types.shape(n)
            if state is None:
                raise UnknownArgumentError(f"{op.name}: the shape of state {n.name[:-1]!r} is not known")
            found[n.name[:-1]] = (state, types.dtype(n) or dtype)
    return found


def zeros_beside(weight: Any, dtype: Any = None) -> Array:
    """Zeros of a weight's shape and dtype, or another dtype, where the weight is."""
    place = place_of_array(weight)
    array = place.view(weight, "a weight")
    return place.zeros(array.shape, np.dtype(dtype or array.dtype))


def copy_beside(weight: Any) -> Array:
    """A copy of a weight in memory of its own, where the weight is."""
    place = place_of_array(weight)
    array = place.view(weight, "a weight")
    with place.current():
        copy: Array = array.copy()
    return copy


def state_types(update: Update, shape: tuple[int, ...], dtype: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each state of a weight of this shape and dtype."""
    op = update.op
    flags = tuple((n, update.attrs[n]) for n in op.structural if n in update.attrs)
    return _state_types(op, flags, shape, dtype)

"""Further forms of a registered op, derived when they are asked for: none is written by hand.

* `mp_x`: the weight has a float32 copy, `weight32`, which the formula works on; states are float32 too.
* `multi_x`: any number of weights in one node, with one value of `lr` and the like for each (`lrs=(...)`).
* `preloaded_multi_x`: the same, with the learning rates and decays in arrays.
* `kahan=True`: the weight has one more state, what rounding it lost.

`of_count` makes the op of just so many tensors, `op_of` the op of one node: with as many inputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from .attrs import Attr
from .errors import UnknownOpError, near
from .expr import Node
from .opdef import OPS, STATE_KINDS, OpDef, Part
from .signatures import Input
from .tensor import Updated, updated

MASTER, COMPENSATION = "weight32", "compensation"
PRELOADED = ("lr", "wd")
_NAME = re.compile(r"_?(mxnet1_)?(preloaded_(?=multi_))?(multi_)?(mp_)?(.+)")


def find_op(name: str) -> OpDef | None:
    """The op of a name or alias, derived if it is a form of another; None if there is none."""
    op = OPS.get(name)
    if op is not None:
        return op
    match = _NAME.fullmatch(name)
    if match is None or not (match[3] or match[4]):
        return None
    old = match[1] or ""
    base = OPS.get(old + match[5]) or OPS.get("_" + match[5])
    if base is None or not base.is_update or base.is_variadic or (match[3] and base.gives != "weight"):
        return None
    return _form(base, bool(match[4]), bool(match[3]), bool(match[2]))


def get_op(name: str) -> OpDef:
    """The op registered under a name or alias, or derived; UnknownOpError with the nearest names."""
    op = find_op(name)
    if op is None:
        raise UnknownOpError(f"no op is called {name!r}{near(name, OPS)}")
    return op


def op_of(node: Node) -> OpDef:
    """The op of a node, with as many inputs as the node has."""
    op = OPS.get(node.op) or get_op(node.op)
    if op.is_variadic or "kahan" in node.attrs:
        return concrete(op, node.attrs, len(node.inputs) - len(node.attrs.get("__scalars__", ())))
    return op


def concrete(op: OpDef, attrs: Mapping[str, Any], count: int) -> OpDef:
    """The op as `attrs` have it; of an op of any number of tensors, the one of `count` inputs."""
    kahan = bool(attrs.get("kahan"))
    if op.is_variadic:
        return of_count(op, tensors_in(op, count, kahan), kahan)
    return with_compensation(op) if kahan else op


def tensors_in(op: OpDef, count: int, kahan: bool = False) -> int:
    """How many tensors `count` inputs of an op of any number of tensors are; 0 if they do not come out even."""
    if op.base is None:
        return count
    base = with_compensation(op.base) if kahan else op.base
    shared = sum(i.kind == "scalar" for i in base.inputs)
    each = len(base.inputs) - shared
    tensors, rest = divmod(count - shared - len(op.preloaded), each)
    return tensors if rest == 0 else 0


@cache
def _form(base: OpDef, mp: bool, multi: bool, preloaded: bool) -> OpDef:
    prefix = "preloaded_" * preloaded + "multi_" * multi + "mp_" * mp
    name = prefix + base.name
    mxnet = f"_{name}" if base.mxnet == f"_{base.name}" else ""
    made = _with_master(base) if mp else base
    if multi:
        loaded = tuple(a for a in PRELOADED if preloaded and a in base.plurals)
        made = made.derive(base=made, preloaded=loaded, inputs=made.inputs, attrs=_multi_attrs(made, loaded))
    return made.derive(name=name, mxnet=mxnet, aliases=())


def _after_states(op: OpDef) -> int:
    """Where a further state comes: after the others, or last if there are none."""
    states = [k for k, i in enumerate(op.inputs) if i.kind in STATE_KINDS]
    return states[-1] + 1 if states else len(op.inputs)


def _with_master(op: OpDef) -> OpDef:
    """The `mp_` form: the formula on the float32 copy, whose new value is rounded into the weight."""
    place = _after_states(op)
    formula, has_weight = op.formula, op.gives == "weight"

    def on_master(*inputs: Any, **attrs: Any) -> Updated:
        master = inputs[place]
        result = formula(master, *inputs[1:place], *inputs[place + 1 :], **attrs)
        return updated(result.weight, **result.states, **({MASTER: result.weight} if has_weight else {}))

    inputs = (*op.inputs[:place], Input(MASTER, "master"), *op.inputs[place:])
    attrs = {k: v for k, v in op.attrs.items() if k not in ("kahan", "state_dtype")}
    return op.derive(formula=on_master, inputs=inputs, attrs=attrs)


@cache
def with_compensation(op: OpDef) -> OpDef:
    """The op with one more state: what was lost when the weight was rounded, and is part of it in the next step."""
    place = _after_states(op)
    formula = op.formula

    def compensated(*inputs: Any, **attrs: Any) -> Updated:
        weight = inputs[0] + inputs[place]
        result = formula(weight, *inputs[1:place], *inputs[place + 1 :], **attrs)
        return updated(result.weight, **result.states, **{COMPENSATION: result.weight})

    inputs = (*op.inputs[:place], Input(COMPENSATION, "residual"), *op.inputs[place:])
    return op.derive(formula=compensated, inputs=inputs)


def _multi_attrs(op: OpDef, loaded: tuple[str, ...]) -> dict[str, Attr]:
    """Tuples for what each tensor has a value of its own of; the rest is shared."""
    attrs: dict[str, Attr] = {}
    for name, attr in op.attrs.items():
        if name in op.plurals and name not in loaded:
            attrs[op.plurals[name]] = attr._replace(name=op.plurals[name], length=1)
        elif name not in loaded:
            attrs[name] = attr
    return {**attrs, op.count: Attr(op.count, "int", 0)}


@cache
def of_count(op: OpDef, count: int, kahan: bool = False) -> OpDef:
    """An op of any number of tensors as one of just `count`."""
    if op.base is None:
        kind = {"tensors": "tensor", "states": "state"}[op.inputs[0].kind]
        stem = op.inputs[0].name
        one = op.derive(inputs=(Input(stem, kind),), n_results=0 if kind == "state" else 1)
        inputs = tuple(Input(f"{stem}_{k}", kind) for k in range(count))
        parts = tuple(Part(one, (k,), {}, {}) for k in range(count))
        return op.derive(inputs=inputs, parts=parts, n_results=one.n_results)
    base = with_compensation(op.base) if kahan else op.base
    return _multi_of(op, base, count)


@cache
def then_op(op: OpDef) -> OpDef:
    """What an op of any number of arrays makes of the results of all, as an op on an array of them."""
    inputs = (Input(op.inputs[0].name, "tensor"),)
    fields: dict[str, Any] = {
        "formula": op.then,
        "inputs": inputs,
        "attrs": {},
        "keywords": frozenset(),
        "parts": (),
    }
    return op.derive(**fields, name=f"{op.name}.then", then=None)


def _multi_of(op: OpDef, base: OpDef, count: int) -> OpDef:
    own = [k for k, i in enumerate(base.inputs) if i.kind != "scalar"]
    shared = [k for k, i in enumerate(base.inputs) if i.kind == "scalar"]
    first_shared = count * len(own)
    first_array = first_shared + len(shared)
    inputs = [Input(f"{base.inputs[k].name}_{t}", base.inputs[k].kind) for t in range(count) for k in own]
    inputs += [base.inputs[k] for k in shared]
    inputs += [Input(op.plurals[a], "vector") for a in op.preloaded]
    parts = []
    for t in range(count):
        place = {k: t * len(own) + n for n, k in enumerate(own)}
        place.update({k: first_shared + n for n, k in enumerate(shared)})
        parts.append(
            Part(
                op=base,
                inputs=tuple(place[k] for k in range(len(base.inputs))),
                attrs={a: (plural, t) for a, plural in base.plurals.items() if a not in op.preloaded},
                arrays={a: (first_array + n, t) for n, a in enumerate(op.preloaded)},
            )
        )
    attrs = {n: a._replace(length=count) if a.length else a for n, a in op.attrs.items()}
    return op.derive(
        inputs=tuple(inputs), parts=tuple(parts), attrs=attrs, n_results=count, base=None, preloaded=()
    )

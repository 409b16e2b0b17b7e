"""Cases of update ops, one op each, from the registry and from what MXNet tells of its own ops.

Numbers are sums of few powers of two, since MXNet rounds attributes to float32; but in the setting `required`
everything that may be left out is, and has the defaults of either side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from graphs import Arrays, Case, random

from symopt import sym
from symopt.errors import UnknownOpError
from symopt.forms import concrete
from symopt.jsonread import find_op
from symopt.opdef import OpDef
from symopt.sparse import RowSparseArray
from symopt.symbol import Symbol

STEPS = 3
SHAPE, SECOND_SHAPE = (7, 5), (4,)
SPARSE_ROWS = ([0, 2, 5], [1, 2, 3, 6], [5])  # of the gradient at each step
DTYPES = ("float16", "float32", "float64")
LAZY = ("sgd_update", "sgd_mom_update", "adam_update")  # have kernels for sparse gradients, lazy or not
SPARSE_ONLY = ("_sparse_adagrad_update", "_contrib_group_adagrad_update")  # have no others
NO_DECAY = ("_sparse_adagrad_update",)  # refuses wd but 0

VALUES = {
    "lr": 0.125, "wd": 0.0625, "rescale_grad": 0.5, "momentum": 0.75, "beta1": 0.75, "beta2": 0.875,
    "rho": 0.875, "gamma1": 0.875, "gamma2": 0.75, "epsilon": 2**-10, "eta": 0.5, "lamda1": 0.25, "beta": 0.5,
    "wd_lh": 0.03125,
}  # fmt: skip
BOUNDS = {
    "clip_gradient": 0.375, "clip_grad": 0.375, "clip_weights": 0.75, "lower_bound": 3.0, "upper_bound": 5.0,
}  # fmt: skip
SINGLE = {"r1": 2.0, "r2": 4.0}  # values of one-element inputs; others are 0.5
GIVEN_TYPES = ("tensor", "scalar", "vector")  # kinds of inputs whose types do not follow from others
SINGULAR = {"lrs": "lr", "wds": "wd", "etas": "eta", "learning_rates": "lr", "step_count": "t"}

Known = Mapping[str, Mapping[str, str]]  # op of MXNet: what it takes, and of what type


def is_update(name: str) -> bool:
    return name.endswith(("_update", "_phase1", "_phase2")) and not name.startswith(("_backward", "_np"))


def find(name: str, version: int) -> OpDef | None:
    """symopt's op of an op of MXNet; None if there is none yet."""
    try:
        return find_op(name, version)
    except UnknownOpError:
        return None


def update_cases(known: Known, version: int) -> Iterator[Case]:
    """Every setting and dtype of every update op that MXNet has under the name that symopt's files have for it."""
    for name in sorted(filter(is_update, known)):
        op = find(name, version)
        if op is None or (name.removeprefix("_sparse_") in known and name.startswith("_sparse_")):
            continue
        dtypes = ("float16",) if "mp_" in name else DTYPES
        for setting, attrs in settings(name, op, known[name]).items():
            for dtype in dtypes:
                yield op_case(op, name, setting, attrs, dtype, is_sparse=name in SPARSE_ONLY)
        yield from _further_cases(name, op, settings(name, op, known[name])["all"], dtypes)


def _further_cases(name: str, op: OpDef, attrs: Mapping[str, Any], dtypes: tuple[str, ...]) -> Iterator[Case]:
    """What single ops have of their own."""
    for dtype in dtypes:
        if name in LAZY:
            for lazy in (True, False):
                yield op_case(op, name, f"rows, lazy {lazy}", {**attrs, "lazy_update": lazy}, dtype, True)
        if name == "ftrl_update":  # sparse where everything is
            case = op_case(op, name, "rows, all row_sparse", attrs, dtype, True)
            yield case._replace(full_rows=frozenset({"weight", *op.states}))
        if "rescale_grad" in op.input_names() and not op.is_variadic:
            case = op_case(op, name, "skipped", attrs, dtype)
            yield case._replace(first=case.first | {"rescale_grad": np.full(1, np.nan, np.float32)})
        if name == "nag_mom_update":
            yield op_case(op, name, "in place", attrs, dtype)._replace(mode="walk in place")


def settings(name: str, op: OpDef, known: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Attributes to try an op with, as names and numbers; those that MXNet requires are always there."""
    names = [
        n for n, a in op.attrs.items() if n in known and a.is_numeric and not (n == "wd" and name in NO_DECAY)
    ]
    values = {n: VALUES.get(SINGULAR.get(n, n), 1.0) for n in names if n not in BOUNDS}
    bounds = {n: BOUNDS[n] for n in names if n in BOUNDS}
    found = {"required": {n: v for n, v in values.items() if known[n].endswith("required")}, "all": values}
    if bounds:
        found["clipped"] = values | bounds
    found |= {f"{n} 0": {**values, n: 0.0} for n in bounds if n.startswith("clip_grad")}
    for n, a in op.attrs.items():
        if a.kind == "bool" and n in known and n != "lazy_update":
            found[f"{n} {not a.default}"] = {**values, n: not a.default}
    return found


def op_case(
    op: OpDef, row: str, setting: str, attrs: Mapping[str, Any], dtype: str, is_sparse: bool = False
) -> Case:
    """A case of one update op on tensors of its own, two of them if it takes any number."""
    op = _of_two(op)
    variables = {i.name: sym.var(i.name) for i in op.inputs}
    weights = [part.inputs[0] for part in op.parts] or [0]
    gives_weight = op.gives == "weight"
    out = [list(variables.values())[k] for k in weights] if gives_weight else None
    graphs = [
        getattr(sym, op.name)(*variables.values(), name="u", out=out, **_at_step(attrs, step, op))
        for step in range(STEPS)
    ]
    key = f"{row} {setting}"
    first = _first_arrays(op, graphs[0], row, dtype, key)
    given = [i.name for k, i in enumerate(op.inputs) if i.kind == "tensor" and k not in weights]
    fresh: list[Arrays] = [
        {n: random(f"{key}{n}{s}", first[n].shape, first[n].dtype) for n in given} for s in range(STEPS)
    ]
    if is_sparse:
        fresh = [{n: _rows(x, s) for n, x in arrays.items()} for s, arrays in enumerate(fresh)]
    stores = {k: op.inputs[p].name for k, p in enumerate(weights)} if gives_weight else {}
    return Case(row, setting, dtype, graphs, first, fresh, stores, exact=setting != "required")


def _of_two(op: OpDef) -> OpDef:
    if not op.is_variadic or op.base is None:
        return op
    scalars = sum(i.kind == "scalar" for i in op.base.inputs)
    return concrete(op, {}, 2 * (len(op.base.inputs) - scalars) + scalars + len(op.preloaded))


def _at_step(attrs: Mapping[str, Any], step: int, op: OpDef) -> dict[str, Any]:
    """The attributes at a step, from 0: counts go up, and each tensor has its own of a tuple."""
    found: dict[str, Any] = {}
    for name, value in attrs.items():
        is_count = SINGULAR.get(name, name) == "t"
        value = step + 1 if is_count else value
        each = [value + k if is_count else value / (k + 1) for k in range(op.attrs[name].length)]
        found[name] = tuple(each) or value
    return found


def _rows(array: Any, step: int) -> RowSparseArray:
    rows = np.array(SPARSE_ROWS[step])
    return RowSparseArray(array[rows], rows, array.shape)


def _first_arrays(op: OpDef, graph: Symbol, row: str, dtype: str, key: str) -> Arrays:
    """Weights and gradients at random, states of zeros, the float32 copy of a weight equal to it."""
    parts = [part.inputs for part in op.parts] or [tuple(range(len(op.inputs)))]
    weights = [op.inputs[inputs[0]].name for inputs in parts]
    wide = {i.name for i in op.inputs if op.master >= 0 and i.name == "g"}  # phase 1 gives it as float32
    types = {i.name: "float32" for i in op.inputs if i.kind in GIVEN_TYPES}
    types |= {i.name: dtype for i in op.inputs if i.kind == "tensor" and i.name not in wide}
    shapes = _by_name(graph, graph.infer_shape(**dict(zip(weights, (SHAPE, SECOND_SHAPE)))))
    types = _by_name(graph, graph.infer_type(**types))
    arrays: Arrays = {}
    for i in op.inputs:
        if i.kind == "scalar":
            arrays[i.name] = np.full(1, SINGLE.get(i.name, 0.5), _scalar_type(i.name, row, dtype))
        elif i.kind == "vector":
            value = VALUES[SINGULAR[i.name]]
            arrays[i.name] = np.array([value, value / 2], np.float32)
        elif i.kind == "tensor":
            arrays[i.name] = random(f"{key}{i.name}", shapes[i.name], types[i.name])
        elif i.kind != "master":
            arrays[i.name] = np.zeros(shapes[i.name], types[i.name])
    for weight, inputs in zip(weights, parts):
        masters = [op.inputs[k].name for k in inputs if op.inputs[k].kind == "master"]
        arrays |= {name: arrays[weight].astype(np.float32) for name in masters}
    return arrays


def _scalar_type(name: str, row: str, dtype: str) -> str:
    """What MXNet wants: the norms in the type of the weight, loss scales in float32, but not by the multi_ ops."""
    return dtype if "mp_" not in row and (name in SINGLE or row.startswith("_multi_")) else "float32"


def _by_name(graph: Symbol, inferred: tuple[Any, Any, Any]) -> dict[str, Any]:
    arguments, _, states = inferred
    return dict(zip([*graph.list_arguments(), *graph.list_auxiliary_states()], [*arguments, *states]))

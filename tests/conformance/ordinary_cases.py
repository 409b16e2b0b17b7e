"""Cases of ordinary ops and of graphs made of several ops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from graphs import Arrays, Case, random
from update_cases import DTYPES, SHAPE, STEPS, Known, find

from symopt import sym
from symopt.opdef import OpDef, all_ops
from symopt.symbol import Symbol

NUMBERS = {
    "scalar": 0.75,
    "a_min": -0.75,
    "a_max": 1.25,
    "scale": 0.5,
    "eta": 0.5,
    "eps": 2**-10,
    "rescale_grad": 0.5,
}


def ordinary_cases(known: Known, version: int) -> Iterator[Case]:
    """Every op that updates nothing, on numbers of either sign and on positive ones."""
    for op in all_ops():
        name = op.mxnet or op.name
        if op.is_update or name not in known or find(name, version) is not op:
            continue
        for setting, attrs in _settings(op, known[name]).items():
            for dtype in DTYPES if name != "multi_lars" else ("float32",):
                yield _case(op, name, setting, attrs, dtype)


def _settings(op: OpDef, known: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    numbers: dict[str, Any] = {n: NUMBERS[n] for n in op.numeric if n in known}
    if "dtype" in op.attrs:
        return {t: {"dtype": t} for t in DTYPES}
    if "axis" in op.attrs:
        rows: dict[str, Any] = {"axis": 1}
        return {"everything": {}, "rows": rows, "rows kept": {**rows, "keepdims": True}}
    if op.count in op.attrs:
        numbers[op.count] = 2
    return {"signed": numbers, "positive": numbers}


def _case(op: OpDef, name: str, setting: str, attrs: dict[str, Any], dtype: str) -> Case:
    names = [f"x{k}" for k in range(2 if op.is_variadic else len(op.inputs))]
    graph = getattr(sym, op.name)(*map(sym.var, names), name="u", **attrs)
    shape = (4,) if name == "multi_lars" else SHAPE
    arrays = {n: random(f"{name}{n}", shape, dtype) for n in names}
    if setting != "signed":
        arrays = {n: abs(x) for n, x in arrays.items()}
    return Case(name, setting, dtype, [graph], arrays, [{}], {})


def graph_cases(known: Known, version: int) -> Iterator[Case]:
    """Graphs of several nodes: chained states, ordinary ops before, between and after updates."""
    old = "mxnet1_" if version < 20000 else ""
    for name, build in GRAPHS.items():
        for dtype in DTYPES:
            w, g, m, v = (sym.var(n) for n in ("w", "g", "m", "v"))
            graphs = [build(old, step, w, g, m, v) for step in range(STEPS)]
            inputs = {*graphs[0].list_arguments(), *graphs[0].list_auxiliary_states()}
            start = {"w": 1, "g": 1, "m": 0, "v": 0}
            first: Arrays = {
                n: random(name + n, SHAPE, dtype) * np.array(start[n], dtype) for n in sorted(inputs)
            }
            fresh: list[Arrays] = [{"g": random(f"{name}g{s}", SHAPE, dtype)} for s in range(STEPS)]
            yield Case(name, "", dtype, graphs, first, fresh, _stores(graphs[0]))


def _stores(graph: Symbol) -> dict[int, str]:
    """Which variable each head is written to by `out=`."""
    outs = [node.attrs.get("__out__") for node in graph._outputs]
    return {k: out[0].name for k, out in enumerate(outs) if out}


def _twice(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    op = getattr(sym, f"{old}sgd_mom_update")
    first = op(w, g, m, lr=0.125, momentum=0.75)
    return op(first, g * 0.5, first.state("mom"), lr=0.25, momentum=0.5, wd=0.0625, out=w)


def _clipped(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    small = sym.clip(g * 0.5 + 0.25, a_min=-0.75, a_max=0.75)
    op = getattr(sym, f"{old}adam_update")
    return op(w, small, m, v, lr=0.125, beta1=0.75, beta2=0.875, epsilon=2**-10, out=w)


def _average(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    new = getattr(sym, f"{old}sgd_update")(w, g, lr=0.125, wd=0.0625, out=w)
    return sym.Group([new, sym.elemwise_add(m * 0.75, new * 0.25, out=m)])


def _phases(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    numbers = {"t": step + 1, "wd": 0.0625, "beta1": 0.75, "beta2": 0.875, "epsilon": 2**-10}
    direction = getattr(sym, f"{old}lamb_update_phase1")(w, g, m, v, **numbers)
    norms = sym.norm(w), sym.norm(direction)
    return getattr(sym, f"{old}lamb_update_phase2")(w, direction, *norms, lr=0.125, out=w)


def _two_weights(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    first = getattr(sym, f"{old}signsgd_update")(w, g, lr=0.125, wd=0.0625, out=w)
    second = getattr(sym, f"{old}rmsprop_update")(
        m, g, v, **{RHO[old]: 0.75}, lr=0.125, epsilon=2**-10, out=m
    )
    return sym.Group([first, second])


RHO = {"": "rho", "mxnet1_": "gamma1"}
GRAPHS = {
    "two sgd_mom_update sharing a state": _twice,
    "clip(g / 2 + 1/4) before adam_update": _clipped,
    "sgd_update, then a moving average": _average,
    "lamb by its phases, norms between": _phases,
    "two weights, one gradient": _two_weights,
}

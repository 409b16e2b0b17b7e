"""Cases of graphs of several nodes: chained states, ordinary ops before, between and after updates."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from graphs import Arrays, Case, random
from update_cases import DTYPES, SHAPE, STEPS, Known

from symopt import sym
from symopt.symbol import Symbol


def graph_cases(known: Known, version: int) -> Iterator[Case]:
    """Every graph, of the ops of MXNet 1 or of MXNet 2."""
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


def _op(old: str, name: str) -> Callable[..., Symbol]:
    """The op of MXNet 2, or with the prefix that of MXNet 1."""
    op: Callable[..., Symbol] = getattr(sym, old + name)
    return op


def _twice(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    op = _op(old, "sgd_mom_update")
    first = op(w, g, m, lr=0.125, momentum=0.75)
    return op(first, g * 0.5, first.state("mom"), lr=0.25, momentum=0.5, wd=0.0625, out=w)


def _clipped(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    small = sym.clip(g * 0.5 + 0.25, a_min=-0.75, a_max=0.75)
    op = _op(old, "adam_update")
    return op(w, small, m, v, lr=0.125, beta1=0.75, beta2=0.875, epsilon=2**-10, out=w)


def _average(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    new = _op(old, "sgd_update")(w, g, lr=0.125, wd=0.0625, out=w)
    return sym.Group([new, sym.elemwise_add(m * 0.75, new * 0.25, out=m)])


def _phases(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    numbers = {"t": step + 1, "wd": 0.0625, "beta1": 0.75, "beta2": 0.875, "epsilon": 2**-10}
    direction = _op(old, "lamb_update_phase1")(w, g, m, v, **numbers)
    norms = sym.norm(w), sym.norm(direction)
    return _op(old, "lamb_update_phase2")(w, direction, *norms, lr=0.125, out=w)


def _two_weights(old: str, step: int, w: Symbol, g: Symbol, m: Symbol, v: Symbol) -> Symbol:
    first = _op(old, "signsgd_update")(w, g, lr=0.125, wd=0.0625, out=w)
    second = _op(old, "rmsprop_update")(m, g, v, **{RHO[old]: 0.75}, lr=0.125, epsilon=2**-10, out=m)
    return sym.Group([first, second])


RHO = {"": "rho", "mxnet1_": "gamma1"}
GRAPHS = {
    "two sgd_mom_update sharing a state": _twice,
    "clip(g / 2 + 1/4) before adam_update": _clipped,
    "sgd_update, then a moving average": _average,
    "lamb by its phases, norms between": _phases,
    "two weights, one gradient": _two_weights,
}

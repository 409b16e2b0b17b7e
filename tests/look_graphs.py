"""Graphs of every sort that texts and drawings of graphs are tried on: a symbol, shapes, and how rows are stored."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import symopt as so
from symopt import sym
from symopt.planned import Planned, plan_graph

HOSTILE = 'a"\\N<b>|{x}&amp;\n\x1b[31m\u202e]]>\ud800\x00' + "long" * 40


class Graph(NamedTuple):
    symbol: so.Symbol
    shapes: dict[str, Any]
    types: Mapping[str, str] = MappingProxyType({})

    def planned(self) -> Planned:
        return plan_graph(self.symbol._outputs, self.shapes, self.types)


def adam(name: str = "", grad: Any = None, **attrs: Any) -> so.Symbol:
    w, m, v = (sym.var(p + name) for p in "wmv")
    g = sym.var("g" + name) if grad is None else grad
    return sym.adam_update(w, g, m, v, out=w, name="fc" + name, **{"lr": 0.1, **attrs})


def one() -> Graph:
    return Graph(adam("1", clip_gradient=1.0), {"w1": (40, 8)})


def variable() -> Graph:
    return Graph(sym.var("w", shape=(3,), dtype="float16"), {})


def lazy() -> Graph:
    g = sym.var("g", stype="row_sparse")
    return Graph(adam("", g), {"w": (1000, 8)})


def standard() -> Graph:
    g = sym.var("g", stype="row_sparse")
    return Graph(adam("", g, lazy_update=False), {"w": (100, 8)})


def whole_step(shapes: tuple[tuple[int, ...], ...] = ((40, 8), (8,), (8, 20), (20,))) -> Graph:
    """The norm of all gradients, clipping by it, Adam, and an average of the weights; a rate that the host computes."""
    grads = [sym.var(f"g{k}") for k in range(len(shapes))]
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads, name="squares"), name="total"), name="norm")
    count = sym.var("t", shape=())
    step = sym._plus_scalar(count, scalar=1.0, out=count, name="step")
    scale = sym._minimum_scalar(sym._rdiv_scalar(norm, scalar=1.0, name="inverse"), scalar=1.0, name="scale")
    heads = [step]
    for k, g in enumerate(grads):
        new = adam(str(k), g, rescale_grad=scale, lr=0.1 / (1 - 0.9**step), wd=0.01)
        e = sym.var(f"e{k}")
        heads += [new, sym.elemwise_add(0.9 * e, 0.1 * new, out=e, name=f"average{k}")]
    return Graph(sym.Group(heads), {f"w{k}": shape for k, shape in enumerate(shapes)})


def many(n: int = 500) -> Graph:
    return Graph(sym.Group([adam(str(k)) for k in range(n)]), {f"w{k}": (40, 8) for k in range(n)})


def multi() -> Graph:
    flat = [sym.var(f"{p}{k}") for k in range(5) for p in "wgm"]
    made = sym.multi_sgd_mom_update(
        *flat, lrs=(0.1,) * 5, wds=(0.0,) * 5, momentum=0.9, out=flat[::3], name="all"
    )
    return Graph(made, {f"w{k}": (40, 8) for k in range(5)})


def mixed() -> Graph:
    w, g, m, w32 = (sym.var(n) for n in ("w", "g", "m", "w32"))
    made = sym.mp_sgd_mom_update(w, g, m, w32, lr=0.1, momentum=0.9, out=w, name="half")
    return Graph(made, {"w": (40, 8)}, {"w": "float16", "g": "float16"})


def muon() -> Graph:
    w, g, m = (sym.var(n) for n in "wgm")
    return Graph(sym.keras3_muon_update(w, g, m, lr=0.1, out=w, name="muon"), {"w": (12, 20)})


def lamb() -> Graph:
    """Norms of one tensor, which its update reads as numbers."""
    w, g, m, v = (sym.var(n) for n in "wgmv")
    first = sym.lamb_update_phase1(w, g, m, v, t=1, wd=0.01, name="direction")
    sizes = sym.norm(w, name="size"), sym.norm(first, name="length")
    return Graph(sym.lamb_update_phase2(w, first, *sizes, lr=0.1, out=w, name="lamb"), {"w": (40, 8)})


def by_rows() -> Graph:
    w, g, h = (sym.var(n) for n in "wgh")
    return Graph(sym.group_adagrad_update(w, g, h, lr=0.1, out=w, name="groups"), {"w": (40, 8)})


def complex_() -> Graph:
    return Graph(adam(), {"w": (40, 8)}, {"w": "complex64", "g": "complex64"})


def exchanged() -> Graph:
    """Each of two variables is updated from the other: one new value must wait in a buffer."""
    a, b = sym.var("a"), sym.var("b")
    x, y = (sym.var(n, stype="row_sparse") for n in "xy")
    first = sym.sgd_update(b, x, lr=0.1, lazy_update=False, out=a, name="first")
    second = sym.sgd_update(a, y, lr=0.1, lazy_update=False, out=b, name="second")
    return Graph(sym.Group([first, second]), {"a": (40, 8), "b": (40, 8)})


def hostile() -> Graph:
    """Names that no text, drawing or file may stumble over."""
    w, g = sym.var(HOSTILE + "w", shape=(3, 2)), sym.var("重み\u0301")
    made = sym.sgd_update(w, g, lr=0.1, out=w, name=HOSTILE)
    return Graph(sym.broadcast_add(made, sym.var("שלום node"), name="graph"), {})


GRAPHS: dict[str, Callable[[], Graph]] = {
    f.__name__.strip("_"): f
    for f in (one, variable, lazy, standard, whole_step, many, multi, mixed, muon, lamb, by_rows, complex_,
              exchanged, hostile)
}  # fmt: skip


def graph(name: str) -> Graph:
    """A graph by name; automatic names count from 0."""
    with so.NameManager():
        return GRAPHS[name]()

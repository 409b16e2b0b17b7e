"""Graphs of several ops with their arrays, for tests that run them somewhere and compare with the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from test_engines import bits, random_array
from where import Host, Where, put_all

from symopt import sym
from symopt.dtypes import to_numpy
from symopt.sparse import RowSparseArray


class Graph(NamedTuple):
    """A symbol and its arrays and numbers; `numbers` change from step to step, by the factor 1, 2, 3, ..."""

    symbol: Any
    args: dict[str, Any]
    states: dict[str, Any]
    numbers: tuple[str, ...] = ()


def values_after(graph: Graph, where: Where, steps: int = 3, **options: Any) -> dict[str, np.ndarray]:
    """Every array and output after some steps somewhere."""
    args, states = put_all(where, graph.args), put_all(where, graph.states)
    executor = where.bind(graph.symbol, args, states, **options)
    for k in range(steps):
        outputs = executor.forward(**{name: graph.args[name] * (k + 1) for name in graph.numbers})
    where.check()
    found = {f"output {k}": where.get(x) for k, x in enumerate(outputs)}
    return found | {n: where.get(x) for n, x in (args | states).items() if hasattr(x, "nbytes")}


def differences(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[str]:
    """Names of arrays whose bits differ."""
    assert one.keys() == other.keys()
    return [name for name in one if not np.array_equal(bits(one[name]), bits(other[name]))]


def unlike_reference(graph: Graph, where: Where, steps: int = 3, **options: Any) -> list[str]:
    """Names of arrays that are not what the interpreter makes of them."""
    return differences(values_after(graph, Host(), steps), values_after(graph, where, steps, **options))


def tensors(sizes: list[Any], dtype: str, names: str = "wgmv") -> list[dict[str, Any]]:
    """Random arrays by name for each size or shape; v is positive."""
    rng = np.random.default_rng(0)
    made = []
    for size in sizes:
        one = {name: random_array(rng, size if isinstance(size, tuple) else (size,), dtype) for name in names}
        if "v" in one:
            one["v"] = np.abs(one["v"])
        made.append(one)
    return made


def numbered(arrays: list[dict[str, Any]], names: str) -> dict[str, Any]:
    """Those called w, g, ... of every tensor as w0, g0, w1, ..."""
    return {f"{n}{k}": one[n] for k, one in enumerate(arrays) for n in names}


def adam_list(sizes: list[Any], dtype: str = "float32", **attrs: Any) -> Graph:
    """Adam on several tensors, each with a rate of its own, in place."""
    heads = []
    for k in range(len(sizes)):
        w, g, m, v = (sym.var(f"{n}{k}") for n in "wgmv")
        rates = {"lr": 0.01 * (k + 1), "wd": 0.1, "clip_gradient": 0.5}
        heads.append(sym.adam_update(w, g, m, v, out=w, **(rates | attrs)))
    arrays = tensors(sizes, dtype)
    return Graph(sym.Group(heads), numbered(arrays, "wg"), numbered(arrays, "mv"))


def clipped_average(dtype: str = "float32") -> Graph:
    """Clip by the global norm, bias correction from a counter, Adam, and averaged weights."""
    sizes = [(300, 20), (7,), (1,), (9000,)]
    arrays = tensors(sizes, dtype, "wgmve")
    grads = [sym.var(f"g{k}") for k in range(len(sizes))]
    norm = sym.sqrt(sym.sum(sym.multi_sum_sq(*grads)))
    scale = sym.minimum(1.0 / (norm + 1e-6), 1.0)
    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    lr = sym.var("lr", shape=()) * sym.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    heads = [t]
    for k, g in enumerate(grads):
        w, m, v, e = (sym.var(f"{n}{k}") for n in "wmve")
        new = sym.adam_update(w, g, m, v, lr=lr, rescale_grad=scale, out=w)
        heads += [new, sym.elemwise_add(0.99 * e, 0.01 * new, out=e)]
    args = {**numbered(arrays, "wge"), "t": 0.0, "lr": 1e-3}
    return Graph(sym.Group(heads), args, numbered(arrays, "mv"), ("lr",))


def lamb() -> Graph:
    sizes = [(300, 70), (9,), (20000,)]
    arrays = tensors(sizes, "float32")
    count = sym.var("t", shape=())
    t = sym._plus_scalar(count, scalar=1, out=count)
    heads = [t]
    for k in range(len(sizes)):
        w, g, m, v = (sym.var(f"{n}{k}") for n in "wgmv")
        heads.append(sym.lamb_update(w, g, m, v, lr=0.01, wd=0.1, t=t, out=w))
    return Graph(sym.Group(heads), {**numbered(arrays, "wg"), "t": 0.0}, numbered(arrays, "mv"))


def table(
    rows: int, cols: int, listed: Any, lazy: bool, dtype: str = "float32", op: str = "adam_update"
) -> Graph:
    """An update of a table by a row_sparse gradient with these rows."""
    rng = np.random.default_rng(1)
    indices = np.array(listed, np.int64)
    (one,) = tensors([(rows, cols)], dtype, "wmv")
    grad = RowSparseArray(random_array(rng, (len(indices), cols), dtype), indices, (rows, cols))
    w = sym.var("w")
    states = {n: one[n] for n in "mv"}
    if op == "group_adagrad_update":
        states = {"h": np.abs(random_array(rng, (rows, 1), dtype))}
    symbol = getattr(sym, op)(
        w, sym.var("g"), *map(sym.var, states), lr=0.1, clip_gradient=0.9, lazy_update=lazy, out=w
    )
    return Graph(symbol, {"w": one["w"], "g": grad}, states)


def mixed_precision(dtype: str) -> Graph:
    (one,) = tensors([(130, 33)], "float32")
    w = sym.var("w")
    symbol = sym.mp_adam_update(w, *map(sym.var, "gmv"), sym.var("w32"), lr=0.01, wd=0.1, out=w)
    half = to_numpy(dtype)
    args = {"w": one["w"].astype(half), "g": one["g"].astype(half)}
    return Graph(symbol, args, {"m": one["m"], "v": one["v"], "w32": one["w"]})


def compensated() -> Graph:
    """bfloat16 weights rounded at random, and what rounding loses kept."""
    (one,) = tensors([(130, 33)], "bfloat16", "wgmvc")
    one["c"] *= one["c"].dtype.type(0.01)
    w = sym.var("w")
    symbol = sym.adam_update(
        w, *map(sym.var, "gmvc"), lr=0.01, kahan=True, rounding="stochastic", seed=3, out=w
    )
    return Graph(symbol, {n: one[n] for n in "wg"}, {n: one[n] for n in "mvc"})


def several_rates() -> Graph:
    """preloaded_multi_mp_: the rates of three tensors are in an array on the device."""
    arrays = tensors([(5, 3), (70,), (130, 7)], "float32", "wgm")
    for one in arrays:
        one["x"] = one["w"]
        one["w"], one["g"] = (one[n].astype(to_numpy("float16")) for n in "wg")
    variables = [sym.var(f"{n}{k}") for k in range(3) for n in "wgmx"]
    symbol = sym.preloaded_multi_mp_sgd_mom_update(
        *variables, sym.var("lrs"), sym.var("wds"), momentum=0.9, out=variables[::4]
    )
    numbers = {"lrs": np.array([0.1, 0.2, 0.3], np.float32), "wds": np.array([0, 0.1, 0.2], np.float32)}
    return Graph(symbol, numbered(arrays, "wg") | numbers, numbered(arrays, "mx"))


def exchanged() -> Graph:
    """Two variables take each other's values: one goes through a buffer and a copy."""
    (one,) = tensors([(41, 13)], "float32", "ab")
    a, b = sym.var("a"), sym.var("b")
    symbol = sym.Group([sym.elemwise_add(b, 0 * a, out=a), sym.elemwise_add(a, 0 * b, out=b)])
    return Graph(symbol, one, {})


def complex_weights() -> Graph:
    (one,) = tensors([(41, 13)], "complex64", "wgm")
    one["v"] = np.abs(one["m"])
    w = sym.var("w")
    symbol = sym.adam_update(w, *map(sym.var, "gmv"), lr=0.01, out=w)
    return Graph(symbol, {n: one[n] for n in "wg"}, {n: one[n] for n in "mv"})


def fresh_outputs() -> Graph:
    """Outputs without a place of their own, which the executor allocates."""
    (one,) = tensors([(41, 9001)], "float32", "ab")
    a, b = sym.var("a"), sym.var("b")
    heads = [a * b + 1, sym.mean(a, axis=1, keepdims=True), sym.norm(b), sym.clip(a, a_min=-0.5, a_max=0.5)]
    return Graph(sym.Group(heads), one, {})


GRAPHS: dict[str, Callable[[], Graph]] = {
    "adam list": lambda: adam_list([(5, 3), 7, 0, 9001]),
    "float16 list": lambda: adam_list([(5, 3), 7, 0, 9001], "float16"),
    "states in bfloat16": lambda: Graph(*_narrow_states()),
    "clip, count and average": clipped_average,
    "lamb": lamb,
    "mp, float16": lambda: mixed_precision("float16"),
    "mp, bfloat16": lambda: mixed_precision("bfloat16"),
    "kahan, rounded at random": compensated,
    "rates in an array": several_rates,
    "exchange": exchanged,
    "complex": complex_weights,
    "fresh outputs": fresh_outputs,
    "lazy table, repeated rows": lambda: table(50, 33, [3, 49, 3, 0, 49, 3], True),
    "whole table, repeated rows": lambda: table(50, 33, [3, 49, 3, 0, 49, 3], False),
}  # fmt: skip


def _narrow_states() -> tuple[Any, ...]:
    graph = adam_list([(37, 5)], "float32", state_dtype="bfloat16")
    return graph.symbol, graph.args, {n: x.astype(to_numpy("bfloat16")) for n, x in graph.states.items()}

"""networkx as the judge of the scheduler; and step semantics where updates read what others write."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_random import choice, random_graph

from symopt import sym
from symopt.expr import children, toposort
from symopt.infer import infer
from symopt.passes.ir import Lowered, Region, Value
from symopt.passes.lower import lower
from symopt.passes.partition import partition
from symopt.passes.schedule import Schedule, schedule
from symopt.sparse import RowSparseArray


def planned(symbol: Any) -> tuple[Lowered, list[Region], Schedule]:
    special: dict[str, tuple[int, ...]] = {"s": (), "r": (6, 1)}
    names = [*symbol.list_arguments(), *symbol.list_auxiliary_states()]
    shapes = {n: special.get(n, (6, 70)) for n in names}
    types = infer(symbol._outputs, shapes, {n: "float32" for n in shapes if n != "s"})
    lowered = lower(symbol._outputs, types)
    regions = partition(lowered)
    return lowered, regions, schedule(lowered, regions)


def whole(value: Value) -> Value:
    return value.base[0] if value.base else value


def oracle(lowered: Lowered, regions: list[Region], in_place: dict[int, str]) -> nx.DiGraph:
    """Edges from who makes a value to who reads it, and from who reads a variable to who overwrites it in place."""
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(range(len(regions)))
    makers: dict[int, set[int]] = {}
    for r, region in enumerate(regions):
        for call in region.calls:
            for value in call.outputs:
                makers.setdefault(id(whole(value)), set()).add(r)
    writers = {name: makers[key] for key, name in in_place.items()}
    for r, region in enumerate(regions):
        for value in (v for call in region.calls for v in call.inputs):
            for maker in makers.get(id(value), set()) - {r}:
                graph.add_edge(maker, r)
            for writer in writers.get(value.variable or "", set()) - {r}:
                graph.add_edge(r, writer)
    return graph


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(choice, min_size=1, max_size=16))
def test_levels_respect_every_edge(recipe: list[tuple[str, int, int, bool]]) -> None:
    symbol, _ = random_graph(recipe)
    lowered, regions, plan = planned(symbol)
    graph = oracle(lowered, regions, plan.in_place)
    assert nx.is_directed_acyclic_graph(graph)
    level = {id(region): k for k, regions_ in enumerate(plan.levels) for region in regions_}
    for before, after in graph.edges:
        assert level[id(regions[before])] < level[id(regions[after])]
    assert sorted(id(c) for r in regions for c in r.calls) == sorted(id(c) for c in lowered.calls)
    # No region waits longer than the longest path before it.
    for k, generation in enumerate(nx.topological_generations(graph)):
        assert all(level[id(regions[r])] == k for r in generation)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(choice, min_size=1, max_size=16))
def test_toposort_is_an_order_of_the_graph(recipe: list[tuple[str, int, int, bool]]) -> None:
    symbol, _ = random_graph(recipe)
    order = toposort(symbol._outputs, children)
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(map(id, order))
    graph.add_edges_from((id(x), id(node)) for node in order for x in children(node))
    place = {id(node): k for k, node in enumerate(order)}
    assert len(place) == len(order) == graph.number_of_nodes() and nx.is_directed_acyclic_graph(graph)
    assert all(place[a] < place[b] for a, b in graph.edges)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_updates_that_read_each_other_mean_the_old_values(engine: str) -> None:
    """By rows and by element, so that the two cannot be one kernel: a cycle of reads before writes."""
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 20.0], [30.0, 40.0]])
    a, b = sym.var("a"), sym.var("b")
    step = sym.Group([
        sym.broadcast_mul(a, sym.sum(b), out=a),
        sym.broadcast_mul(b, sym.sum(a), out=b),
    ])  # fmt: skip
    expected = x * y.sum(), y * x.sum()
    step.bind(args={"a": x, "b": y}, engine=engine).forward()
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(y, expected[1])


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_rotation(engine: str) -> None:
    """a <- b, b <- c, c <- a, each through a lazy update that cannot fuse with the others."""
    arrays = {n: np.full((4, 3), float(k)) for k, n in enumerate("abc")}
    variables, g = [sym.var(n) for n in "abc"], sym.var("g")
    heads = []
    for k, v in enumerate(variables):
        source = variables[(k + 1) % 3]
        heads.append(sym.sgd_update(sym.identity(source), g, lr=1.0, out=v, name=f"n{k}"))
    grad = RowSparseArray(np.ones((1, 3)), np.array([2]), (4, 3))
    sym.Group(heads).bind(args={**arrays, "g": grad}, engine=engine).forward()
    for k, n in enumerate("abc"):
        expected = np.full((4, 3), float((k + 1) % 3))
        expected[2] -= 1
        np.testing.assert_array_equal(arrays[n], expected)

"""networkx as the judge of levels: every edge respected, and no region later than it must be."""

from typing import Any

import networkx as nx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_random import choice, random_graph

from symopt.expr import children, toposort
from symopt.infer import infer
from symopt.passes.ir import Lowered, Region, Value
from symopt.passes.lower import lower
from symopt.passes.partition import partition
from symopt.passes.schedule import Schedule, schedule


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

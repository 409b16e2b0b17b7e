"""When kernels run: networkx as the judge of order, and old values for everyone who reads what a step overwrites."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from random_graphs import Drawing
from test_random_graphs import run

import symopt as so
from symopt import Symbol, sym
from symopt.expr import children, toposort
from symopt.infer import infer
from symopt.passes.ir import Lowered, Region, Value
from symopt.passes.lower import lower
from symopt.passes.partition import partition
from symopt.passes.schedule import Schedule, schedule

A = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
B = np.array([[0.5, 0.25, -1.0], [2.0, -3.0, 8.0]])


def draw(seed: int, most: int = 25) -> tuple[Drawing, Symbol]:
    rng = np.random.default_rng(seed)
    drawing = Drawing(lambda found: found[int(rng.integers(len(found)))], (5, 7), "float64", rng)
    for _ in range(int(rng.integers(2, most))):
        drawing.step()
    return drawing, drawing.symbol()


def lowered(drawing: Drawing, symbol: Symbol) -> Lowered:
    bound = drawing.bound
    order = toposort(symbol._outputs, children)
    types = infer(
        symbol._outputs,
        {n: np.shape(x) if not hasattr(x, "shape") else x.shape for n, x in bound.items()},
        dict.fromkeys(bound, "float64"),
        {n: getattr(x, "stype", "default") for n, x in bound.items()},
        order=order,
    )
    return lower(symbol._outputs, types)


def parts(value: Value) -> tuple[Value, ...]:
    return value.parts or (value,)


def reads(region: Region) -> list[Value]:
    return [v for call in region.calls for whole in call.inputs for v in parts(whole)]


def flow(regions: list[Region]) -> nx.DiGraph[int]:
    """An edge from each region to those that read what it makes."""
    made = {id(v): r for r, region in enumerate(regions) for c in region.calls for v in c.outputs}
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(regions)))
    for r, region in enumerate(regions):
        graph.add_edges_from((made[id(v)], r) for v in reads(region) if made.get(id(v), r) != r)
    return graph


def hazards(regions: list[Region], plan: Schedule) -> set[tuple[int, int]]:
    """(reader, writer): a region that reads a variable, and the one that computes in the variable's array."""
    made = {id(v): r for r, region in enumerate(regions) for c in region.calls for v in c.outputs}
    writers = {name: made[key] for key, name in plan.in_place.items()}
    found = {
        (r, writers[v.variable])
        for r, region in enumerate(regions)
        for v in reads(region)
        if v.variable in writers
    }
    return {(reader, writer) for reader, writer in found if reader != writer}


@pytest.mark.parametrize("seed", range(150))
def test_levels_respect_data_flow_and_reads_before_writes(seed: int) -> None:
    step = lowered(*draw(seed))
    regions = partition(step)
    plan = schedule(step, regions)
    graph = flow(regions)
    assert nx.is_directed_acyclic_graph(graph)
    level = {id(region): k for k, found in enumerate(plan.levels) for region in found}
    edges = {*graph.edges, *hazards(regions, plan)}
    assert all(level[id(regions[a])] < level[id(regions[b])] for a, b in edges)
    graph.add_edges_from(edges)
    depth = {r: k for k, found in enumerate(nx.topological_generations(graph)) for r in found}
    own = {level[id(region)] for region in regions}
    assert plan.deferred or len(own) == max(depth.values(), default=-1) + 1, "more levels than it takes"


@pytest.mark.parametrize("seed", range(150))
def test_regions_hold_every_call_once_and_in_an_order_that_can_run(seed: int) -> None:
    step = lowered(*draw(seed))
    regions = partition(step)
    calls = [call for region in regions for call in region.calls]
    assert len({id(c) for c in calls}) == len(calls) == len(step.calls)
    made: set[int] = {id(v) for v in step.variables.values()}
    for call in calls:
        assert all(id(v) in made for whole in call.inputs for v in parts(whole)), call.node
        made.update(id(v) for v in call.outputs)


@pytest.mark.parametrize("seed", range(60))
def test_every_written_variable_is_written_once_in_place_or_at_the_end(seed: int) -> None:
    step = lowered(*draw(seed))
    plan = schedule(step, partition(step))
    in_place = list(plan.in_place.values())
    late = [name for _, name in plan.deferred]
    arrays = [name for name, value in step.writes.items() if not value.host]
    assert sorted([*in_place, *late]) == sorted(arrays)


def bind(symbol: Symbol, engine: str, **arrays: Any) -> tuple[Any, dict[str, Any]]:
    bound = {n: x.copy() if isinstance(x, np.ndarray) else x for n, x in arrays.items()}
    return symbol.bind(args=bound, aux_states=bound, engine=engine), bound


engines = pytest.mark.parametrize("engine", ["reference", "native"])


@engines
def test_swapped_variables(engine: str) -> None:
    a, b = sym.var("a"), sym.var("b")
    executor, bound = bind(sym.Group([sym.identity(b, out=a), sym.identity(a, out=b)]), engine, a=A, b=B)
    executor.forward()
    assert np.array_equal(bound["a"], B) and np.array_equal(bound["b"], A)


@engines
def test_a_ring_of_variables_moves_on_by_one(engine: str) -> None:
    names = "abcde"
    v = [sym.var(n) for n in names]
    ring = sym.Group([sym.identity(v[k - 1] * 2, out=v[k]) for k in range(5)])
    executor, bound = bind(ring, engine, **{n: A + k for k, n in enumerate(names)})
    executor.forward()
    assert all(np.array_equal(bound[n], (A + (k - 1) % 5) * 2) for k, n in enumerate(names))


@engines
def test_updates_that_read_each_others_weight(engine: str) -> None:
    a, b = sym.var("a"), sym.var("b")
    first = sym.sgd_update(a, b, lr=0.5, out=a)
    second = sym.sgd_update(b, a, lr=0.25, out=b)
    executor, bound = bind(sym.Group([first, second]), engine, a=A, b=B)
    executor.forward()
    assert np.array_equal(bound["a"], A - 0.5 * B) and np.array_equal(bound["b"], B - 0.25 * A)


@engines
@pytest.mark.parametrize("order", [1, -1], ids=["reader first", "reader last"])
def test_a_norm_of_an_updated_weight_is_the_old_ones(engine: str, order: int) -> None:
    w, g = sym.var("w"), sym.var("g")
    heads = [sym.sgd_update(w, g, lr=0.5, out=w), sym.norm(w), sym.sum(w * g, axis=1)]
    executor, bound = bind(sym.Group(heads[::order]), engine, w=A, g=B)
    _, norm, rows = executor.forward()[::order]
    np.testing.assert_allclose(norm, [np.linalg.norm(A)])
    np.testing.assert_allclose(rows, (A * B).sum(1))
    assert np.array_equal(bound["w"], A - 0.5 * B)


@engines
def test_a_lazy_update_into_another_variable_keeps_the_rows_of_the_weight(engine: str) -> None:
    w, other = sym.var("w"), sym.var("other")
    grad = so.sparse.row_sparse_array((B[:1], [1]), shape=A.shape)
    executor, bound = bind(sym.sgd_update(w, sym.var("g"), lr=1.0, out=other), engine, w=A, other=B, g=grad)
    executor.forward()
    assert np.array_equal(bound["w"], A)
    assert np.array_equal(bound["other"], [A[0], A[1] - B[0]])


@engines
def test_chained_updates_of_one_variable_store_the_last(engine: str) -> None:
    w, g, mom = sym.var("w"), sym.var("g"), sym.var("mom")
    first = sym.sgd_mom_update(w, g, mom, lr=0.5, momentum=0.5, out=w)
    second = sym.sgd_mom_update(first, g, first.state("mom"), lr=0.5, momentum=0.5, out=w)
    executor, bound = bind(sym.Group([second, w * 1]), engine, w=A, g=B, mom=A * 0)
    _, old = executor.forward()
    assert np.array_equal(old, A)
    assert np.array_equal(bound["mom"], -0.75 * B)
    assert np.array_equal(bound["w"], (A - 0.5 * B) - 0.75 * B)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_graphs_give_what_numpy_gives(seed: int) -> None:
    drawing, symbol = draw(seed)
    values: dict[Any, Any] = dict(drawing.bound)
    with np.errstate(all="ignore"):
        for _ in range(2):
            _, values = drawing.expected(dict(values))
    _, held = run(drawing, symbol, "reference")
    for name in drawing.writes:
        if name in held:
            np.testing.assert_allclose(held[name], values[name], rtol=1e-6, atol=1e-6, err_msg=name)

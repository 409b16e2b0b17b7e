"""What explain() says of two nodes is so in the program, and each reason is given where it is one."""

import copy
import itertools
import re
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from look_graphs import Graph, graph
from test_random_graphs import QUICK, draw_graph

import symopt as so
from symopt import sym
from symopt.errors import GraphError, MissingArgumentError, UnknownArgumentError
from symopt.expr import PICK
from symopt.passes.ir import LIBRARY, LISTED, REDUCE, Call, Program
from symopt.passes.reasons import MAX_CALLS, Apart, Kept
from symopt.view.explain import explain
from symopt.view.why import Answer, Why, node_named

FOLDER = Path(__file__).parent / "golden"


def homes(program: Program) -> dict[int, set[tuple[int, int]]]:
    """By node: the launches and instances that compute something of it."""
    found: dict[int, set[tuple[int, int]]] = {}
    for k, launch in enumerate(program.launches):
        for i, instance in enumerate(launch.instances):
            for call in instance.region.calls:
                found.setdefault(id(call.node), set()).add((k, i))
    return found


def flow(program: Program) -> Any:
    """networkx as the judge of who reads what: an edge from each call to those that read its values."""
    makers = {id(v): call for call in program.lowered.calls for v in call.outputs}
    found: Any = nx.DiGraph()
    for call in program.lowered.calls:
        found.add_node(id(call))
        for v in (v for value in call.inputs for v in value.sources):
            if id(v) in makers:
                found.add_edge(id(makers[id(v)]), id(call))
    return found


def check(answer: Answer, ours: list[Call], theirs: list[Call], reach: dict[int, set[int]]) -> None:
    """That a reason for two nodes to be apart is true of their calls."""
    reads = any(id(y) in reach[id(x)] or id(x) in reach[id(y)] for x in ours for y in theirs)
    modes = {call.body.mode for call in (*ours, *theirs)}
    match answer.reason:
        case Apart.SHAPES:
            assert any(x.domain != y.domain for x in ours for y in theirs)
        case Apart.LISTED:
            assert LISTED in modes
        case Apart.LIBRARY:
            assert LIBRARY in modes
        case Apart.REDUCTION:
            assert answer.culprit is not None and answer.culprit.body.mode == REDUCE
        case Apart.THROUGH:
            assert reads and answer.cuts
        case Apart.UNRELATED:
            assert not reads
        case _:
            assert answer.reason is not None


@settings(QUICK, max_examples=60)
@given(data=st.data())
def test_every_pair_of_nodes_has_an_answer_that_holds(data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, "float32", 20)
    bound = copy.deepcopy(drawing.bound)
    planned = symbol.bind(args=bound, aux_states=bound, engine="reference")._planned()
    program = planned.needed()
    why, where, graph_ = Why(program), homes(program), flow(program)
    reach = {call: nx.descendants(graph_, call) for call in graph_}
    lowered = {id(call) for call in program.lowered.calls}
    nodes = [n for n in planned.types.order if n.op != PICK and id(n) in where]
    for a, b in itertools.combinations(nodes, 2):
        answer = why.answer(a, b)
        assert bool(answer.together) == bool(where[id(a)] & where[id(b)])
        if not answer.together:
            ours, theirs = ([c for c in why.calls_of(n) if id(c) in lowered] for n in (a, b))
            check(answer, ours, theirs, reach)
        if a.name and b.name and not (a.is_variable or b.is_variable):
            said = explain(planned, a.name, b.name).splitlines()[0]
            assert ("run in one kernel" in said) == bool(answer.together)


# ---- each reason


def chain(n: int) -> so.Symbol:
    x = sym.var("x")
    for k in range(n):
        x = sym.square(x, name=f"n{k}")
    return x


def ask(symbol: so.Symbol, a: str, b: str, /, **shapes: Any) -> Answer:
    planned = symbol._planned(shapes, None, None, None)
    return Why(planned.needed()).answer(node_named(planned, a), node_named(planned, b))


def x(name: str = "x", **attrs: Any) -> so.Symbol:
    return sym.var(name, **attrs)


def sparse_twice() -> so.Symbol:
    g = x("g", stype="row_sparse")
    first = sym.sgd_update(x("w"), g, lr=0.1, lazy_update=False, name="first")
    return sym.sgd_update(first, x("h", stype="row_sparse"), lr=0.1, lazy_update=False, name="second")


def sparse_then_sum() -> so.Symbol:
    g = x("g", stype="row_sparse")
    return sym.sum(sym.sgd_update(x("w"), g, lr=0.1, lazy_update=False, name="first"), name="second")


def in_between() -> so.Symbol:
    """n4 reads c, which n3 overwrites, and what n2 reads too."""
    c, d, y = x("c"), x("d"), x("y", stype="row_sparse")
    first = sym.broadcast_maximum(y, x("a"), out=d, name="first")
    n2 = sym.sgd_update(first, y, lr=0.1, out=d, name="n2")
    second = sym.sign(n2, out=c, name="second")
    return sym.Group([first, second, sym.broadcast_mul(c, first, name="n4", out=x("a")), n2])


def made_later() -> so.Symbol:
    """Both write one variable, but the second reads a gradient that is spread out after the first's kernel."""
    first = sym.broadcast_add(x("a"), x("z", stype="row_sparse"), out=x("b"), name="first")
    return sym.Group(
        [first, sym.broadcast_maximum(x("x", stype="row_sparse"), x("s"), out=x("a"), name="second")]
    )


def vector() -> so.Symbol:
    squares = sym.multi_sum_sq(x("a"), x("b"), name="first")
    return sym.square(squares, name="second")


SHAPE = (40, 8)
REASONS: dict[Apart, tuple[so.Symbol, dict[str, Any]]] = {
    Apart.SHAPES: (sym.broadcast_add(sym.square(x(), name="first"), x("y"), name="second"), {"x": (8, 1), "y": (8, 8)}),
    Apart.LISTED: (
        sym.square(
            sym.sgd_update(x("w"), x("g", stype="row_sparse"), lr=0.1, out=x("w"), name="first"), name="second"
        ),
        {"w": SHAPE},
    ),
    Apart.STARTS: (sparse_twice(), {"w": SHAPE}),
    Apart.SPARSE_SUM: (sparse_then_sum(), {"w": SHAPE}),
    Apart.BLOCKS: (
        sym.sum(sym.broadcast_sub(x(), sym.mean(x(), axis=1, keepdims=True), name="first"), name="second"),
        {"x": SHAPE},
    ),
    Apart.REDUCTION: (sym.sqrt(sym.sum(x(), name="first"), name="second"), {"x": SHAPE}),
    Apart.PARTS: (vector(), {"a": SHAPE, "b": SHAPE}),
    Apart.NUMBER: (sym.broadcast_maximum(sym.mean(x(), name="first"), x("t"), name="second"), {"x": SHAPE, "t": ()}),
    Apart.LATER: (made_later(), {"a": SHAPE, "x": SHAPE, "s": (1,)}),
    Apart.BETWEEN: (in_between(), {"a": SHAPE}),
    Apart.THROUGH: (
        sym.broadcast_mul(x("y"), sym.sqrt(sym.sum(x(), name="first")), name="second"),
        {"x": SHAPE, "y": SHAPE},
    ),
    Apart.UNRELATED: (
        sym.Group([sym.square(x("a"), name="first"), sym.square(x("b"), name="second")]),
        {"a": SHAPE, "b": SHAPE},
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS, ids=lambda r: r.name)
def test_reason(reason: Apart) -> None:
    symbol, shapes = REASONS[reason]
    answer = ask(symbol, "first", "second", **shapes)
    assert not answer.together and answer.reason is reason


def test_a_kernel_has_so_many_calls_and_no_more() -> None:
    assert ask(chain(MAX_CALLS), "n0", f"n{MAX_CALLS - 1}", x=SHAPE).together
    answer = ask(chain(MAX_CALLS + 1), f"n{MAX_CALLS - 1}", f"n{MAX_CALLS}", x=SHAPE)
    assert not answer.together and answer.reason is Apart.FULL


def test_a_call_of_a_library_is_alone() -> None:
    said = graph("muon").symbol.explain("muon", **graph("muon").shapes)
    assert Apart.LIBRARY.value in said and "in launch" in said


def test_every_reason_to_be_apart_is_tried() -> None:
    assert set(Apart) == {*REASONS, Apart.FULL, Apart.LIBRARY}


def copied_because(symbol: so.Symbol, /, **shapes: Any) -> dict[str, Kept]:
    planned = symbol._planned(shapes, None, None, None)
    why = Why(planned.needed())
    found = {copied.variable: copied.reason for copied in why.copied}
    assert {name for _, name in planned.needed().copies} <= found.keys()
    return found


def test_why_a_new_value_is_copied_at_the_end() -> None:
    s = x("s")
    total = sym.sum(sym.broadcast_maximum(s, x("b")), out=s)
    assert copied_because(total, s=(1,), b=SHAPE) == {"s": Kept.NEIGHBOURS}
    other = sym.adam_update(x("w"), x("g", stype="row_sparse"), lr=0.1, out=x("c"))
    assert copied_because(other, w=SHAPE, c=SHAPE) == {"c": Kept.ROWS}
    parts = sym.multi_sum_sq(x("a"), x("b"), out=x("c"))
    assert copied_because(parts, a=SHAPE, b=SHAPE, c=(2,)) == {"c": Kept.ELSEWHERE}
    swap = graph("exchanged")
    assert copied_because(swap.symbol, **swap.shapes) == {"a": Kept.READERS}
    said = swap.symbol.explain(**swap.shapes)
    assert f"computed in a buffer and copied at the end: a: {Kept.READERS.value}: second" in said


# ---- what is said


def test_two_nodes_in_words() -> None:
    step = graph("whole_step")
    executor = step.symbol.simple_bind(**step.shapes, t=())
    fused = executor.explain("fc0", "average0")
    assert fused.splitlines()[0] == "fc0 and average0 run in one kernel, one pass over memory: launch 3"
    apart = executor.explain("total", "norm")
    assert Apart.REDUCTION.value in apart and "in question: total [sum over (4,)]" in apart
    assert "launch 3 runs its kernel on both in one call" in executor.explain("fc0", "fc1")
    assert executor.explain("step", "fc0").startswith("step is a number of the host")
    assert "is a variable" in executor.explain("fc0", "g0")
    assert executor.explain("fc0", "fc0").startswith("fc0 is one node")
    assert "in one kernel with: " in executor.explain("fc0")


def test_names_that_are_wrong() -> None:
    twice = sym.square(sym.square(x(), name="same"), name="same").simple_bind(x=SHAPE)
    with pytest.raises(UnknownArgumentError, match="did you mean same"):
        twice.explain("some")
    with pytest.raises(GraphError, match="2 nodes are called 'same'"):
        twice.explain("same")
    with pytest.raises(MissingArgumentError, match="one or two names"):
        twice.explain("x", "x", "x")
    with pytest.raises(MissingArgumentError, match="give more"):
        sym.square(x()).explain()


def test_a_large_graph_is_explained_in_few_lines() -> None:
    large = graph("many")
    said = large.symbol.explain(**large.shapes)
    assert len(said.splitlines()) < 40 and "500 calls" in said and "500 regions" in said


EXPLAINED = ("one", "lazy", "standard", "whole_step", "mixed", "lamb", "by_rows", "exchanged", "hostile")


@pytest.mark.parametrize("name", EXPLAINED)
def test_explained_text(name: str, request: pytest.FixtureRequest) -> None:
    made: Graph = graph(name)
    text = re.sub(r"(\.py):\d+", r"\1", explain(made.planned())) + "\n"
    path = FOLDER / f"explain_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()

"""Graphs as they are shown at three levels: what is there, what it is linked to, and how much of it."""

import copy
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_graphs import draw_graph

import symopt as so
from symopt import sym
from symopt.planned import Planned, plan_graph
from symopt.prims import CAST, PAIR, PRIMS, REDUCTIONS
from symopt.view.levels import view_of, views_of
from symopt.view.model import LEVELS, Item, View


def adam(name: str = "fc1", **attrs: object) -> so.Symbol:
    w, g = sym.var(f"{name}_w"), sym.var(f"{name}_g")
    return sym.adam_update(w, g, lr=attrs.pop("lr", 0.1), out=w, name=name, **attrs)


def planned(symbol: so.Symbol, stypes: dict[str, str] | None = None, **shapes: Any) -> Planned:
    return plan_graph(symbol._outputs, shapes, None, stypes)


def check(view: View) -> None:
    """What holds of every view."""
    assert all(0 <= link.source < link.target < len(view.items) for link in view.links)
    assert all(k < len(view.kernels) for item in view.items for k in item.kernels)
    ports = Counter((link.target, link.port) for link in view.links)
    if view.level != "program":
        assert not ports or max(ports.values()) == 1
    for number, item in enumerate(view.items):
        if item.op in PRIMS and item.kind == "primitive":
            assert ports.keys() >= {(number, port) for port in range(PRIMS[item.op].arity)}
        if item.kind == "primitive" and item.op in (*REDUCTIONS, CAST):
            assert (number, 0) in ports
        if item.kind == "primitive" and item.op == PAIR:
            assert {(number, 0), (number, 1)} <= ports.keys()


def named(view: View, kind: str) -> list[str]:
    return [item.name for item in view.items if item.kind == kind]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_views_of_random_graphs_lead_forward_and_hold_what_is_bound(data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, "float32")
    executor = symbol.bind(args=copy.deepcopy(drawing.bound), aux_states=copy.deepcopy(drawing.bound))
    found = executor._planned()
    for level in LEVELS:
        for each in (False, True):
            check(view_of(found, level, each))
    bound = {**executor.arg_dict, **executor.aux_dict}
    for level in ("symbol", "program"):
        items = {i.name: i for i in view_of(found, level, each=True).items if i.kind in ("variable", "state")}
        for name, item in items.items():
            array = bound[name]
            size = array.data.nbytes + array.indices.nbytes if hasattr(array, "indices") else array.nbytes
            assert (item.shape, item.bytes) == (array.shape, size)


def test_the_symbol_level_is_what_the_user_wrote() -> None:
    with so.NameManager():  # which counts from 0
        update = adam(lr=sym.var("lr", shape=()) * 0.5, wd=0.01)
    view = view_of(planned(update, fc1_w=(3, 4)))
    assert named(view, "variable") == ["fc1_w", "fc1_g"] and named(view, "state") == ["fc1_mean", "fc1_var"]
    assert named(view, "number") == ["lr"] and named(view, "op") == ["_mulscalar0", "fc1"]
    node = view.items[-1]
    assert dict(node.attrs) == {"wd": "0.01", "lr": "_mulscalar0", "out": "fc1_w"}
    assert node.kernels == (0,) and node.bytes == 48 and node.formula
    assert node.where is not None and node.where.file == __file__
    assert {(link.source, link.port) for link in view.links if link.target == len(view.items) - 1} == {
        (0, 0), (1, 1), (2, 2), (3, 3), (5, 4)
    }  # fmt: skip


def test_without_shapes_there_is_the_symbol_level_only() -> None:
    found = planned(adam())
    assert [view.level for view in views_of(found)] == ["symbol"]
    assert all(item.shape is None and item.bytes is None for item in views_of(found)[0].items)
    with pytest.raises(ValueError, match="fc1_w, fc1_g, fc1_mean, fc1_var do not follow"):
        view_of(found, "program")
    with pytest.raises(ValueError, match="symbol, primitive, program"):
        view_of(found, "programme")  # type: ignore[arg-type]


def test_primitives_belong_to_nodes_and_kernels() -> None:
    view = view_of(planned(adam(clip_gradient=1.0), fc1_w=(3, 4)), "primitive")
    made = [item for item in view.items if item.kind == "primitive"]
    assert {item.group for item in made} == {"fc1"} and {item.kernels for item in made} == {(0,)}
    assert Counter(item.op for item in made)["sqrt"] == 1
    stored = {item.attrs["stored"]: item.op for item in made if "stored" in item.attrs}
    assert stored == {"fc1_mean": "add", "fc1_var": "add", "fc1_w": "sub"}
    assert all(item.where is not None for item in made if item.op == "sqrt")
    assert any(item.name == "beta1" and item.attrs == {"value": "0.9"} for item in view.items)


def test_what_is_alike_is_one_item_with_a_count() -> None:
    group = sym.Group([adam(f"u{k}") for k in range(50)])
    found = planned(group, None, **{f"u{k}_w": (k + 1, 4) for k in range(50)})
    for level in ("primitive", "program"):
        folded, full = view_of(found, level), view_of(found, level, each=True)
        check(folded)
        check(full)
        assert {i.count for i in folded.items if i.kind in ("variable", "state", "array", "kernel")} == {50}
        numbers = sum(1 for i in full.items if i.kind == "kernel")
        assert len(full.items) - numbers == 50 * (len(folded.items) - numbers)
    assert view_of(found).title == "u0_output, u1_output, u2_output and 47 more"


def test_a_variable_that_two_launches_read_is_one_item() -> None:
    w = sym.var("w")
    norm = sym.sqrt(sym.sum(sym.square(w)))
    view = view_of(planned(w / norm, w=(300, 300)), "program")
    (number,) = (n for n, item in enumerate(view.items) if item.name == "w")
    readers = [view.items[link.target].name for link in view.links if link.source == number]
    assert len(readers) == 2 and all(view.items[n].kind != "state" for n in range(len(view.items)))


def test_a_lazy_update_that_is_not_in_place_writes_into_a_copy() -> None:
    update = sym.adam_update(sym.var("w"), sym.var("g"), lr=0.1, name="t", lazy_update=True)
    found = planned(update, {"g": "row_sparse"}, w=(100, 4))
    view = view_of(found, "program")
    check(view)
    assert [item.name for item in view.items if item.kind == "kernel"] == ["copy", "adam_update"]
    assert [item.name for item in view.items if item.attrs.get("kept in") == "buffer 0"] == ["t", "t"]
    assert next(i for i in view.items if i.name == "g").bytes == 100 * (16 + 8)


def test_library_calls_and_tall_matrices_have_shapes() -> None:
    for shape in ((8, 4), (4, 8), (3, 8, 4)):
        update = sym.torch_muon_update(sym.var("w"), sym.var("g"), lr=0.1)
        for level in LEVELS:
            view = view_of(planned(update, w=shape), level)
            check(view)
            assert all(item.shape is not None for item in view.items if item.kind == "primitive")


def test_two_kernels_have_their_code() -> None:
    w, g = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    executor = sym.lamb_update_phase1(sym.var("w"), sym.var("g"), t=1, wd=0.0).bind(
        args={"w": w, "g": g}, aux_states=[np.zeros_like(w), np.zeros_like(w)]
    )
    for kernel in view_of(executor._planned()).kernels:
        assert list(kernel.code) == ["text", "llvm", "cuda"] and kernel.formula and kernel.bytes
        assert "define" in kernel.code["llvm"] and "__global__" in kernel.code["cuda"]
        assert kernel.code.get("asm") is None


def test_networkx_at_every_level() -> None:
    found = adam().simple_bind(fc1_w=(3, 4))
    for level in LEVELS:
        view, graph = view_of(found._planned(), level, each=True), found.to_networkx(level)
        assert graph.number_of_nodes() == len(view.items) and graph.number_of_edges() == len(view.links)
        assert [graph.nodes[n]["name"] for n in graph] == [item.name for item in view.items]
    assert adam().to_networkx(fc1_w=(3, 4)).nodes[4]["shape"] == (3, 4)


def test_items_are_plain_data() -> None:
    assert Item("op", "f", "a") == Item("op", "f", "a")

"""What differs between two graphs: nodes are found again by name, by what they compute, by what reads them."""

from collections.abc import Callable
from typing import Any

import pytest
from cli_files import adam, clipped, many, muon, rows

import symopt as so
from symopt import sym
from symopt.serial import load_json
from symopt.view.diff import Change, GraphDifference, graph_difference

Names = tuple[str, ...]


def diff(first: so.Symbol, second: so.Symbol) -> GraphDifference:
    return graph_difference(first._outputs, second._outputs)


def layers(*names: str, op: str = "adam_update", named: bool = True, **attrs: Any) -> so.Symbol:
    """A layer for each name; nodes with names of their own, or made up anew."""
    with so.NameManager():
        heads = []
        for name in names:
            w, g, m, v = (sym.var(f"{name}_{x}") for x in "wgmv")
            label = name if named else None
            heads.append(getattr(sym, op)(w, g, m, v, out=w, name=label, **{"lr": 0.1, **attrs}))
        return sym.Group(heads)


def changes(found: GraphDifference) -> dict[tuple[str, str], tuple[Change, ...]]:
    return {(node.first, node.second): node.changes for node in found.changed}


@pytest.mark.parametrize("make", [adam, rows, clipped, muon, lambda: many(50), lambda: sym.var("alone")])
def test_a_graph_and_the_file_it_was_saved_to_are_the_same(make: Callable[[], so.Symbol]) -> None:
    with so.NameManager():
        first = make()
    found = diff(first, load_json(first.tojson()))
    assert found == GraphDifference(same=len(first.get_internals()) and found.same)
    assert found.is_same and str(found).startswith("the graphs are the same: ")


def test_attributes() -> None:
    found = diff(layers("a", "b"), layers("a", "b", lr=0.2))
    assert changes(found) == {(n, n): (Change("lr", "0.1", "0.2"),) for n in "ab"}
    assert found.formulas == () and found.outputs is None and found.same == 8


def test_a_default_that_is_given_is_no_difference() -> None:
    assert diff(layers("a"), layers("a", beta1=0.9, wd=0.0)).is_same


def test_attributes_of_the_user() -> None:
    first, second = adam(), adam()
    second._set_attr(mood="calm")
    assert changes(diff(first, second)) == {("fc1", "fc1"): (Change("mood", "", "calm"),)}


def test_flags_and_clips_change_formulas() -> None:
    (found,) = diff(layers("a", "b"), layers("a", "b", clip_gradient=1.0)).formulas
    assert found.nodes == ("a", "b")
    assert found.first == ("g = rescale_grad · grad + wd · weight",)
    assert found.second == ("g = clip(rescale_grad · grad, clip_gradient) + wd · weight",)
    assert diff(layers("a", clip_gradient=2.0), layers("a", clip_gradient=1.0)).formulas == ()


def test_another_op() -> None:
    found = diff(layers("a"), layers("a", op="keras_adam_update", step=1))
    assert changes(found)["a", "a"] == (
        Change("op", "adam_update", "keras_adam_update"),
        Change("epsilon", "1e-08", "1e-07"),
        Change("lazy_update", "True", "False"),
        Change("step", "", "1"),
    )
    assert found.formulas[0].nodes == ("a",)


@pytest.mark.parametrize("named", [True, False])
def test_a_layer_more_in_front(named: bool) -> None:
    """Made-up names shift by one: the layers are told by what they read."""
    found = diff(layers("a", "b", named=named), layers("new", "a", "b", named=named))
    assert len(found.added) == 5 and found.removed == ()
    assert found.added[-1].endswith("adam_update(new_w, new_g, new_m, new_v, lr=0.1, out=new_w)")
    if not named:
        assert [(n.first, n.second) for n in found.changed] == [
            ("adam_update0", "adam_update1"), ("adam_update1", "adam_update2"),
        ]  # fmt: skip
        assert all(c.what == "name" for n in found.changed for c in n.changes)
    assert found.outputs is not None and len(found.outputs[1]) == 3


@pytest.mark.parametrize("named", [True, False])
def test_a_layer_more_and_another_rate(named: bool) -> None:
    found = diff(layers("a", "b", named=named), layers("new", "a", "b", named=named, lr=0.2))
    assert len(found.added) == 5 and found.removed == ()
    assert [[c for c in n.changes if c.what != "name"] for n in found.changed] == [
        [Change("lr", "0.1", "0.2")]
    ] * 2


@pytest.mark.parametrize("named", [True, False])
def test_layers_in_another_order(named: bool) -> None:
    found = diff(layers("a", "b", named=named), layers("b", "a", named=named))
    assert found.added == found.removed == () and found.outputs is not None
    assert all(c.what == "name" for n in found.changed for c in n.changes)


def test_renamed_variables_are_told_by_what_reads_them() -> None:
    found = diff(layers("a", named=False), layers("b", named=False))
    assert found.added == found.removed == ()
    assert set(changes(found)) == {(f"a_{x}", f"b_{x}") for x in "wgmv"}


def test_a_renamed_node() -> None:
    with so.NameManager():
        first = sym.sqrt(sym.square(sym.var("x"), name="a"), name="b")
        second = sym.sqrt(sym.square(sym.var("x"), name="c"), name="b")
    assert changes(diff(first, second)) == {("a", "c"): (Change("name", "a", "c"),)}


def test_inputs() -> None:
    w, a, b = (sym.var(n) for n in "wab")
    first, second = sym.sgd_update(w, a, lr=0.1, name="u"), sym.sgd_update(w, b, lr=0.1, name="u", out=w)
    both = sym.Group([first, a, b]), sym.Group([second, a, b])
    assert changes(diff(*both)) == {("u", "u"): (Change("grad", "a", "b"), Change("out", "", "w"))}


def test_an_attribute_that_became_an_input() -> None:
    found = diff(adam(), adam(lr=sym.var("rate")))  # type: ignore[arg-type]
    (node,) = found.changed
    assert Change("lr", "0.1", "") in node.changes and Change("lr", "", "rate") in node.changes
    assert found.added == ("rate = var('rate')",)


def test_states_read_again() -> None:
    """The new value of a state is another one than the state."""
    with so.NameManager():
        w, g, m = (sym.var(n) for n in "wgm")
        u = sym.sgd_mom_update(w, g, m, lr=0.1, name="u")
        first = sym.Group([u, sym.square(u.state("mom"), name="x")])
        second = sym.Group([u, sym.square(m, name="x")])
    assert changes(diff(first, second)) == {("x", "x"): (Change("data", "u.state('mom')", "m"),)}


def test_nodes_of_one_name() -> None:
    """Where names do not tell, what is computed does."""
    x = sym.var("x")
    first = sym.Group([sym.sqrt(x, name="same"), sym.square(x, name="same")])
    second = sym.Group([sym.square(x, name="same"), sym.sqrt(x, name="same")])
    found = diff(first, second)
    assert found.changed == () and found.added == found.removed == () and found.outputs is not None


def test_everything_differs() -> None:
    found = diff(adam(), rows())
    assert (len(found.removed), len(found.added), found.same) == (5, 4, 0)


def test_swapping_swaps_what_is_found() -> None:
    pairs = [(adam(), rows()), (layers("a", "b"), layers("b", "c", lr=0.3)), (clipped(), adam())]
    for first, second in pairs:
        here, back = diff(first, second), diff(second, first)
        assert (here.added, here.removed) == (back.removed, back.added)
        assert here.is_same == back.is_same and here.same == back.same
        assert sorted((n.second, n.first) for n in here.changed) == sorted(
            (n.first, n.second) for n in back.changed
        )


def test_what_is_alike_is_told_once() -> None:
    with so.NameManager():
        first = many(500)
    with so.NameManager():
        second = many(499, 1)
    text = str(diff(first, second))
    assert len(text.splitlines()) < 20 and "and 495 more: called otherwise" in text


def test_a_chain_of_ten_thousand_nodes() -> None:
    def chain(start: str) -> so.Symbol:
        with so.NameManager():
            x = sym.var(start)
            for _ in range(10_000):
                x = x + 1.0
            return x

    assert diff(chain("x"), chain("x")).is_same
    assert changes(diff(chain("x"), chain("y"))) == {("x", "y"): (Change("name", "x", "y"),)}

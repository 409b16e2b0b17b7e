"""Trees, tables and summaries of graphs: golden texts, and what holds of every one of them."""

import copy
import io
import pickle
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from look_graphs import GRAPHS, HOSTILE, Graph, graph
from test_random_graphs import QUICK, draw_graph

import symopt as so
from symopt import sym
from symopt.expr import PICK
from symopt.listing import list_variables
from symopt.view.plain import columns, padded, safe, shape_text, shortened
from symopt.view.tables import NODE_COLUMNS, node_table
from symopt.view.text import Branch, Lines, Table, Text, Tree
from symopt.view.tree import DEEPEST, MOST_LINES, tree

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", GRAPHS)
def test_text_of_a_graph(name: str, request: pytest.FixtureRequest) -> None:
    made: Graph = graph(name)
    text = f"{made.symbol.tree()}\n\n{made.symbol.tree(full=len(name) < 8)}\n\n{node_table(made.planned())}\n"
    text = re.sub(r"(\.py):\d+", r"\1", text) if name != "many" else re.sub(r"\.py:\d+", ".py", text)
    path = FOLDER / f"text_{name}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


@QUICK
@given(data=st.data())
def test_every_node_is_in_the_tree_and_in_the_table(data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, "float32", 20)
    nodes = [n for n in list_variables(symbol._outputs).order if n.op != PICK]
    full = symbol.tree(full=True)
    defined = re.findall(r"(\S+) = \w+\(", full)
    assert sorted(defined) == sorted(n.name for n in nodes if not n.is_variable)  # each once
    for node in nodes:
        if node.is_variable:  # one that is only written is named where it is
            assert re.search(rf"(\W{node.name}  |out={node.name}\))", full)
    bound = copy.deepcopy(drawing.bound)
    executor = symbol.bind(args=bound, aux_states=bound, engine="reference")
    rows = executor.table(full=True).split("\n\n")[0].splitlines()[1:-1]
    assert [row.split()[0] for row in rows] == [n.name for n in nodes]
    assert len(executor.table().splitlines()) <= len(executor.table(full=True).splitlines())


def test_columns_of_a_table_line_up_whatever_the_names() -> None:
    names = ["plain", "重み", "e\u0301", "שלום", "a\tb", "\u202eabc", "𠀀", "x" * 200]
    table = Table(("name", "bytes"), [(safe(n), "1") for n in names] + [("goes across all columns, and on",)])
    lines = table.plain().splitlines()
    assert len({columns(line) for line in lines[:-1]}) == 1
    assert all(line.endswith("1") for line in lines[1:-1])


@given(st.text(), st.integers(3, 60))
def test_text_of_others_is_one_line_without_controls(text: str, widest: int) -> None:
    shown = safe(text, widest)
    inner = shown.strip("\u2068\u2069")
    assert columns(shown) <= widest and len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in inner)
    shown.encode()  # no lone surrogates
    if text.isascii() and text.isprintable() and len(text) <= widest:
        assert shown == text


@given(st.text(alphabet="ab重み\u0301é…𠀀"), st.integers(1, 20))
def test_shortened_text_keeps_its_ends(text: str, widest: int) -> None:
    short = shortened(text, widest)
    assert columns(short) <= widest
    cuts = [k for k, c in enumerate(short) if c == "…"]
    assert short == text or any(
        text.startswith(short[:k]) and text.endswith(short[k + 1 :]) and k + len(short[k + 1 :]) < len(text)
        for k in cuts
    )
    assert columns(padded(short, widest)) == widest


depths = st.lists(st.integers(0, 5), min_size=1, max_size=30).map(
    lambda found: [0, *(min(d, k + 1) for k, d in enumerate(found))]
)


@given(depths)
def test_guides_of_a_tree_lead_to_the_right_parent(found: list[int]) -> None:
    """Each line's guide is as deep as it, and a stem runs from each sibling to the next."""
    legal = [0]
    for depth in found[1:]:
        legal.append(min(depth, legal[-1] + 1))
    lines = Tree([Branch(depth, "x") for depth in legal]).plain().splitlines()
    assert [line.index("x") // 3 for line in lines] == legal
    for k, depth in enumerate(legal):
        later = next((d for d in legal[k + 1 :] if d <= depth), -1)
        if depth:
            assert lines[k][3 * depth - 3] == ("├" if later == depth else "└")


# ---- trees


def test_a_deep_graph_is_no_trouble() -> None:
    x = sym.var("x")
    for _ in range(5000):
        x = x + 1
    full = x.tree(full=True)
    assert full.count("_plus_scalar(") >= 5000 and "(continued below)" in full
    assert max(map(len, full.splitlines())) < 200
    short = x.tree().splitlines()
    assert len(short) == MOST_LINES + 1 and "tree(full=True)" in short[-1]
    assert max(line.index("data") for line in full.splitlines() if "data" in line) <= 3 * DEEPEST


def test_a_wide_graph_is_folded() -> None:
    text = graph("many").symbol.tree()
    assert "... and 499 more like it: fc1 to fc499" in text and len(text.splitlines()) == 7
    assert len(graph("many").symbol.tree(full=True).splitlines()) == 2501


def test_what_differs_is_not_folded() -> None:
    """Another attribute, another op below, another way that inputs are shared."""
    w = [sym.var(f"w{k}") for k in range(9)]
    alike = [sym.sgd_update(w[k], sym.var(f"g{k}"), lr=0.1, name=f"a{k}") for k in range(4)]
    odd = [
        sym.sgd_update(w[4], sym.var("g4"), lr=0.2, name="rate"),
        sym.sgd_update(w[5], sym.square(sym.var("g5")), lr=0.1, name="squared"),
        sym.sgd_update(w[6], w[6], lr=0.1, name="itself"),
    ]
    text = sym.Group([alike[0], *odd, *alike[1:]]).tree()
    assert "... and 3 more like it: a1 to a3" in text
    assert all(f"─ {name} = " in text for name in ("rate", "squared", "itself"))


def test_defaults_are_left_out_and_outputs_marked() -> None:
    w = sym.var("w", shape=(3, 4), dtype="float16")
    node = sym.adam_update(w, lr=0.1, beta1=0.9, epsilon=1e-6, out=w, name="fc1")
    lines = node.tree().splitlines()
    assert lines[0] == "fc1 = adam_update(lr=0.1, epsilon=1e-06, out=w)"
    assert lines[1] == "├─ weight: w  variable (3, 4) float16" and lines[3] == "├─ mean: fc1_mean  state"
    both = (node.state("mean") + node).tree()
    assert "fc1.state('mean') of fc1 = adam_update(" in both and "rhs: fc1  (shown above)" in both


def test_hostile_names_print_as_plain_text() -> None:
    made = graph("hostile")
    for text in (made.symbol.tree(), node_table(made.planned())):
        assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text and text.encode()
        assert max(map(len, text.splitlines())) < 300
    assert HOSTILE not in made.symbol.tree()


# ---- tables


def test_a_table_before_shapes_are_known() -> None:
    text = sym.sgd_update(sym.var("w"), sym.var("g"), lr=0.1, name="fc1").table()
    assert text.splitlines()[0].split() == list(NODE_COLUMNS) and "?" in text and "kernel 0" not in text
    partly = (sym.var("a") + sym.var("b")).table(a=(-1, 4))
    assert "(?, 4)" in partly


def test_the_table_of_an_executor_knows_rows_that_are_listed() -> None:
    made = graph("lazy")
    grad = so.sparse.row_sparse_array((np.ones((3, 8), np.float32), [1, 5, 7]), shape=(1000, 8))
    arrays: dict[str, Any] = {n: np.zeros((1000, 8), np.float32) for n in "wmv"}
    executor = made.symbol.bind(args={"w": arrays["w"], "g": grad}, aux_states={n: arrays[n] for n in "mv"})
    row = next(line for line in executor.table().splitlines() if line.startswith("g "))
    assert "row_sparse" in row and f"{3 * (8 * 4 + 8)} B" in row
    assert "1        24  696 B" in executor.summary()


def test_the_summary_keeps_its_facts() -> None:
    made = graph("whole_step")
    executor = made.symbol.simple_bind(so.cpu(), **made.shapes, t=())
    text = executor.summary()
    assert text.splitlines()[0] == "34 nodes on 21 variables, 4 launches"
    assert "bytes moved per step: " in text and "numbers computed on the host: 13" in text
    assert "scratch: 20 B" in text and text.endswith("on cpu(0)")
    view = np.zeros((8, 40), np.float32).T
    given = {"w": np.zeros((40, 8), np.float32), "g": view}
    w = sym.var("w")
    strided = sym.sgd_update(w, sym.var("g"), lr=0.1, out=w).bind(args=given)
    assert "copied before each step, because they are strided views: 1 argument" in strided.summary()
    swap = graph("exchanged")
    assert (
        "copied at the end, not written in place: a (1.3 KB)"
        in swap.symbol.simple_bind(**swap.shapes).summary()
    )


def test_shapes_as_text() -> None:
    assert [shape_text(s) for s in ((), (3,), (-1, 4), None)] == ["()", "(3,)", "(?, 4)", "?"]


# ---- Text


def rich_text(text: Text, width: int = 200) -> str:
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=width, color_system=None)
    console.print(text)
    return str(console.file.getvalue())


@pytest.mark.parametrize("name", ["one", "whole_step", "hostile"])
def test_rich_shows_the_same_words(name: str) -> None:
    made = graph(name)
    planned = made.planned()
    for text in (made.symbol.tree(), node_table(planned), made.symbol.explain(**made.shapes)):
        words = set(re.findall(r"[\w.]+", text))
        assert words <= set(re.findall(r"[\w.]+", rich_text(text, 400)))
        assert max(map(columns, rich_text(text, 80).splitlines())) <= 80


def test_markup_of_rich_in_names_is_no_markup() -> None:
    assert "[red]x[/red]" in rich_text(sym.var("[red]x[/red]").tree())


def test_text_is_a_str() -> None:
    text = sym.var("w").tree()
    assert isinstance(text, str) and text == "w  variable" == repr(text)
    assert copy.deepcopy(text) == pickle.loads(pickle.dumps(text)) == text


def test_parts_are_apart() -> None:
    text = Text.of(
        Lines(["a", "b"]), Table(("name",), [("c",)], title="t", notes=["n"]), Tree([Branch(0, "d")])
    )
    assert text == "a\nb\n\nt\nname\nc\nn\n\nd"


def test_without_rich_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "fc1" in tree(graph("one").symbol._outputs)

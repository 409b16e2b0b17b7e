"""Graphviz text, pictures and GraphML: as large as the graph, read back as they were meant, whatever the names."""

import collections
import copy
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from look_graphs import GRAPHS, HOSTILE, Graph, graph
from test_random_graphs import QUICK, draw_graph

from symopt import sym
from symopt.errors import AttributeValueError, DependencyError, SymoptError
from symopt.view.dot import MOST_ITEMS, render, to_dot
from symopt.view.dottext import quoted
from symopt.view.fold import folded
from symopt.view.graphml import NODE_KEYS, graphml, xml_text
from symopt.view.levels import view_of
from symopt.view.model import LEVELS, Level, View
from symopt.view.networks import to_networkx
from symopt.view.plain import printable

FOLDER = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"
needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


def golden(text: str, name: str, request: pytest.FixtureRequest) -> None:
    text = re.sub(r"[^\s<>\"]*?([\w.]+\.py):\d+", r"\1", text)
    path = FOLDER / name
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", ["one", "lazy", "whole_step", "muon", "hostile", "many"])
def test_dot_of_a_graph(name: str, request: pytest.FixtureRequest) -> None:
    planned = graph(name).planned()
    golden("\n".join(to_dot(view_of(planned, level)) for level in LEVELS), f"dot_{name}.txt", request)


@pytest.mark.parametrize("name", ["one", "lazy", "hostile"])
def test_graphml_of_a_graph(name: str, request: pytest.FixtureRequest) -> None:
    planned = graph(name).planned()
    text = "\n".join(graphml(view_of(planned, level, each=True)) for level in LEVELS)
    golden(text, f"graphml_{name}.txt", request)


# ---- what is drawn


def drawn(dot: str) -> tuple[int, int]:
    """How many nodes and edges a text has."""
    lines = [line.strip() for line in dot.splitlines()]
    nodes = [line for line in lines if re.match(r"n\d+ \[label=", line)]
    return len(nodes), sum(re.match(r"n\d+(:\w+:\w)? -> n\d+", line) is not None for line in lines)


@settings(QUICK, max_examples=25)
@given(data=st.data())
def test_everything_is_drawn_once(data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, "float32", 8)
    bound = copy.deepcopy(drawing.bound)
    planned = symbol.bind(args=bound, aux_states=bound, engine="reference")._planned()
    for level in LEVELS:
        view = view_of(planned, level)
        text = to_dot(view, full=True)
        assert drawn(text) == (len(view.items), len(view.links)) and text == to_dot(view, full=True)
        assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
        check_folded(view)


def check_folded(view: View) -> None:
    """A folded view stands for as many items, leads forward, and has the links of the whole one."""
    small = folded(view)
    assert sum(x.count for x in small.items) == sum(x.count for x in view.items)
    assert all(x.source < x.target for x in small.links)
    assert {x.kind for x in small.items} == {x.kind for x in view.items}
    ops = collections.Counter(x.op for x in small.items)
    assert ops.keys() == {x.op for x in view.items} and len(small.links) <= len(view.links)
    assert len(folded(small).items) == len(small.items)


@needs_dot
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", GRAPHS)
def test_graphviz_reads_every_graph(name: str, level: Level, tmp_path: Path) -> None:
    made = graph(name)
    view = view_of(made.planned(), level)
    text = to_dot(view)
    count = len(view.items) if len(view.items) <= MOST_ITEMS else len(folded(view).items)
    assert drawn(text)[0] == count
    render(text, tmp_path / "graph.svg")
    root = ElementTree.parse(tmp_path / "graph.svg").getroot()
    groups = collections.Counter(group.get("class") for group in root.iter(f"{SVG}g"))
    assert groups["node"] == count and groups["edge"] == drawn(text)[1]


def texts(svg: Path) -> set[str]:
    """All texts of a picture, and what is shown when the mouse rests on something."""
    root = ElementTree.parse(svg).getroot()
    found = {(node.text or "").replace("\xa0", " ") for node in root.iter(f"{SVG}text")}
    for link in root.iter(f"{SVG}a"):
        found.update((link.get("{http://www.w3.org/1999/xlink}title") or "").splitlines())
    return found


NAMES = [
    HOSTILE,
    "node",
    "graph",
    "subgraph",
    "edge",
    "strict",
    "\\N \\G \\l",
    '"',
    "\\",
    "\\\\",
    "a\\",
    "<b>x</b>",
]
NAMES += [
    "&lt;",
    "&amp;amp;",
    "{a|b}",
    "<i0> x",
    "  two  spaces ",
    "重み",
    "שלום",
    "a\u2028b",
    "-1",
    "",
    "x]",
    "a;b",
    "#c",
]


@needs_dot
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_are_shown_as_they_are(name: str, tmp_path: Path) -> None:
    w, path = sym.var(name + "w"), tmp_path / "graph.svg"
    step = sym.sgd_update(w, sym.var("g"), lr=0.1, name=name or None, out=w)
    shapes: dict[str, Any] = {name + "w": (3, 2)}
    for level in LEVELS:
        render(step.to_dot(level, **shapes), path)
        shown = {" ".join(text.split()) for text in texts(path)}
        expected = " ".join(printable(name + "w", 32).split())
        assert expected in shown, level
        if name and level == "symbol":
            assert " ".join(printable(name, 32).split()) in shown
            whole = f"variable {' '.join(printable(name + 'w', 2000).split())}"
            assert whole in shown or whole.replace("\\", "\\\\") in shown  # as versions of Graphviz have it


@given(st.text())
def test_a_string_is_quoted_once(text: str) -> None:
    inside = quoted(text)[1:-1]
    assert re.fullmatch(r'(?:[^"\\\n]|\\.)*', inside) and quoted(text)[0] == quoted(text)[-1] == '"'


def test_a_large_graph_is_drawn_small() -> None:
    made = graph("many")
    text = made.symbol.to_dot(**made.shapes)
    assert drawn(text) == (5, 4) and "and 499 more" in text
    assert drawn(made.symbol.to_dot(full=True, **made.shapes))[0] == 2500


def test_kernels_and_nodes_are_clusters() -> None:
    made = graph("whole_step")
    executor = made.symbol.simple_bind(**made.shapes, t=())
    assert executor.to_dot().count("subgraph cluster_kernel") == 4
    primitive = executor.to_dot("primitive")
    assert "_node" in primitive and primitive.count("subgraph") > 4
    assert "cluster" not in executor.to_dot("program")
    with pytest.raises(AttributeValueError, match="did you mean program"):
        executor.to_dot("programs")  # type: ignore[arg-type]


def test_inputs_are_told_apart() -> None:
    text = sym.adam_update(sym.var("w"), lr=sym.var("rate", shape=()), name="fc1").to_dot(w=(3,))
    for k, name in enumerate(("weight", "grad", "mean", "var", "lr")):
        assert f"<i{k}> {name}" in text and f":i{k}:n" in text
    both = sym.sgd_mom_update(sym.var("w"), sym.var("g"), sym.var("m"), lr=0.1, name="fc1")
    assert "<o0> output|<o1> mom" in (both.state("mom") + both).to_dot(w=(3,))
    division = sym.broadcast_div(sym.var("a"), sym.var("b")).to_dot("primitive", a=(3,), b=(3,))
    assert 'headlabel="0"' in division and 'headlabel="1"' in division


# ---- pictures


def test_pictures_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeValueError, match=r"must end in \.svg, \.png, \.pdf; did you mean png"):
        render("digraph {}", tmp_path / "graph.pngg")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DependencyError, match="apt install graphviz"):
        render("digraph {}", tmp_path / "graph.png")
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)  # which refuses the option -Tpng
    with pytest.raises(SymoptError, match="failed with status"):
        render("digraph {}", tmp_path / "graph.png")

    def late(*args: Any, **options: Any) -> Any:
        raise subprocess.TimeoutExpired("dot", options["timeout"])

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(SymoptError, match="more than 3 seconds"):
        render("digraph {}", tmp_path / "graph.png", timeout=3)
    assert not list(tmp_path.iterdir())


@needs_dot
@pytest.mark.parametrize("ending, magic", [("svg", b"<?xml"), ("PNG", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_picture_is_of_the_kind_that_its_name_says(ending: str, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a;b $(c).{ending}"
    render(graph("one").symbol.to_dot(), path)
    assert path.read_bytes().startswith(magic)


# ---- networkx and GraphML


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "many"])
def test_graphml_is_the_networkx_graph(name: str, level: Level, tmp_path: Path) -> None:
    made: Graph = graph(name)
    planned = made.planned()
    expected = to_networkx(planned, level)
    path = tmp_path / "graph.graphml"
    made.symbol.to_graphml(path, level, type_dict=made.types, **made.shapes)
    found = nx.read_graphml(path, force_multigraph=True)
    assert found.graph["level"] == level
    assert list(found) == [f"n{k}" for k in expected]
    for k, attrs in expected.nodes(data=True):
        read = found.nodes[f"n{k}"]
        assert read["name"] == read["label"] == xml_text(attrs["name"]) and read["kind"] == attrs["kind"]
        assert read.get("bytes") == attrs["bytes"] and read.keys() <= NODE_KEYS.keys()
        assert tuple(map(int, read.get("kernels", "").split())) == attrs["kernels"]
    edges = sorted((f"n{a}", f"n{b}", x["port"], x["output"]) for a, b, x in expected.edges(data=True))
    assert sorted((a, b, x["port"], x["output"]) for a, b, x in found.edges(data=True)) == edges
    assert nx.is_directed_acyclic_graph(expected) and (not edges or expected.graph["title"])


@given(st.text())
def test_any_text_is_xml(text: str) -> None:
    document = f"<a>{xml_text(text).replace('&', '&amp;').replace('<', '&lt;')}</a>"
    assert ElementTree.fromstring(document.encode()).text in (xml_text(text), text or None)


def test_networkx_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(DependencyError, match="pip install networkx"):
        graph("one").symbol.to_networkx()

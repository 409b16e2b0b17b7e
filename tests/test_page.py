"""The page as a file: what it holds, that nothing in it runs but our scripts, that it is written whole."""

import base64
import hashlib
import html
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from look_graphs import GRAPHS, graph
from page_graphs import HOSTILE, clipped, hostile, many, small

from symopt import sym
from symopt.errors import AttributeValueError, MissingArgumentError
from symopt.planned import Planned
from symopt.view import draw as draw_module
from symopt.view.alike import find_alike
from symopt.view.levels import view_of, views_of
from symopt.view.model import Item, Link, View
from symopt.view.page import draw_page, page
from symopt.view.pagetable import ROWS, plain_table, shown

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.S)


def planned(symbol: Any, shapes: dict[str, tuple[int, ...]]) -> Planned:
    found: Planned = symbol._planned(shapes, None, None, None)
    return found


def data_of(text: str) -> Any:
    (data,) = DATA.findall(text)
    return json.loads(data)


def table_of(view: View) -> str:
    return plain_table(view, find_alike(view).classes)


def decoded(level: Any, tables: Any, k: int) -> dict[str, Any]:
    """Item `k` of a level as it was, read from the page's data."""
    columns, texts = level["items"], tables["texts"]
    attrs = columns["attrs"][k]
    flat = [texts[x] for x in tables["attrs"][attrs]] if attrs >= 0 else []
    return {
        "kind": texts[columns["kind"][k]],
        "op": texts[columns["op"][k]],
        "name": columns["name"][k],
        "shape": columns["shape"][k] >= 0 and tables["shapes"][columns["shape"][k]],
        "formula": [texts[x] for x in tables["formulas"][f]] if (f := columns["formula"][k]) >= 0 else [],
        "attrs": dict(zip(flat[::2], flat[1::2], strict=True)),
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_the_data_is_the_view(name: str) -> None:
    views = views_of(graph(name).planned())
    data = data_of(page(views, "title"))
    assert [level["level"] for level in data["levels"]] == [view.level for view in views]
    for level, view in zip(data["levels"], views, strict=True):
        links = [(x.source, x.target, x.port, x.output) for x in view.links]
        assert level["links"] == [number for link in links for number in link]
        for k, item in enumerate(view.items):
            found = decoded(level, data["tables"], k)
            wanted = {name: getattr(item, name) for name in ("kind", "op", "name")}
            wanted |= {"shape": item.shape is not None and list(item.shape), "formula": list(item.formula)}
            assert found == wanted | {"attrs": dict(item.attrs)}


def test_code_is_written_once_for_all_levels() -> None:
    data = data_of(page(views_of(planned(*small())), "small"))
    codes = [kernel["code"] for level in data["levels"] for kernel in level["kernels"]]
    assert len(codes) == 3 and codes[0].keys() == {"text", "llvm", "cuda"}
    assert codes[0] == codes[1] == codes[2]
    assert "define" in data["tables"]["texts"][codes[0]["llvm"]]


def test_only_scripts_and_styles_with_a_listed_hash_may_run() -> None:
    text = page(views_of(planned(*small())), "small")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        found = re.findall(rf"<{tag}(?: id=\"_+cytoscape_stylesheet\")?>(.*?)</{tag}>", text, re.S)
        hashes = [base64.b64encode(hashlib.sha256(x.encode()).digest()).decode() for x in found]
        assert found and rules[rule] == [f"'sha256-{x}'" for x in hashes]
    assert len(re.findall(r"<script", text)) == 4  # data, two libraries, ours
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert "sourceMappingURL" not in text


def test_hostile_texts_stay_data() -> None:
    text = page([hostile()], HOSTILE[0])
    data = data_of(text)
    assert data["title"] == HOSTILE[0]
    assert data["levels"][0]["items"]["name"] == list(HOSTILE)
    body = DATA.sub("", text)
    body = re.sub(r"<script>.*?</script>", "", body, flags=re.S)
    assert "<img" not in body and "<b>" not in body and "<script>window" not in body
    assert "\u202e" not in body and "\x00" not in body and "⟨U+202E⟩" in body
    text.encode("utf-8")


def test_what_comes_from_outside_is_escaped_in_html_once() -> None:
    assert "&lt;b&gt; &amp; %%data%%" in html.unescape(table_of(hostile()))
    assert shown("x" * 1000).count("x") < 200
    assert shown("weight 重み") == "weight 重み"


def test_the_plain_table_has_a_row_for_each_item_or_of_many_for_each_class() -> None:
    table = table_of(view_of(planned(*small()), "symbol"))
    assert table.count("<tr>") == 1 + 6
    big = table_of(many(ROWS))
    assert big.count("<tr>") == 1 + 5 and f">{ROWS:,}<" in big


def test_a_page_of_many_nodes_holds_each_text_once() -> None:
    text = page([many(2000)], "many")
    assert text.count("mean' = beta1") == 1
    assert len(text) - len(page([many(1)], "many")) < 100 * 10_000  # bytes an item


# ---- what is alike


def groups(numbers: list[int], items: tuple[Item, ...]) -> set[frozenset[str]]:
    found: dict[int, set[str]] = {}
    for number, item in zip(numbers, items, strict=True):
        found.setdefault(number, set()).add(item.name)
    return {frozenset(names) for names in found.values()}


def test_updates_are_alike_part_by_part_and_units_are_the_updates() -> None:
    view = many(20)
    classes, units = find_alike(view)
    assert groups(classes, view.items) == {frozenset(f"p{k}_{x}" for k in range(20)) for x in "wgmv"} | {
        frozenset(f"u{k}" for k in range(20))
    }
    assert groups(units, view.items) == {
        frozenset({*(f"p{k}_{x}" for x in "wgmv"), f"u{k}"}) for k in range(20)
    }


def test_a_sum_of_all_norms_hides_no_likeness() -> None:
    """However the norms are added up, each tensor's part is one unit, and all of them are alike."""
    view = view_of(planned(*clipped(40)), "symbol")
    classes, units = find_alike(view)
    for name in ("layer0_weight", "layer0_grad", "adam0"):
        (same,) = [g for g in groups(classes, view.items) if name in g]
        assert len(same) == 40
    (unit,) = [g for g in groups(units, view.items) if "adam7" in g]
    assert {"layer7_weight", "layer7_grad", "layer7_m", "layer7_v"} < unit
    assert not any("layer8" in name for name in unit)


def test_different_ops_are_not_alike() -> None:
    w, g = sym.var("w"), sym.var("g")
    both = sym.Group([sym.sgd_update(w, g, lr=0.1), sym.signsgd_update(w, g, lr=0.1)])
    view = view_of(planned(both, {"w": (3,)}), "symbol")
    assert len(set(find_alike(view).classes)) == len(view.items)


@pytest.mark.parametrize("n", [0, 1])
def test_pages_of_hardly_anything(n: int) -> None:
    items = (Item("variable", "null", "w"),) * n
    text = page([View("symbol", "", items, ())], "")
    assert data_of(text)["levels"][0]["items"]["name"] == ["w"] * n


def test_a_link_from_an_item_to_the_same_twice_is_kept() -> None:
    view = View(
        "symbol", "", (Item("op", "mul", "a"), Item("op", "mul", "b")), (Link(0, 1, 0), Link(0, 1, 1))
    )
    assert len(data_of(page([view], ""))["levels"][0]["links"]) == 8


# ---- files


def test_draw_goes_by_the_ending(tmp_path: Path) -> None:
    symbol, shapes = small()
    symbol.draw(tmp_path / "bare.html")
    assert [x["level"] for x in data_of((tmp_path / "bare.html").read_text())["levels"]] == ["symbol"]
    symbol.draw(tmp_path / "step.HTML", "program", w=shapes["w"])
    assert data_of((tmp_path / "step.HTML").read_text())["start"] == "program"
    symbol.simple_bind(w=shapes["w"]).draw(tmp_path / "bound.htm")
    assert len(data_of((tmp_path / "bound.htm").read_text())["levels"]) == 3
    symbol.draw(tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text().startswith("digraph")
    with pytest.raises(AttributeValueError, match=r"'graph.jpg'.*\.html.*\.png"):
        symbol.draw("graph.jpg")
    with pytest.raises(MissingArgumentError, match="shapes of w"):
        symbol.draw(tmp_path / "x.html", "program")
    with pytest.raises(AttributeValueError, match="symbol, primitive, program"):
        symbol.draw(tmp_path / "x.html", "kernels")  # type: ignore[arg-type]
    assert {p.name for p in tmp_path.iterdir()} == {"bare.html", "step.HTML", "bound.htm", "graph.dot"}


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    path.chmod(0o640)

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            draw_page(path, [many(1)], "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    draw_page(path, [many(1)], "new")
    assert "<title>new" in path.read_text() and path.stat().st_mode & 0o777 == 0o640


def test_notebooks_show_the_page_in_a_frame_without_rights() -> None:
    symbol, shapes = small()
    for shown_in_cell in (symbol._repr_html_(), symbol.simple_bind(w=shapes["w"])._repr_html_()):
        (frame,) = re.findall(r'<iframe sandbox="allow-scripts"[^>]* srcdoc="([^"]*)"', shown_in_cell)
        assert "<" not in frame and data_of(html.unescape(frame))["levels"]


def test_notebooks_show_a_sentence_where_there_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    symbol, _ = small()
    monkeypatch.setattr(draw_module, "IN_A_CELL", 3)
    assert symbol._repr_html_().startswith("<pre>a graph of 6 nodes")
    w = sym.var("w<b>", shape=(2,))
    wrong = sym.sgd_update(w, sym.var("g", shape=(3,)), lr=0.1)
    assert re.match(r"<pre>.*w&lt;b&gt;", wrong._repr_html_(), re.S)

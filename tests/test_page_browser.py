"""The page in a real browser: `make browser` installs what drives it; without that these tests are skipped."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from page_graphs import HOSTILE, clipped, hostile, many, small

from symopt.view.levels import views_of
from symopt.view.model import View
from symopt.view.page import draw_page

FOLDER = Path(__file__).parent / "browser"
PLACES = ("chromium", "chromium-browser", "google-chrome")
pytestmark = pytest.mark.slow

See = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> None:
    """Skipped where there is no browser, or nothing to drive it; where CI is set that is a failure."""
    missing = ""
    if not (FOLDER / "node_modules").is_dir() or shutil.which("node") is None:
        missing = "make browser installs what drives a browser"
    elif not (os.environ.get("CHROMIUM") or any(map(shutil.which, PLACES))):
        missing = "no Chromium: apt install chromium, or give its path as CHROMIUM"
    if missing and os.environ.get("CI"):
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


@pytest.fixture
def see(browser: None, tmp_path: Path) -> See:
    """Does what a scenario of browser/scenarios.mjs does with a page, and gives what it saw. No page may complain, ask
    for anything, or run what is not its own."""

    def done(scenario: str, page: Path | Sequence[View], *arguments: str) -> Any:
        if not isinstance(page, Path):
            draw_page(tmp_path / "page.html", page, "title")
            page = tmp_path / "page.html"
        command = ["node", "check.mjs", scenario, str(page), *arguments]
        run = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
        assert run.returncode == 0, run.stderr
        seen = json.loads(run.stdout)
        assert [seen[what] for what in ("console", "errors", "dialogs", "violations")] == [[]] * 4
        assert [url for url in seen["requests"] if url not in (page.as_uri(), "about:srcdoc")] == []
        return seen

    return done


@pytest.fixture(scope="module")
def graph() -> tuple[View, ...]:
    symbol, shapes = small()
    return views_of(symbol._planned(shapes, None, None, None))


@pytest.fixture(scope="module")
def list_of_tensors() -> tuple[View, ...]:
    symbol, shapes = clipped(30)
    return views_of(symbol._planned(shapes, None, None, None))


def test_loads_from_a_file_and_has_no_fault_that_axe_finds(see: See, graph: tuple[View, ...]) -> None:
    seen = see("load", graph)
    assert (seen["title"], seen["heading"], seen["nodes"]) == ("title", "title", 6)
    assert seen["list"][0].split("\n") == ["w", "variable · 128×64"]
    assert "adam_update" in seen["panel"]
    assert seen["audit"] == []


def test_a_click_shows_the_formula_the_source_and_the_code(see: See, graph: tuple[View, ...]) -> None:
    seen = see("click", graph, "fc1")
    formula = graph[0].items[-1].formula
    assert formula and all(line in seen["panel"] for line in formula)
    for text in ("128×64", "float32", "clip_gradient", "page_graphs.py:", "sym.adam_update(", "each element"):
        assert text in seen["panel"]
    assert "adam_update, fc1" in seen["said"]
    assert "define" in seen["llvm"] and "__global__" in seen["cuda"]


def test_dark_and_open_has_no_fault_that_axe_finds(see: See, graph: tuple[View, ...]) -> None:
    assert see("audit_dark", graph, "fc1")["audit"] == []


def test_search_finds_what_is_folded_and_shows_it(see: See, list_of_tensors: tuple[View, ...]) -> None:
    seen = see("search", list_of_tensors, "layer17_w")
    assert [entry.split("\n")[0] for entry in seen["found"]] == ["layer17_weight"]
    assert seen["heading"] == "1 found" and "layer17_weight" in seen["panel"] and seen["focused"] == "panel"
    assert see("search", list_of_tensors, "ADAM_update")["heading"] == "30 found"
    assert see("search", list_of_tensors, "no such")["heading"] == "0 found"


def test_levels(see: See, graph: tuple[View, ...]) -> None:
    seen = see("levels", graph)
    for view in graph:
        assert seen[view.level]["nodes"] == len(view.items)
        assert set(seen[view.level]["kinds"]) == {item.kind for item in view.items}


def test_folding(see: See, list_of_tensors: tuple[View, ...]) -> None:
    seen = see("fold", list_of_tensors)
    start, folded, some, again, by_op, boxes, closed, everything = seen["counts"]
    n_items = len(list_of_tensors[0].items)
    assert start == folded == again < 20 < some < n_items
    assert by_op <= folded < 20 and closed < 40 and closed <= boxes
    assert everything == n_items
    assert "Stands for 30 items" in seen["stack"]


def test_without_a_mouse(see: See, graph: tuple[View, ...]) -> None:
    seen = see("keys", graph)
    at = [(key, focus, title.split(" ")[-2:-1] or [title]) for key, focus, title, _ in seen["steps"]]
    assert at[:8] == [
        ("/", "search", ["Graph"]),
        ("Enter", "panel", ["fc1"]),
        ("Escape", "drawing", ["fc1"]),
        ("Escape", "drawing", ["Graph"]),
        ("ArrowUp", "drawing", ["w"]),
        ("ArrowRight", "drawing", ["g"]),
        ("ArrowDown", "drawing", ["fc1"]),
        ("Enter", "panel", ["fc1"]),
    ]
    assert "variable, w, 128×64" in seen["steps"][4][3]
    assert seen["outline"] == "solid"
    assert (seen["level"], seen["dialog"], seen["theme"]) == ("primitive", True, "dark")
    wanted = [
        "search",
        "stacks",
        "boxes",
        "expand",
        "collapse",
        "listed",
        "theme",
        "help",
        "nodes",
        "drawing",
    ]
    assert [x for x in seen["order"] if x in wanted] == wanted
    assert seen["second"].startswith("lr") and seen["last"] == "panel"


def test_light_and_dark(see: See, graph: tuple[View, ...]) -> None:
    for scenario, first, second in (("dark", "light", "dark"), ("dark_system", "dark", "light")):
        seen = see(scenario, graph)
        assert (seen["before"]["theme"], seen["after"]["theme"]) == (first, second)
        assert seen["before"]["ground"] != seen["after"]["ground"]
        assert seen["before"]["node"] != seen["after"]["node"]


def test_names_that_would_run_are_shown(see: See) -> None:
    seen = see("hostile", [hostile()])
    assert seen["pwned"] is None and seen["after"] is None
    assert seen["images"] == 0 and seen["scripts"] == 4
    assert len(seen["panels"]) == len(HOSTILE)
    for bad, panel, entry in zip(HOSTILE[:4], seen["panels"], seen["list"], strict=False):
        assert bad in panel and entry.startswith(bad[:30])
    assert "⟨U+202E⟩evil" in seen["list"][4]
    assert max(map(len, seen["list"])) < 300


def test_without_scripts_and_on_paper_there_is_a_table(see: See, graph: tuple[View, ...]) -> None:
    seen = see("plain", graph)
    assert not seen["app"] and seen["rows"] == sum(len(view.items) for view in graph)
    assert "fc1" in seen["text"]
    assert see("print", graph)["table"]


def test_25000_items(see: See) -> None:
    view = many(5000)
    seen = see("large", [view])
    assert (seen["folded"], seen["unfolded"], seen["again"]) == (5, len(view.items), 5)
    assert "u4321" in seen["chosen"]


def test_a_narrow_window_has_the_details_below(see: See, graph: tuple[View, ...]) -> None:
    seen = see("narrow", graph)
    assert seen["wide"] <= seen["window"]
    assert seen["drawing"]["height"] > 300 and seen["panel"]["top"] >= seen["drawing"]["bottom"]


@pytest.mark.parametrize("level", ["symbol", "primitive", "program"])
def test_nodes_do_not_overlap_and_links_lead_down(
    see: See, graph: tuple[View, ...], list_of_tensors: tuple[View, ...], level: str
) -> None:
    seen = see("overlaps", graph, level)
    assert seen["n"] > 5 and seen["found"] == [] and seen["up"] == []
    assert see("overlaps", list_of_tensors, level)["found"] == []


def test_in_a_notebooks_frame(see: See, tmp_path: Path) -> None:
    cell = small()[0]._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>notebook</title><body>{cell}")
    seen = see("frame", tmp_path / "notebook.html")
    assert seen["nodes"] == 6 and seen["origin"] == "null"


def test_nothing_moves_where_that_is_wished(see: See, graph: tuple[View, ...]) -> None:
    assert not see("still", graph, "w")["animated"]
    assert see("moving", graph, "w")["animated"]

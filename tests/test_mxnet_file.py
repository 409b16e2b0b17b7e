"""A graph that MXNet 1.9.1 wrote: composed in Python, around update ops that it had loaded from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.cli.main import main
from symopt.view.levels import views_of

FILE = Path(__file__).parent / "golden" / "mxnet191_clipped_adam.json"


def graph() -> so.Symbol:
    return sym.load(FILE)


def test_composing_once_more_counts_a_version_more() -> None:
    """There is no op that writes the state before, yet its version is 1."""
    nodes = json.loads(FILE.read_text())["nodes"]
    update = next(n for n in nodes if n["name"] == "fc1")
    assert [entry[2] for entry in update["inputs"]] == [0, 0, 1, 1]
    assert graph().list_auxiliary_states() == ["fc1_mean", "fc1_var", "fc2_mean", "fc2_var"]
    assert graph()["fc1_output"].get_children().list_outputs()[2:] == ["fc1_mean", "fc1_var"]  # type: ignore[union-attr]


def raised(by: int, read_again: list[int]) -> so.Symbol:
    """Two updates of one momentum, whose versions count from `by`, and what reads it."""
    momentum = sym.var("m")
    first = sym.sgd_mom_update(sym.var("w"), sym.var("g"), momentum, lr=0.1, name="first")
    second = sym.sgd_mom_update(sym.var("w2"), sym.var("g2"), first.state("mom"), lr=0.1, name="second")
    raw = json.loads(sym.Group([first, second]).tojson())
    for node in raw["nodes"]:
        for entry in node["inputs"]:
            if raw["nodes"][entry[0]]["name"] == "m":
                entry[2] += by
    number = next(k for k, node in enumerate(raw["nodes"]) if node["name"] == "m")
    raw["heads"] += [[number, 0, version] for version in read_again]
    return sym.load_json(json.dumps(raw))


def test_versions_are_an_order() -> None:
    assert raised(0, [0, 1, 2]).list_outputs()[2:] == ["m", "first_mom", "second_mom"]
    assert raised(3, [3, 4, 5]).list_outputs()[2:] == ["m", "first_mom", "second_mom"]
    assert raised(3, [0]).list_outputs()[2:] == ["m"]
    with pytest.raises(so.SymoptError, match="no version 3"):
        raised(0, [3])


def test_it_gives_what_mxnet_gave() -> None:
    found = np.load(FILE.with_suffix(".npz"))
    given = {name.removeprefix("given."): found[name].copy() for name in found if name.startswith("given.")}
    outputs = graph().bind(args=given, aux_states=given).forward()
    for k, output in enumerate(outputs):
        np.testing.assert_allclose(output, found[f"output.{k}"], rtol=2e-6, atol=1e-7)
    for name in graph().list_auxiliary_states():
        np.testing.assert_allclose(given[name], found[f"after.{name}"], rtol=2e-6)


LOOKS: dict[str, Callable[[so.Symbol], Any]] = {
    "tree": lambda s: s.tree(),
    "table": lambda s: s.table(),
    "explain": lambda s: s.explain(),
    "formula": lambda s: s.formula(),
    "latex": lambda s: s.latex(),
    "mathml": lambda s: s.mathml(),
    "dot": lambda s: s.to_dot("program"),
    "cost": lambda s: s.cost(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_it_can_be_looked_at(look: str) -> None:
    text = str(LOOKS[look](graph()))
    assert "fc1_mean" in text or look in ("latex", "cost")
    assert graph().lint() == []
    views = views_of(graph()._planned({}, None, None, None))
    assert [view.level for view in views] == ["symbol", "primitive", "program"]
    assert graph().to_networkx("program").number_of_nodes() == len(views[2].items)


@pytest.mark.parametrize(
    "line", ["show F", "show F --maths", "cost F", "lint F", "draw F -o F.html", "diff F F"]
)
def test_the_command_takes_it(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [w.replace("F.html", str(tmp_path / "page.html")).replace("F", str(FILE)) for w in line.split()]
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    if "draw" in line:
        assert "fc1_clipped" in (tmp_path / "page.html").read_text()

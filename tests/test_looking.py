"""Every way to look inside, on the graph of the demo, on one of 5,000 nodes, and on a file that MXNet wrote."""

import json
import runpy
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.cli.main import main
from symopt.executor import Executor

ROOT = Path(__file__).parents[1]
SHAPES: dict[str, dict[str, Any]] = {
    "demo": {"w1": (64, 128), "b1": (128,), "w2": (128, 10), "b2": (10,)},
    "large": {f"w{k}": (4 + k % 5, 8) for k in range(1000)},
    "mxnet": {},
}
WEIGHTS = {"demo": "w2", "large": "w7", "mxnet": "fc1_weight"}
NODES = {"demo": "w2", "large": "u7", "mxnet": "fc1"}


@cache
def graph(name: str) -> so.Symbol:
    if name == "demo":
        pytest.importorskip("sklearn")
        made: so.Symbol = runpy.run_path(str(ROOT / "examples" / "digits.py"))["build_step"]()
        return made
    if name == "mxnet":
        return sym.load(ROOT / "tests" / "golden" / "mxnet191_clipped_adam.json")
    weights = [sym.var(f"w{k}") for k in range(1000)]
    return sym.Group(
        [sym.adam_update(w, sym.var(f"g{k}"), lr=0.1, out=w, name=f"u{k}") for k, w in enumerate(weights)]
    )


def bound(name: str, **how: Any) -> Executor:
    executor = graph(name).simple_bind(**how, **SHAPES[name])
    rng = np.random.default_rng(0)
    for array in {**executor.arg_dict, **executor.aux_dict}.values():
        if hasattr(array, "shape"):
            array[...] = np.abs(rng.standard_normal(array.shape))
    return executor


SYMBOL: dict[str, Callable[[so.Symbol, Any], object]] = {
    "print": lambda s, _: repr(s) + str(s),
    "debug_str": lambda s, _: s.debug_str(),
    "tree": lambda s, _: s.tree(),
    "table": lambda s, shapes: s.table(**shapes),
    "explain": lambda s, shapes: s.explain(**shapes),
    "formula": lambda s, _: s.formula(),
    "latex": lambda s, _: s.latex(),
    "mathml": lambda s, _: s.mathml(),
    "dot": lambda s, shapes: s.to_dot("primitive", **shapes),
    "cost": lambda s, shapes: s.cost(**shapes),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("look", SYMBOL)
def test_a_symbol(name: str, look: str) -> None:
    """Texts are of a length for people, however large the graph, but where everything is asked for."""
    text = str(SYMBOL[look](graph(name), SHAPES[name]))
    assert text and "\x1b" not in text
    if look not in ("debug_str", "dot"):
        assert len(text) < 100_000


@pytest.mark.parametrize("name", SHAPES)
def test_networks_and_files(name: str, tmp_path: Path) -> None:
    for level in ("symbol", "primitive", "program") if name != "large" else ("program",):
        found = graph(name).to_networkx(level, **SHAPES[name])
        assert networkx.is_directed_acyclic_graph(found)
        graph(name).to_graphml(tmp_path / "g.graphml", level, **SHAPES[name])
        again = networkx.read_graphml(tmp_path / "g.graphml", force_multigraph=True)
        assert (len(again), again.size()) == (len(found), found.size())
    endings = [".html", ".dot", *([".svg", ".png"] if shutil.which("dot") else [])]
    for ending in endings:
        path = tmp_path / f"g{ending}"
        graph(name).draw(path, **SHAPES[name])
        assert path.stat().st_size > 1000


@pytest.mark.parametrize("name", SHAPES)
def test_an_executor(name: str) -> None:
    executor = bound(name)
    cost = executor.cost()
    assert cost.as_dict() == graph(name).cost(**SHAPES[name]).as_dict()
    with executor.profile() as profile:
        for _ in range(3):
            executor.forward()
    assert len(str(profile).splitlines()) > 3 and json.dumps(profile.as_dict())
    for text in (executor.summary(), executor.explain(NODES[name]), executor.formula(), executor.formula(0)):
        assert len(text) > 10
    assert executor.check_finite() and str(executor.statistics())
    assert "define" in executor.source("llvm") and "__global__" in executor.source("cuda")
    assert executor.lint() == []


@pytest.mark.parametrize("name", SHAPES)
def test_one_element(name: str) -> None:
    executor, weight = bound(name), WEIGHTS[name]
    next_one = executor.explain_element(NODES[name] + "_output", (1, 2))
    with executor.recording():
        outputs = executor.forward()
    place = graph(name).list_outputs().index(NODES[name] + "_output")
    assert next_one.value == outputs[place][1, 2]
    last = executor.explain_element(NODES[name] + "_output", (1, 2), step="last")
    assert str(last).splitlines()[1:] == str(next_one).splitlines()[1:]
    assert weight in str(last)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("guard", ["raise", "skip"])
def test_a_guard(name: str, guard: str) -> None:
    executor = bound(name, nan_guard=guard)
    weight = executor.arg_dict[WEIGHTS[name]]
    weight[1, 2] = np.inf
    before = {n: a.copy() for n, a in executor.aux_dict.items()}
    if guard == "raise":
        with pytest.raises(so.errors.NonFiniteError, match=r"\[1, 2\]|\(1, 2\)"):
            executor.forward()
        return
    executor.forward()
    assert executor.skipped == 1 and WEIGHTS[name] in str(executor.last_skip)
    assert all(np.array_equal(before[n], a) for n, a in executor.aux_dict.items())


COMMANDS = ["show F", "show F --table S", "show F --maths", "draw F -o F.html S", "cost F S", "cost F S --json",
            "diff F F", "lint F S"]  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("line", COMMANDS)
def test_the_command(name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "graph.json"
    graph(name).save(path)
    words: list[str] = []
    for word in line.split():
        if word == "S":
            for k, shape in SHAPES[name].items():
                words += ["--shape", f"{k}={','.join(map(str, shape))}"]
        else:
            words.append({"F": str(path), "F.html": str(tmp_path / "g.html")}.get(word, word))
    assert main(words) == 0
    assert capsys.readouterr().err == ""

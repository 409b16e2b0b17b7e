"""What a step costs beside bytes: arithmetic, roles of variables, text, JSON."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS

import symopt as so
from symopt import sym
from symopt.cost.arithmetic import operations
from symopt.cost.bandwidth import Calibration, Speed
from symopt.passes.traffic import NOTHING, Listed
from symopt.view.plain import safe

SIZE = (30, 8)
ALL = 240


def variables(names: str) -> list[so.Symbol]:
    return [sym.var(name) for name in names]


def counted(symbol: so.Symbol, listed: Listed = NOTHING, **options: Any) -> Mapping[str, int]:
    """Operations of the only launch of a graph, by primitive and dtype."""
    planned = symbol._planned({"w": SIZE}, options.get("types"), options.get("stypes"), None)
    (launch,) = planned.needed().launches
    found: Counter[str] = Counter()
    for instance in launch.instances:
        for (op, detail), n in operations(launch.kernel, instance.domain, listed).items():
            found[f"{op} {detail}"] += n
    return found


def test_operations_are_those_of_the_formula() -> None:
    w, g = variables("wg")
    # w - lr * (rescale_grad * g + wd * w)
    found = counted(sym.sgd_update(w, g, lr=0.1, wd=0.1, rescale_grad=0.5, out=w))
    assert found == {"mul float32": 3 * ALL, "add float32": ALL, "sub float32": ALL}
    found = counted(sym.sgd_update(w, g, lr=0.1, out=w), types={"w": "float16"})
    assert found["cast float16 to float32"] == 2 * ALL and found["cast float32 to float16"] == ALL


def test_rows_and_reductions() -> None:
    w, g, h = variables("wgh")
    found = counted(sym.group_adagrad_update(w, g, h, lr=0.1, out=w))
    assert found["sqrt float32"] == SIZE[0]  # one for each row
    norm = sym.norm(w).cost(w=SIZE)
    assert norm.operations["add"] == ALL + 0 and norm.operations["mul"] == ALL


def test_listed_rows() -> None:
    w, g = variables("wg")
    step = sym.sgd_update(w, g, lr=0.1, out=w)
    lazy = counted(step, Listed(7, 5, ordered=False), stypes={"g": "row_sparse"})
    dense = counted(step)
    columns = SIZE[1]
    extra = {"add float32": 2 * columns}
    assert lazy == {op: n // SIZE[0] * 5 + extra.get(op, 0) for op, n in dense.items()}
    standard = sym.sgd_update(w, g, lr=0.1, lazy_update=False, out=w)
    both = counted(standard, Listed(30, 30), stypes={"g": "row_sparse"})
    assert both == dense  # every row has a gradient
    assert sum(counted(standard, Listed(0, 0), stypes={"g": "row_sparse"}).values()) <= sum(dense.values())


def test_products_of_matrices() -> None:
    w, g, m = variables("wgm")
    cost = sym.torch_muon_update(w, g, m, lr=0.1, out=w).cost(w=(64, 32))
    products = [launch for launch in cost.launches if launch.name.endswith("matmul")]
    assert len(products) >= 15
    for launch in products:
        assert launch.operations["mul"] == launch.operations["add"] >= 32 * 32 * 32


def test_roles() -> None:
    w, g, m, v, e, x = variables("wgmvex")
    t = sym.var("t", shape=())
    scale = sym.minimum(1 / (sym.norm(g) + 1e-6), 1.0)
    new = sym.adam_update(w, 0.5 * g + 0 * x, m, v, lr=0.1 / t, rescale_grad=scale, out=w)
    cost = sym.Group([new, sym.elemwise_add(0.9 * e, 0.1 * new, out=e)]).cost(w=SIZE)
    roles = {variable.name: variable.role for variable in cost.variables}
    assert roles == {
        "w": "weight", "g": "gradient", "x": "gradient", "m": "state", "v": "state", "e": "kept", "t": "number",
    }  # fmt: skip
    assert cost.weights == cost.gradients // 2 == cost.states // 2 == cost.total("kept") == ALL * 4


def test_states_of_forms() -> None:
    """How much an optimizer needs for its parameters: with copies of float32, with what rounding lost, of factors."""
    w, g, m, v, w32 = (sym.var(name) for name in ("w", "g", "m", "v", "w32"))
    half = {"w": "float16"}
    assert sym.mp_adam_update(w, g, m, v, w32, lr=0.1, out=w).cost(w=SIZE, type_dict=half).states == 12 * ALL
    assert sym.adam_update(w, g, m, v, lr=0.1, out=w).cost(w=SIZE, type_dict=half).states == 4 * ALL
    kahan = sym.sgd_update(w, g, sym.var("c"), lr=0.1, kahan=True, out=w)
    assert kahan.cost(w=SIZE, type_dict=half).states == 2 * ALL
    row, col = sym.var("row"), sym.var("col")
    adafactor = sym.torch_adafactor_update(w, g, row, col, step=1, out=w).cost(w=(1000, 200))
    assert adafactor.states == 4 * (1000 + 200)
    names = [sym.var(f"{n}{k}") for k in range(2) for n in "wgm"]
    several = sym.multi_sgd_mom_update(*names, lrs=(0.1, 0.1), wds=(0, 0), momentum=0.9, out=names[::3])
    assert several.cost(w0=SIZE, w1=(3,)).states == 4 * (ALL + 3)


def calibration() -> Calibration:
    speeds = {n: Speed(1e-10, 2e-10, 1e-10, gain=float(n)) for n in (1, 2, 4)}
    return Calibration("a machine", speeds, {("exp", "float32"): 1e-6}, 1e-6)


def test_seconds_are_those_of_the_slower_of_memory_and_arithmetic() -> None:
    w, g = variables("wg")
    so.set_num_threads(1)
    try:
        known = calibration()
        cost = sym.sgd_update(w, g, lr=0.1, out=w).cost(w=(1 << 20,), calibration=known)
        (launch,) = cost.launches
        assert launch.limit is not None and launch.limit == pytest.approx(4 * 2**20 * 3e-10)
        assert launch.seconds == pytest.approx(launch.limit + 1e-6) and cost.seconds == pytest.approx(
            launch.seconds
        )
        cost = sym.exp(w).cost(w=(1 << 20,), calibration=known)
        assert cost.seconds == pytest.approx(2**20 * 1e-6 + 1e-6)
        assert cost.launches[0].limit == pytest.approx(4 * 2**20 * 2e-10)
        assert cost.device == "a machine"
        so.set_num_threads(2)
        shared = sym.exp(w).cost(w=(1 << 22,), calibration=known)
        assert shared.seconds == pytest.approx(2**21 * 1e-6 + 1e-6)
    finally:
        so.set_num_threads(None)


def test_what_was_used_a_moment_ago_comes_from_a_cache() -> None:
    """Of two launches that read one small array, the second finds it near, and in the next step the first does too."""
    w, g, m, v = variables("wgmv")
    slow = calibration()
    levels = ((1e3, 0.1), (1e6, 0.1), (1e9, 1.0))
    fast = replace(slow, speeds={1: replace(slow.speeds[1], levels=levels)})
    lamb = sym.lamb_update(w, g, m, v, lr=0.1, t=1, wd=0.0, out=w)
    small, large = (lamb.cost(w=(n,), calibration=fast) for n in (1 << 10, 1 << 29))
    for few, many in zip(small.launches, large.launches, strict=True):
        assert few.limit is not None and many.limit is not None
        assert few.limit / few.bytes == pytest.approx(0.1 * many.limit / many.bytes, rel=1e-2)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_text_and_json(name: str) -> None:
    graph = GRAPHS[name]()
    cost = graph.symbol.bind(args=graph.args, aux_states=graph.states).cost(calibration())
    again = json.loads(json.dumps(cost.as_dict(), allow_nan=False))
    assert (
        again["bytes"]
        == cost.bytes
        == sum(x["read"] + x["written"] for x in again["launches"])
        + 2 * (sum(again["copies"].values()) + again["strided"])
    )
    assert again["operations"] == cost.operations
    text = str(cost)
    assert all(safe(launch.name) in text for launch in cost.launches)
    assert "predicted time" in text and "a machine" in text


def test_hostile_names_stay_on_one_line() -> None:
    w, g = sym.var("w\n\x1b[31m"), sym.var("g")
    cost = sym.sgd_update(w, g, lr=0.1, out=w, name="a\nb").bind(args=[np.ones(3), np.ones(3)]).cost()
    assert len(str(cost).splitlines()) == 13 and "\x1b" not in str(cost)


def test_unknown_machines_are_told_what_to_do(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path))
    w, g = variables("wg")
    cost = sym.sgd_update(w, g, lr=0.1, out=w).cost(w=SIZE)
    assert cost.seconds is None and cost.launches[0].seconds is None and cost.device is None
    assert str(cost).endswith("run symopt calibrate once to measure this machine")
    assert sym.sgd_update(w, g, lr=0.1, out=w).cost(w=SIZE, ctx="gpu").seconds is None


@pytest.mark.parametrize("name", ["clip, count and average", "lamb", "lazy table, repeated rows"])
def test_golden_text(name: str, request: pytest.FixtureRequest) -> None:
    graph = GRAPHS[name]()
    so.set_num_threads(2)
    try:
        text = str(graph.symbol.bind(args=graph.args, aux_states=graph.states).cost(calibration())) + "\n"
    finally:
        so.set_num_threads(None)
    path = Path(__file__).parent / "golden" / f"cost_{name.replace(', ', '_').replace(' ', '_')}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")

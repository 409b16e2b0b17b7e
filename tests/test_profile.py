"""Profiles: every launch of every step has its time, and the executor is as before when they end."""

import json
import threading
from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS
from test_cost import calibration
from where import Emulated, put_all

import symopt as so
from symopt import sym
from symopt.cost import profile as module

HOST_ENGINES = ("native", "reference", "emulator")


@pytest.fixture(autouse=True)
def unmeasured(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path))


def bound(name: str = "clip, count and average", engine: str = "native", **options: Any) -> Any:
    graph = GRAPHS[name]()
    return graph.symbol.bind(args=graph.args, aux_states=graph.states, engine=engine, **options)


def untouched(executor: Any) -> bool:
    """Whether no clock is left."""
    step = executor._step
    own = {*vars(step), *vars(step.engine)}
    launches = getattr(step.engine, "running", [])
    return (
        executor._profile is None
        and not own & {"run", "take", "prepare", "_call"}
        and not any(type(launch).__name__ == "TimedLaunch" for launch in launches)
    )


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_every_launch_of_every_step(name: str) -> None:
    executor, plain = bound(name), bound(name)
    with executor.profile() as p:
        for _ in range(3):
            executor.forward()
            plain.forward()
    assert untouched(executor)
    launches = executor._step.program.launches
    assert [t.name for t in p.launches] == [launch.kernel.name for launch in launches]
    assert all(t.count == 3 and 0 <= t.least <= t.median <= t.most <= t.total for t in p.launches)
    assert sum(t.share for t in p.launches) == pytest.approx(1)
    assert len(p.steps) == len(p.host) == len(p.preparing) == len(p.binding) == 3
    for step, host, preparing in zip(p.steps, p.host, p.preparing, strict=True):
        assert 0 <= preparing <= host <= step
    assert sum(p.steps) == pytest.approx(sum(p.host) + sum(t.total for t in p.launches))
    assert [t.bytes for t in p.launches] == [launch.bytes for launch in executor.cost().launches]
    assert executor._measured == {t.number: t.median for t in p.launches}
    assert executor._planned().seconds == executor._measured
    for one, other in zip(executor.outputs, plain.outputs, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("engine", HOST_ENGINES)
def test_engines(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "emulator":
        request.getfixturevalue("cxx")
    executor = bound(engine=engine)
    with executor.profile() as p:
        executor.forward()
    calls = executor._step.program.lowered.calls
    count = len(calls) if engine == "reference" else len(executor._step.program.launches)
    assert untouched(executor) and len(p.launches) == count and all(t.count == 1 for t in p.launches)
    assert bool(executor._measured) == (engine != "reference")
    assert all(t.name.split(":")[0] in str(p) for t in p.launches) or engine != "reference"


@pytest.mark.parametrize("capture", [False, True])
def test_on_an_emulated_gpu(capture: bool, emulated: None) -> None:
    graph, where = GRAPHS["adam list"](), Emulated()
    executor, plain = (
        where.bind(graph.symbol, put_all(where, graph.args), put_all(where, graph.states), capture=capture)
        for _ in range(2)
    )
    for _ in range(2):
        executor.forward()
    with executor.profile() as p:
        executor.forward()
        executor.forward()
    executor.forward()
    for _ in range(5):
        plain.forward()
    assert untouched(executor) and executor._step.engine._capture is capture
    assert [t.count for t in p.launches] == [2] * len(p.launches)
    for one, other in zip(executor.outputs, plain.outputs, strict=True):
        assert np.array_equal(where.get(one), where.get(other))


def test_the_reference_engine_on_a_gpu(emulated: None) -> None:
    graph, where = GRAPHS["adam list"](), Emulated()
    executor = where.bind(
        graph.symbol, put_all(where, graph.args), put_all(where, graph.states), engine="reference"
    )
    with executor.profile() as p:
        executor.forward()
    assert untouched(executor) and "_call" not in vars(executor._step.engine.engine)
    assert all(t.count == 1 for t in p.launches) and p.launches


def test_a_profile_in_a_profile_is_refused() -> None:
    executor = bound()
    with executor.profile():
        with pytest.raises(so.errors.GraphError, match="is profiled already"), executor.profile():
            pass
        executor.forward()
    with executor.profile() as p:
        executor.forward()
    assert len(p.steps) == 1


def test_what_makes_another_plan_is_refused_inside() -> None:
    w, g = sym.var("w"), sym.var("g")
    node = sym.sgd_update(w, g, lr=0.1, clip_gradient=-1.0, out=w, name="u")
    executor = node.bind(args=[np.ones(3), np.ones(3)])
    with executor.profile() as p:
        executor.set_attr("u", lr=0.2)
        executor.forward()
        refused = pytest.raises(so.errors.GraphError, match="leave the profile before")
        with refused:
            executor.set_attr("u", clip_gradient=1.0)
        with refused:
            executor.set_monitor_callback(print)
    assert executor._measured and len(p.steps) == 1
    executor.set_attr("u", clip_gradient=1.0)
    assert not executor._measured  # launches of another program


def test_clocks_go_when_the_block_raises() -> None:
    executor = bound()
    with pytest.raises(ZeroDivisionError), executor.profile() as p:
        executor.forward()
        raise ZeroDivisionError
    assert untouched(executor) and len(p.steps) == 1


def test_a_step_that_raises_is_not_counted() -> None:
    graph = GRAPHS["lazy table, repeated rows"]()
    executor = graph.symbol.bind(args=graph.args, aux_states=graph.states)
    gradient = next(x for x in graph.args.values() if hasattr(x, "indices"))
    good = gradient.indices[0]
    with executor.profile() as p:
        executor.forward()
        gradient.indices[0] = 10**6
        with pytest.raises(so.errors.RowIndexError):
            executor.forward()
        gradient.indices[0] = good
        executor.forward()
    assert len(p.steps) == len(p.preparing) == 2 and [t.count for t in p.launches] == [2]


def test_bytes_of_gradients_that_list_now_more_now_less() -> None:
    w, g = sym.var("w"), sym.var("g")
    step = sym.sgd_update(w, g, lr=1, out=w)

    def gradient(n: int) -> Any:
        return so.sparse.row_sparse_array((np.ones((n, 8), np.float32), np.arange(n)), shape=(50, 8))

    executor = step.bind(args={"w": np.ones((50, 8), np.float32), "g": gradient(1)})
    with executor.profile() as p:
        for n in (10, 20, 30):
            executor.forward(g=gradient(n))
    assert p.launches[0].bytes == 20 * (3 * 32 + 8) and all(x > 0 for x in p.binding)


@pytest.mark.parametrize("engine", ["native", "emulator"])
def test_steps_that_are_rehearsed_or_left_out(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "emulator":
        request.getfixturevalue("cxx")
    w, g, h = (sym.var(name) for name in "wgh")
    node = sym.group_adagrad_update(w, g * sym.norm(w), h, lr=0.1, out=w)
    args: Any = {"w": np.ones((5, 3)), "g": np.ones((5, 3))}
    executor = node.bind(args=args, aux_states={"h": np.ones((5, 1))}, engine=engine, nan_guard="skip")
    with executor.profile() as p:
        executor.forward()
        executor.forward(g=np.full((5, 3), np.nan))
        executor.forward(g=np.ones((5, 3)))
    executor.synchronize()
    assert untouched(executor) and executor.skipped == 1
    assert len(p.steps) == len(p.host) == 3 and all(x >= 0 for x in p.host)
    assert sum(p.steps) == pytest.approx(sum(p.host) + sum(t.total for t in p.launches))


def test_steps_of_several_threads() -> None:
    executor = bound("adam list")
    threads = [threading.Thread(target=lambda: [executor.forward() for _ in range(20)]) for _ in range(3)]
    with executor.profile() as p:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(p.steps) == 60 and all(t.count == 60 for t in p.launches)


def test_no_step_at_all() -> None:
    executor = bound()
    with executor.profile() as p:
        assert str(p).endswith("no step was run inside the profile")
    assert all(t.count == 0 for t in p.launches) and not executor._measured
    json.dumps(p.as_dict(), allow_nan=False)


def test_text_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda ctx: calibration())
    executor = bound()
    with executor.profile() as p:
        for _ in range(4):
            executor.forward()
        assert len(p.launches) == 4 and p.launches[0].count == 4  # also while it goes on
    text = str(p)
    assert "4 steps:" in text and "of limit" in text and "predicted:" in text and "outside launches" in text
    found = json.loads(json.dumps(p.as_dict(), allow_nan=False))
    assert [x["name"] for x in found["launches"]] == [t.name for t in p.launches]
    assert all(x["of_limit"] > 0 and x["bytes_per_second"] > 0 for x in found["launches"])

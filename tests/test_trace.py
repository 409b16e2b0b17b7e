"""Chrome traces and rooflines of profiles."""

import io
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cost import calibration
from test_profile import bound

import symopt as so
from symopt import sym
from symopt.cost import profile as module
from symopt.cost.roofline import achieved, limits

HOSTILE = 'w"\\\n\x1b</script>\u2028$x^2$é'


@pytest.fixture(autouse=True)
def measured(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "load", lambda ctx: calibration())


def profiled(executor: Any, steps: int = 3) -> Any:
    with executor.profile() as p:
        for _ in range(steps):
            executor.forward()
    return p


def hostile() -> Any:
    w, g = sym.var(HOSTILE), sym.var("g")
    node = sym.sgd_update(w, g, lr=0.1, out=w, name=HOSTILE)
    return node.bind(args=[np.ones(3), np.ones(3)], engine="reference")


def events_of(path: Path) -> list[dict[str, Any]]:
    """The events of a trace, after its form was checked as its readers demand it."""
    data = path.read_bytes()
    assert data.isascii()
    trace = json.loads(data, parse_constant=lambda x: pytest.fail(f"{x} is no JSON"))
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"} and trace["displayTimeUnit"] == "ms"
    for event in trace["traceEvents"]:
        assert type(event["name"]) is str and type(event["pid"]) is int and type(event["tid"]) is int
        assert type(event["args"]) is dict
        if event["ph"] == "M":
            assert set(event) == {"name", "ph", "pid", "tid", "args"}
            assert event["name"] in ("process_name", "thread_name") and type(event["args"]["name"]) is str
        else:
            assert event["ph"] == "X" and set(event) == {
                "name",
                "cat",
                "ph",
                "ts",
                "dur",
                "pid",
                "tid",
                "args",
            }
            assert all(type(event[key]) in (int, float) and event[key] >= 0 for key in ("ts", "dur"))
    found: list[dict[str, Any]] = trace["traceEvents"]
    return found


def test_a_trace_nests(tmp_path: Path) -> None:
    """Readers draw what lies inside something below it: launches and preparing inside their step, none over another."""
    executor = bound()
    p = profiled(executor)
    assert p.trace(tmp_path / "trace.json") == tmp_path / "trace.json"
    events = [e for e in events_of(tmp_path / "trace.json") if e["ph"] == "X"]
    steps = [e for e in events if e["cat"] == "step"]
    assert len(steps) == 3 and len(events) == 3 * (2 + len(p.launches))
    assert min(e["ts"] for e in events) == 0 == steps[0]["ts"]
    for k, step in enumerate(steps):
        inside = [e for e in events if e["cat"] != "step" and e["args"]["step"] == k]
        inside.sort(key=lambda e: e["ts"])
        assert [e["cat"] for e in inside] == ["host"] + ["launch"] * len(p.launches)
        assert all(
            step["ts"] <= e["ts"] and e["ts"] + e["dur"] <= step["ts"] + step["dur"] + 1e-6 for e in inside
        )
        assert all(a["ts"] + a["dur"] <= b["ts"] + 1e-6 for a, b in pairwise(inside))
    launches = [e for e in events if e["cat"] == "launch"]
    assert all(e["args"]["bytes"] > 0 and e["args"]["GB/s"] >= 0 for e in launches)


def test_names_in_a_trace_may_be_anything(tmp_path: Path) -> None:
    profiled(hostile()).trace(tmp_path / "trace.json")
    names = [e["name"] for e in events_of(tmp_path / "trace.json") if e.get("cat") == "launch"]
    assert all(name.startswith(HOSTILE) for name in names) and names


def test_an_empty_trace(tmp_path: Path) -> None:
    profiled(bound(), steps=0).trace(tmp_path / "trace.json")
    assert [e["ph"] for e in events_of(tmp_path / "trace.json")] == ["M"]


def test_a_trace_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p, path = profiled(bound()), tmp_path / "trace.json"
    path.write_text("before")

    def fail(*args: Any) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            p.trace(path)
    assert path.read_text() == "before" and [x.name for x in tmp_path.iterdir()] == ["trace.json"]
    p.trace(path)
    assert events_of(path) and [x.name for x in tmp_path.iterdir()] == ["trace.json"]
    with pytest.raises(FileNotFoundError):
        p.trace(tmp_path / "nowhere" / "trace.json")


# ---- rooflines


@pytest.fixture
def matplotlib() -> None:
    pytest.importorskip("matplotlib")


def test_points_lie_below_what_they_are_drawn_at() -> None:
    p = profiled(bound())
    points = achieved(p)
    assert len(points) == len([t for t in p.launches if t.bytes])
    assert [x.share for x in points] == sorted((x.share for x in points), reverse=True)
    launch, times = p.cost.launches[0], p.launches[0]
    (point,) = (x for x in points if x.name.startswith("0 "))
    assert point.intensity == launch.arithmetic / launch.bytes
    assert point.rate == pytest.approx(launch.arithmetic / times.median)
    assert limits(calibration()) == {"memory": pytest.approx(1e10)}


def test_names_cover_nothing(matplotlib: None, tmp_path: Path) -> None:
    figure = profiled(bound()).roofline(tmp_path / "roof.png")
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) > 1
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
    axes = figure.axes[0]
    assert (
        axes.get_xlabel() == "operations for each byte moved" and axes.get_ylabel() == "operations a second"
    )


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_formats(suffix: str, matplotlib: None, tmp_path: Path) -> None:
    profiled(bound()).roofline(tmp_path / f"roof.{suffix}")
    assert (tmp_path / f"roof.{suffix}").stat().st_size > 1000


def test_what_a_roofline_needs(matplotlib: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(so.errors.GraphError, match="run steps inside the profile"):
        profiled(bound(), steps=0).roofline()
    monkeypatch.setattr(module, "load", lambda ctx: None)
    with pytest.raises(so.errors.GraphError, match="run symopt calibrate"):
        profiled(bound()).roofline()


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(so.errors.DependencyError, match=r"symopt\[viz\]"):
        profiled(bound()).roofline()


def test_names_that_look_like_mathematics(matplotlib: None) -> None:
    w, g = sym.var("w"), sym.var("g")
    executor = sym.sgd_update(w, g, lr=0.1, out=w, name="$\\frac{$").bind(args=[np.ones(300), np.ones(300)])
    p = profiled(executor)
    p.title = "$\\frac{$ {} %"
    p.roofline().savefig(io.BytesIO())

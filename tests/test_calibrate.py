"""Measuring a machine: what is found, and the file that keeps it. No test looks at how fast anything is."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import config, sym
from symopt.cost import calibrate, primitives, store
from symopt.cost import measure as module
from symopt.cost.bandwidth import Calibration, Row, Speed, Stream, interpolated
from symopt.cost.chains import BESIDE, CHAINS, chained
from symopt.cost.machine import OthersWork, device_name
from symopt.cost.probes import MIXES, Pool, Probe, rows_apart
from symopt.cost.rounds import Effort
from symopt.passes.traffic import moved
from symopt.places import HOST
from symopt.prims import PRIMS

LITTLE = Effort(size=1 << 15, smallest=1 << 14, rounds=1, elements=64, lengths=(1, 2), slow_lengths=(1, 2))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """This machine, measured hastily."""
    return module.measure(HOST, LITTLE, "hasty")


@pytest.mark.slow
def test_a_measurement_has_all_there_is(measured: Calibration) -> None:
    assert set(measured.speeds) == set(module._thread_counts()) and 1 in measured.speeds
    assert {op for op, _ in measured.operations} >= {*PRIMS, "matmul"} - {"toward"}
    for speed in measured.speeds.values():
        numbers = (
            speed.read,
            speed.updated,
            speed.written,
            speed.gain,
            *(x for level in speed.levels for x in level),
        )
        assert all(math.isfinite(x) and x >= 0 for x in numbers)
        assert [size for size, _ in speed.levels] == sorted(size for size, _ in speed.levels)
        assert [row.size for row in speed.rows] == sorted(row.size for row in speed.rows)
    assert measured.launch > 0 and measured.step > 0 and measured.index > 0


@pytest.mark.filterwarnings("ignore:others used")
def test_calibrate_keeps_what_it_found_for_costs(cache: Path) -> None:
    so.set_num_threads(1)
    try:
        found = calibrate(effort=LITTLE)
        assert config.num_threads() == 1
    finally:
        so.set_num_threads(None)
    assert [path.suffix for path in (cache / "calibration").iterdir()] == [".json"]
    assert store.load(so.cpu()) == found
    w, g = sym.var("w"), sym.var("g")
    cost = sym.sgd_update(w, g, lr=1, out=w).cost(w=(1000,))
    assert cost.device == found.device and cost.seconds is not None and cost.seconds > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:others used")
def test_an_emulated_gpu_is_measured_by_the_same_function(
    emulated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primitives, "CHAINS", CHAINS[:5])
    monkeypatch.setattr(module, "WIDTHS", (4,))
    effort = LITTLE._replace(size=1 << 13, smallest=1 << 12, elements=8)
    found = calibrate("gpu", effort)
    assert found.device == "an emulated GPU" and set(found.speeds) == {1}
    assert store.load(so.gpu(0)) == found and store.load(so.cpu()) is None


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch, measured: Calibration) -> None:
    monkeypatch.setattr(module, "measure", lambda *rest: measured)
    monkeypatch.setattr(OthersWork, "share", lambda self: 0.5)
    with pytest.warns(UserWarning, match="others used 50% of the processors"):
        calibrate()
    monkeypatch.undo()
    assert 0 <= OthersWork().share() <= 1


def test_files_are_read_back_as_they_were(measured: Calibration) -> None:
    assert store.from_text(store.to_text(measured)) == measured


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 0}',
        "\x00",
        '{"format": 1, "speeds": {"x": {}}}',
        "9" * 5000,
    ],
)
def test_other_texts_are_no_measurement(text: str, cache: Path) -> None:
    assert store.from_text(text) is None
    path = store.path_of(device_name(so.cpu()))
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert store.load(so.cpu()) is None


@pytest.mark.parametrize("key", ["speeds", "operations", "launch", "device", "format"])
def test_what_was_cut_short_is_no_measurement(key: str, measured: Calibration) -> None:
    whole = json.loads(store.to_text(measured))
    del whole[key]
    assert store.from_text(json.dumps(whole)) is None
    assert store.from_text(store.to_text(measured)[:-20]) is None


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be kept .* set SYMOPT_CACHE_DIR"):
        assert store.save(Calibration("a machine", {1: Speed(1, 1, 1)})) is None


# ---- probes


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.__name__)
def test_probes_move_what_they_are_said_to(mix: Any) -> None:
    probe = Probe(mix, (1 << 14,), HOST)
    (launch,) = probe.program.launches
    entries = [m for m in moved(launch.kernel, launch.instances[0].domain) if max(m.read, m.written) > 8]
    kinds = [(m.read > 0, m.written > 0) for m in entries]
    found = tuple(kinds.count(kind) for kind in ((True, False), (True, True), (False, True)))
    assert found == MIXES[mix] and not probe.program.copies


def test_probes_share_their_arrays() -> None:
    pool = Pool(HOST)
    large, small = (Probe(next(iter(MIXES)), (n,), HOST, pool=pool) for n in (1000, 10))
    assert np.shares_memory(large.memory.arrays["weight0"], small.memory.arrays["weight0"])


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain.op)
def test_chains_compute_what_they_are_said_to(chain: Any) -> None:
    """A longer chain computes just so many more of its primitive and those beside it; and stays finite."""
    shapes, n = (3,), 4
    short, long = (Probe(chained(chain.step, k), shapes, HOST) for k in (n, 2 * n))
    counts = long.operations()
    counts.subtract(short.operations())
    found = {op: count // 3 // n // BESIDE for (op, _), count in counts.items() if count}
    wanted = dict.fromkeys((chain.op, *chain.beside), 0)
    for op in (chain.op, *chain.beside):
        wanted[op] += 1
    compared = {"lt": {"lt": 1, "where": 1}, "max": {"lt": 1, "where": 1}}.get(chain.op, {chain.op: 1})
    found.pop("sub", None) if "add" in chain.beside else None
    assert all(found.get(op) == k for op, k in compared.items()), found
    long.seconds(3)
    assert np.isfinite(long.memory.arrays["weight0"]).all()


def test_rows_apart() -> None:
    rows = rows_apart(1000, 100, 0)
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < 1000


# ---- seconds of streams


def test_streams_add_up() -> None:
    speed = Speed(1.0, 3.0, 2.0, beside=0.5)
    assert speed.seconds([Stream(10, 0)]) == 10
    assert speed.seconds([Stream(10, 10)]) == 30
    assert speed.seconds([Stream(0, 10)]) == 20
    assert speed.seconds([Stream(10, 0), Stream(0, 4)]) == 10 + 8 - 2
    near = replace(speed, levels=((100.0, 0.25), (10000.0, 1.0)))
    assert near.seconds([Stream(8, 8, apart=50)]) == 6
    assert near.seconds([Stream(8, 8, apart=1000)]) == pytest.approx(24 * 0.625)
    assert near.seconds([Stream(8, 8)]) == 24


def test_rows_that_lie_anywhere() -> None:
    speed = Speed(1.0, 3.0, 2.0, rows=(Row(64, 10, 20, 0.5), Row(256, 30, 40, 0.1)))
    gradient, table = Stream(64 * 7, 0, rows=7, listed=True), Stream(64 * 7, 64 * 7, rows=7)
    assert speed.seconds([gradient, table]) == 7 * 30
    assert speed.seconds([Stream(1024, 1024, rows=1)]) == 160  # four times the largest that was measured
    assert speed.seconds([Stream(128, 128, rows=1)]) == pytest.approx(30)
    assert speed.shown([table]) == 0.5 and speed.shown([Stream(8, 8)]) == 0


def test_interpolation() -> None:
    points = [(1.0, 0.0), (100.0, 1.0)]
    assert [interpolated(points, x) for x in (0.5, 1, 10, 100, math.inf)] == [0, 0, pytest.approx(0.5), 1, 1]

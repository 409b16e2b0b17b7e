"""`symopt doctor`, `bench` and `calibrate`: what they say of this machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from symopt import config
from symopt.cli import bench, calibrate, contests, doctor, samesteps, trials
from symopt.cli.contests import CONTESTS
from symopt.cli.main import main
from symopt.cli.trials import BROKEN, MISSING, TRIALS, WORKS, Result
from symopt.cost.bandwidth import Calibration, Speed
from symopt.errors import DependencyError, DeviceError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "cache"))
    yield
    config.set_num_threads(None)


# ---- doctor

ALWAYS = ("Python", "NumPy", "reference engine", "native engine", "bfloat16", "networkx", "cache folder")


@pytest.mark.parametrize("name", ALWAYS)
def test_what_every_installation_has_works(name: str) -> None:
    found = trials.attempt(name)
    assert found.state == WORKS and found.detail


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TRIALS) - set(ALWAYS) - {"GPU"}))
def test_what_some_have_works_or_says_what_to_install(name: str) -> None:
    found = trials.attempt(name)
    assert found.state == WORKS or (found.state == MISSING and "install" in found.detail)


def test_an_engine_that_computes_otherwise_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = samesteps.after_steps

    def wrong(engine: str, dtype: str) -> dict[str, Any]:
        found = steps(engine, dtype)
        if engine == "native":
            found["m"].view(np.uint32)[-1] ^= 1  # the last bit of the last element
        return found

    monkeypatch.setattr(samesteps, "after_steps", wrong)
    assert trials.attempt("native engine").state == BROKEN
    assert trials.attempt("native engine").detail == "m does not come out as on the reference engine"


@pytest.mark.parametrize(
    "error, state", [(DependencyError, MISSING), (DeviceError, MISSING), (trials.Broken, BROKEN)]
)
def test_errors_of_trials(error: type[Exception], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise error("why")

    monkeypatch.setitem(TRIALS, "Python", fail)
    assert trials.attempt("Python") == Result("Python", state, "why")


def test_steps_on_a_gpu_are_those_of_the_reference(emulated: None) -> None:
    assert samesteps.differing("gpu") == []


@pytest.mark.gpu
def test_a_gpu_works() -> None:
    assert trials.attempt("GPU").state == WORKS


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYMOPT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found = trials.attempt("cache folder")
    assert found.state == BROKEN and "SYMOPT_CACHE_DIR" in found.detail


@pytest.mark.parametrize("code, detail", [
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    ("raise ZeroDivisionError('oh')", "ZeroDivisionError: oh"),
    ("import sys; sys.exit(3)", "no message"),
    ("import time; time.sleep(60)", "no result in 0.5 seconds"),
])  # fmt: skip
def test_what_ends_its_process_is_broken(code: str, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHILD", code)
    monkeypatch.setattr(doctor, "SECONDS", 0.5 if "sleep" in code else 60)
    assert doctor.try_apart("Python") == Result("Python", BROKEN, detail)


def test_a_trial_apart_is_the_same_trial() -> None:
    assert doctor.try_apart("NumPy") == trials.attempt("NumPy")


def test_the_exit_status_is_that_of_the_native_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for broken, status in (("GPU", 0), ("native engine", 1)):
        states = {name: BROKEN if name == broken else WORKS for name in TRIALS}
        monkeypatch.setattr(
            doctor, "try_apart", lambda name, states=states: Result(name, states[name], "a\nb")
        )
        assert main(["doctor"]) == status
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(TRIALS)
        assert [line for line in lines if line.startswith("broken")] == [f"broken   {broken:<16}  a b"]
        assert main(["doctor", "--json"]) == status
        assert json.loads(capsys.readouterr().out)["works"] is (status == 0)
        main(["doctor", "--color", "always"])
        assert "\x1b[31mbroken" in capsys.readouterr().out


# ---- bench


@pytest.mark.parametrize("case", CONTESTS)
def test_contestants_compute_the_same(case: str) -> None:
    """The arrays are shared: a step of one from the same start comes out as the other's, but for rounding."""
    ours, theirs = (CONTESTS[case](True) for _ in range(2))
    ours.executor.forward()
    theirs.numpy()
    for which in ("arg_dict", "aux_dict"):
        mine, other = (getattr(contest.executor, which) for contest in (ours, theirs))
        for name, array in mine.items():
            if name[0] != "g":
                np.testing.assert_allclose(array, other[name], rtol=1e-5, atol=1e-7)


def test_each_round_counts_and_the_first_is_to_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 100.0, 1.0, 4.0, 3.0, 6.0, 2.0, 5.0])
    now = 0.0

    def call() -> None:
        nonlocal now
        now += next(seconds)

    monkeypatch.setattr("symopt.cli.contests.time.perf_counter", lambda: now)
    ticks: list[int] = []
    contest = contests.Contest("", SimpleNamespace(forward=call), call)  # type: ignore[arg-type]
    assert contests.measure(contest, 3, lambda: ticks.append(1)) == (2.0, 5.0)
    assert len(ticks) == 4


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "latency", "rows", "--quick", "--rounds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [line["case"] for line in found["cases"]] == ["latency", "rows"]
    for line in found["cases"]:
        assert line["seconds"] > 0 and line["bytes_a_second"] == pytest.approx(
            line["bytes"] / line["seconds"]
        )
        assert (
            line["ratio"] == pytest.approx(line["numpy_seconds"] / line["seconds"])
            and line["of_limit"] is None
        )
    assert found["cases"][0]["bytes"] == 28 * 1000


def test_the_table_of_bench() -> None:
    lines = [
        bench.Line("a", "one", 2e-3, 4e-3, 2.0, 4_000_000, 2e9, 0.5),
        bench.Line("b", "another", 2e-6, 1e-6, 0.5, 100, 5e7, None),
    ]
    assert bench._table(lines).splitlines()[:3] == [
        "         symopt  NumPy  faster    memory  of limit",
        "one        2 ms   4 ms    2.0x  2.0 GB/s       50%",
        "another    2 us   1 us    0.5x  0.1 GB/s         ?",
    ]


# ---- calibrate


def test_calibrate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []

    def measured(device: object) -> Calibration:
        seen.append(config.num_threads())
        return Calibration("a machine", {1: Speed(1e-10, 4e-10, 2e-10), 3: Speed(5e-11, 2e-10, 1e-10)})

    monkeypatch.setattr(calibrate, "calibrate", measured)
    assert main(["calibrate", "--threads", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a machine",
        "1 thread: 10.0 GB/s read, 5.0 GB/s read and written, 5.0 GB/s written",
        "3 threads: 20.0 GB/s read, 10.0 GB/s read and written, 10.0 GB/s written",
    ]
    assert seen == [3] and config.threads_set() is None
    assert main(["calibrate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threads"]["3"]["read"] == pytest.approx(2e10)

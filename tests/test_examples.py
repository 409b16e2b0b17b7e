"""The examples run and reach what they promise; the benchmarks run at small size."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_digits(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    main = runpy.run_path(str(ROOT / "examples" / "digits.py"))["main"]
    assert main() >= 0.965
    assert "test accuracy" in capsys.readouterr().out


def test_my_rule(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "my_rule.py"))["main"]()
    assert "the others are untouched" in capsys.readouterr().out


@pytest.mark.slow
def test_phase_retrieval(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    right, wrong = runpy.run_path(str(ROOT / "examples" / "phase_retrieval.py"))["main"]()
    assert right < 1e-6 and wrong > 0.5
    assert "{'m': 'complex128', 'v': 'float64'}" in capsys.readouterr().out


@pytest.mark.slow
def test_federated_server(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    found = runpy.run_path(str(ROOT / "examples" / "federated_server.py"))["main"]()
    assert min(found.values()) > 0.8 and max(found, key=lambda name: found[name]) != "FedAvg"
    assert "the same bits" in capsys.readouterr().out


@pytest.mark.slow
def test_word_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gensim")
    monkeypatch.setattr(sys, "argv", ["word_vectors.py", "--epochs", "3"])
    assert runpy.run_path(str(ROOT / "examples" / "word_vectors.py"))["main"]() >= 0.45


@pytest.mark.slow
def test_benchmarks_run() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    jobs = (
        "import",
        "bind + first step",
        "forward()",
        "clip + adam + average",
        "clip + adamw",
        "lamb",
        "mp_adam",
    )
    for job in (*jobs, "lazy adam", "group adagrad", "lazy group adagrad"):
        assert job in done.stdout

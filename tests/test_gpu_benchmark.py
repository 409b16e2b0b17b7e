"""The GPU benchmark, rehearsed on the emulator: every case runs and is right, and what is wrong is said to be."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"


def run(*options: Any, script: Path = SCRIPT) -> Any:
    command = [sys.executable, str(script), *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_every_case_runs_and_is_right(cxx: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    done = run("--selftest", "--reps", 2, "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    cases = import_module("gpu_cases").CASES
    assert {row["case"] for row in found["rows"] if row["name"] == "symopt"} == set(cases)
    assert all(row["error"] < 1e-5 and row["in_a_row_ms"] > 0 for row in found["rows"])
    assert set(found["info"]["first bind"]) == {"nothing compiled", "compiled before"}
    assert " 0 wrong" in done.stdout


@pytest.mark.slow
def test_tables_run_and_are_right(cxx: None) -> None:
    done = run("--selftest", "--reps", 1, script=SCRIPT.with_name("gpu_tables.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 wrong" in done.stdout and done.stdout.count("update") == 3


def test_what_is_wrong_is_found(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that does nothing, one that gives NaN, and one that writes to rows that no gradient lists."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    cases, check = import_module("gpu_cases"), import_module("gpu_check").check
    machine = import_module("gpu_machine").Emulated()
    for case in (cases.big(machine, True), cases.sparse(machine, True)):
        contender = case.contenders["symopt"]
        arrays = case.sets[0]
        first = "w0" if "w0" in arrays else "w"
        right = contender.make(machine, arrays)
        assert not check(machine, case, contender, right)[1]
        assert check(machine, case, contender, lambda t: None)[1]

        def spoiled(t: int, value: float = np.nan) -> None:
            right(t)  # noqa: B023  called before the next case
            arrays[first][...] *= value  # noqa: B023

        if first == "w":
            _, faults = check(machine, case, contender, lambda t: spoiled(t, 1.0 + 1e-7))
            assert "rows without a gradient changed" in faults
        error, faults = check(machine, case, contender, spoiled)
        assert error == float("inf") and faults


def test_without_a_gpu_it_says_so() -> None:
    try:
        import cupy

        if cupy.cuda.is_available():
            pytest.skip("this machine has a GPU")
    except ImportError:
        pass
    done = run()
    assert done.returncode == 0
    assert done.stdout.startswith("nothing measured: so.gpu(")

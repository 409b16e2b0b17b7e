"""Runs cases in another environment, through files; a case in which it dies is noted, and the others go on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

INSIDE = Path(__file__).parent / "inside"
SECONDS_A_CASE, SECONDS_TO_START = 20, 120


def call(interpreter: Path, script: str, *arguments: str, seconds: float) -> str:
    """Why the run of a script failed; empty if it did not."""
    command = [str(interpreter), "-W", "ignore", str(INSIDE / script), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s"
    if done.returncode < 0:
        return f"the process died of signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return (lines or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def run_all(
    interpreter: Path, script: str, folder: Path, names: Sequence[str], *more: str
) -> dict[str, dict[str, Any]]:
    """What the script tells of every case, with `results` from its arrays; `error` where it or the process failed.

    `more`: further arguments of the script.
    """
    for name in names:
        (folder / f"{name}.out.json").unlink(missing_ok=True)
    told: dict[str, dict[str, Any]] = {}
    todo = list(names)
    while todo:
        (folder / "todo").write_text("\n".join(todo))
        seconds = SECONDS_TO_START + SECONDS_A_CASE * len(todo)
        reason = call(interpreter, script, "run", str(folder), str(folder / "todo"), *more, seconds=seconds)
        done = [name for name in todo if (folder / f"{name}.out.json").exists()]
        told |= {name: _read(folder, name) for name in done}
        todo = todo[len(done) :]
        if todo:  # it died in the first of these
            told[todo.pop(0)] = {"error": reason or "nothing came back", "died": True, "results": {}}
    return told


def _read(folder: Path, name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / f"{name}.out.json").read_text())
    with np.load(folder / f"{name}.out.npz") as arrays:
        return told | {"results": dict(arrays)}

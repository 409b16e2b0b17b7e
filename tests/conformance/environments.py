"""Environments of the systems that symopt is compared with: one virtual environment each, made by pip, pinned.

None of them has symopt in it (but torch's, where symopt's own tests run): the two sides exchange files.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

PYTHON = "3.11"  # the newest that MXNet's NumPy exists for
MAKE_SECONDS = 1800


class Environment(NamedTuple):
    """Names of what to install, in runs of pip, and a module that must import afterwards."""

    name: str
    installs: tuple[tuple[str, ...], ...]
    module: str


ENVIRONMENTS = (
    Environment("mxnet1", (("mxnet==1.9.1", "numpy==1.23.5"),), "mxnet"),
    Environment("mxnet2", (("mxnet==2.0.0b1", "numpy==1.23.5"),), "mxnet"),
    # tf_keras asks for the package tensorflow: twice the size of tensorflow-cpu, and the same on a CPU.
    Environment(
        "keras",
        (
            ("tensorflow-cpu==2.21.0", "keras==3.15.1", "numpy==2.4.6", "jax==0.10.2"),
            ("--no-deps", "tf_keras==2.21.0"),
        ),
        "tf_keras",
    ),
    Environment(
        "torch",
        (("torch==2.13.0", "numpy", "llvmlite>=0.44", "ml_dtypes", "networkx", "pytest", "hypothesis"),),
        "torch",
    ),
)


class NoEnvironmentError(Exception):
    """An environment could not be made; says why."""


def find_python(given: str) -> str:
    """The interpreter to make environments with, which must be of the version that all of them have packages for."""
    path = shutil.which(given)
    if path is None:
        raise NoEnvironmentError(
            f"there is no {given} here: Python {PYTHON} is needed (CONFORMANCE_PYTHON=...)"
        )
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=60).stdout.strip()
    if version != PYTHON:
        raise NoEnvironmentError(
            f"{path} is Python {version or '?'}: {PYTHON} is needed (CONFORMANCE_PYTHON=...)"
        )
    return path


def make(environment: Environment, folder: Path, python: str) -> Path:
    """The interpreter of an environment in `folder`, made if it is not there as described."""
    home = folder / environment.name
    stamp, wanted = home / "made", repr(environment)
    interpreter = home / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return interpreter
    shutil.rmtree(home, ignore_errors=True)
    print(f"making {home}: {', '.join(p for run in environment.installs for p in run)}", flush=True)
    _run([find_python(python), "-m", "venv", str(home)])
    for packages in environment.installs:
        _run([str(interpreter), "-m", "pip", "install", "--quiet", *packages])
    _run([str(interpreter), "-W", "ignore", "-c", f"import {environment.module}"])
    stamp.write_text(wanted)
    return interpreter


def _run(command: list[str]) -> None:
    shown = " ".join(command)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_SECONDS)
    except subprocess.TimeoutExpired:
        raise NoEnvironmentError(f"not done after {MAKE_SECONDS} s: {shown}") from None
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reasons = [line for line in lines if "ERROR" in line or "Error" in line] or lines
        raise NoEnvironmentError(f"{shown}\n  " + "\n  ".join(reasons[-5:]))

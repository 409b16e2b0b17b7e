"""Files of arrays and states, there and back: MXNet's read by symopt, and written by symopt for MXNet to read."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from drive import call
from environments import NoEnvironmentError

sys.path.append(str(Path(__file__).parents[1]))

from told_files import differences, read, told_in, write

from symopt.errors import SymoptError

SCRIPT, SECONDS = "mxnet_files.py", 300


def check_files(interpreter: Path, work: Path, np_shape: bool | None) -> tuple[int, list[str]]:
    """How many files were exchanged, and what differs. `np_shape`: see `so.nd.save`."""
    theirs, ours = (work / f"files_of_{who}" for who in ("mxnet", "symopt"))
    for folder in (theirs, ours):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    _run(interpreter, "write", theirs)
    _run(interpreter, "tell", theirs)
    told, arrays = told_in(theirs)
    found: list[str] = []
    for name in told:
        try:
            value = read(theirs / name)
            found += differences(value, told[name], arrays, name)
            write(ours / name, value, np_shape)
        except SymoptError as error:
            found.append(f"{name}: {error}")
    _run(interpreter, "tell", ours)
    return len(told), [*found, *_compare(theirs, ours)]


def _compare(theirs: Path, ours: Path) -> Iterator[str]:
    """What MXNet finds in symopt's files and not in its own, or the other way round; .params agree to the byte."""
    (before, first), (after, second) = told_in(theirs), told_in(ours)
    for name in before:
        if before[name] != after.get(name):
            yield f"{name}, written by symopt: {before[name]} in MXNet's, {after.get(name)} in symopt's"
        elif name.endswith(".params") and (theirs / name).read_bytes() != (ours / name).read_bytes():
            yield f"{name}, written by symopt: other bytes"
    for key, array in first.items():
        if key not in second or array.tobytes() != second[key].tobytes():
            yield f"{key}, written by symopt: other elements"


def _run(interpreter: Path, mode: str, folder: Path) -> None:
    reason = call(interpreter, SCRIPT, mode, str(folder), seconds=SECONDS)
    if reason:
        raise NoEnvironmentError(f"MXNet cannot {mode} files: {reason}")

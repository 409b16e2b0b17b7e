"""The code in pages of documentation: read, run in order, and compared with the output that is shown.

    python                  run; `print(...)  # -> text` says a line that it prints
    python gpu              run where there is a GPU, and on emulated ones
    python torch            run where torch is
    python ray              run where Ray is
    console                 lines that begin with `$ ` are run by a shell, below each what it prints, if shown
    output                  all that the block before it printed
    ... not run: REASON     neither run nor compared
    no mark, or another     no code: formulas, files, trees

In what is shown, `...` stands for anything, and lines may be broken elsewhere. The blocks of a page share names
and a folder.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from symopt import NameManager

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^(?P<ticks>```+)(?P<info>.*)\n(?P<text>(?s:.*?))^(?P=ticks)[ ]*$", re.M)
SAID = re.compile(r"print\(.*\)  # -> (.*)$", re.M)
NOT_RUN = re.compile(r"not run: (?=.*\w)")
COMMAND = "import sys; from symopt.cli.main import main; sys.exit(main())"
NEEDS = ("gpu", "torch", "ray")
RUN = {"python", "console", "output"}
SHOWN = {"", "dot", "html", "json", "latex", "llvm", "text", "toml", "xml"}


class Block(NamedTuple):
    """A fenced block: its kind, the mark after the kind, its text, and the line where that begins."""

    kind: str
    mark: str
    text: str
    line: int

    @property
    def is_run(self) -> bool:
        """Whether there is anything to run or to compare."""
        return self.kind in RUN and not NOT_RUN.match(self.mark)


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, which must be of a known kind and mark."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        kind, _, mark = found["info"].strip().partition(" ")
        line = text.count("\n", 0, found.start("text")) + 1
        known = not mark or NOT_RUN.match(mark) or (kind == "python" and mark in NEEDS)
        if kind not in RUN | SHOWN or not known:
            raise AssertionError(f"{page.name}:{line}: what is ```{found['info']}? See tests/pages.py")
        yield Block(kind, mark, found["text"], line)


def run_blocks(page: Path, where: Path, wanted: Callable[[Block], bool]) -> int:
    """Run the blocks of a page that are wanted, in the folder `where`; all must at least be Python. How many were."""
    names: dict[str, object] = {"__name__": "example"}
    printed, ran = "", 0
    machine = mock.patch.dict(os.environ, {"SYMOPT_CACHE_DIR": os.fspath(where / ".cache")})
    with contextlib.chdir(where), NameManager(), machine:  # names count from 0, and no machine was measured
        for block in blocks_of(page):
            at = f"{page.name}:{block.line}"
            code = _compiled(page, block)
            if not block.is_run or not wanted(block):
                continue
            ran += 1
            if block.kind == "output":
                _compare(at, block.text, printed)
            elif code is None:
                _run_commands(at, block.text, where)
            else:
                printed = _run_python(code, names)
                for expected in SAID.findall(block.text):
                    assert expected in printed.splitlines(), f"{at}: {expected!r} is not among\n{printed}"
    return ran


def _compiled(page: Path, block: Block) -> object:
    if block.kind != "python":
        return None
    return compile("\n" * (block.line - 1) + block.text, os.fspath(page), "exec")


def _run_python(code: object, names: dict[str, object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)  # type: ignore[arg-type]
    return printed.getvalue()


def _run_commands(at: str, text: str, where: Path) -> None:
    """Commands, each with the lines below it; one that fails must show what it says."""
    _, *commands = re.split(r"^\$ ", text, flags=re.M)
    assert commands, f"{at}: no line begins with `$ `"
    for entry in commands:
        command, _, expected = entry.partition("\n")
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=where, env=_environment(where), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if expected.strip():
            _compare(f"{at}: {command}", expected, done.stdout)
        else:
            assert done.returncode == 0, f"{at}: {command}\n{done.stdout}"


def _environment(where: Path) -> dict[str, str]:
    """That of a shell in which this checkout is installed: `symopt` and `python` are found, and draw no colours."""
    programs = where / ".programs"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("symopt", f"-c '{COMMAND}' "), ("python", "")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        script.chmod(0o755)
    path = os.pathsep.join([os.fspath(programs), os.environ["PATH"]])
    python_path = os.pathsep.join(filter(None, [os.fspath(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": python_path,
        "NO_COLOR": "1",
        "SYMOPT_CACHE_DIR": os.fspath(where / ".cache"),  # what was measured on this machine does not show
        "COLUMNS": "100",
        "LC_ALL": "C.UTF-8",
    }


def _compare(at: str, expected: str, printed: str) -> None:
    parts = [r"\s+".join(map(re.escape, part.split())) for part in expected.split("...")]
    wanted = r"\s*.*\s*".join(parts)
    assert re.fullmatch(wanted, printed.strip(), re.S), f"{at}: shown is\n{expected}\nbut it says\n{printed}"

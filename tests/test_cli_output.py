"""What leaves the command line: plain data as JSON, text without control characters, files, bars."""

import io
import json
import math
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from symopt import config
from symopt.cli import output, progress
from symopt.cli.progress import Progress, waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=found))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return found


class Pair(NamedTuple):
    first: float
    second: object


VALUES = [
    (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (np.float32(0.5), 0.5), (np.int64(3), 3), (True, True),
    (np.float64("inf"), "inf"), ((1, (2,)), [1, [2]]), ({1: None}, {"1": None}), (Path("a"), "a"),
    (Pair(1.0, math.nan), {"first": 1.0, "second": "nan"}),
]  # fmt: skip


@pytest.mark.parametrize("value, wanted", VALUES, ids=str)
def test_json(value: Any, wanted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json(value)
    text = capsys.readouterr().out
    assert json.loads(text, parse_constant=pytest.fail) == wanted and text.isascii()


@pytest.mark.parametrize("text, wanted", [
    ("a\x1b[2J", r"a\x1b[2J"), ("\x9b2J", r"\x9b2J"), ("\u202eb", r"\u202eb"), ("√ · x'\n\ty", "√ · x'\n\ty"),
    ("\x00\x7f\r", r"\x00\x7f\r"), ("\u2028", r"\u2028"), ("\udcff", r"\udcff"), ("\U000e0001", r"\U000e0001"),
])  # fmt: skip
def test_printable(text: str, wanted: str) -> None:
    assert output.printable(text) == wanted
    assert "\n" not in output.printable("a\nb", keep="")


def test_a_message_of_several_lines_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    output.complain("one\nsymopt: error: two")
    assert capsys.readouterr().err == "symopt: error: one\n  symopt: error: two\n"


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    def wants(stream: io.StringIO, **arguments: str) -> bool:
        return output.wants_color(Namespace(**arguments), stream)

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants(Terminal()) and not wants(io.StringIO())
    assert wants(io.StringIO(), color="always") and not wants(Terminal(), color="never")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants(Terminal()) and wants(Terminal(), color="always")
    monkeypatch.setenv("NO_COLOR", "")  # empty is as if it were not there
    assert wants(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert config.no_color() and not wants(Terminal())


def test_a_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("before")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), output.output_file(str(path)) as file:
            file.write(b"half")
            raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    with output.output_file(str(path)) as file:
        file.write(b"after")
    assert path.read_text() == "after" and list(tmp_path.iterdir()) == [path]


# ---- bars


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def steps(clock: Clock, seconds: float, count: int = 4, color: str = "never") -> None:
    with Progress("steps", count, Namespace(color=color), clock) as bar:
        for _ in range(count):
            clock.now += seconds
            bar.advance()


def test_what_takes_less_than_a_second_has_no_bar(terminal: Terminal) -> None:
    steps(Clock(), 0.2)
    assert terminal.getvalue() == ""


def test_a_plain_bar_is_drawn_and_wiped_off(terminal: Terminal) -> None:
    steps(Clock(), 0.6)
    drawn = terminal.getvalue().split("\r")
    full = progress.WIDTH // 2
    assert drawn[1] == f"steps [{'#' * full}{'.' * full}] 2/4"
    assert drawn[-3].endswith("4/4") and drawn[-2].strip() == "" and drawn[-1] == ""
    assert "\x1b" not in terminal.getvalue()


def test_a_bar_of_rich(terminal: Terminal) -> None:
    pytest.importorskip("rich")
    steps(Clock(), 0.6, color="always")
    assert "steps" in terminal.getvalue() and "100%" in terminal.getvalue()


def test_without_rich_the_plain_one(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    steps(Clock(), 0.6, color="always")
    assert "4/4" in terminal.getvalue()


def test_no_bar_but_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    steps(Clock(), 9.0)
    with waiting("measuring", Namespace()):
        pass
    assert capsys.readouterr() == ("", "")


def test_waiting_counts_seconds(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.001)
    with waiting("measuring", Namespace()):
        deadline = time.monotonic() + 60
        while "measuring ... 0 s" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.001)
    assert terminal.getvalue().split("\r")[-2].strip() == ""

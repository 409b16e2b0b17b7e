"""A bar on the terminal for what takes longer than a second."""

from __future__ import annotations

import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol

from .output import wants_color

PATIENCE = 1.0  # seconds without a bar
PAUSE = 0.1  # between two drawings of it
WIDTH = 30


class Progress:
    """Counts to `total`, and draws a bar on standard error, if that is a terminal, once a second has passed.

    >>> with Progress("steps", 3, Namespace()) as progress:
    ...     for _ in range(3):
    ...         progress.advance()
    """

    def __init__(
        self, label: str, total: int, arguments: Namespace, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label, self.total, self.done = label, total, 0
        self._arguments = arguments
        self._clock = clock
        self._next = clock() + PATIENCE if sys.stderr.isatty() else float("inf")
        self._bar: _Bar | None = None

    def advance(self, count: int = 1, label: str = "") -> None:
        """`count` more are done, and what is being done now."""
        self.done += count
        self.label = label or self.label
        if self._clock() < self._next:
            return
        self._next = self._clock() + PAUSE
        if self._bar is None:
            self._bar = _make_bar(self._arguments)
        self._bar.draw(self.label, self.done, self.total)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.remove()


@contextmanager
def waiting(label: str, arguments: Namespace) -> Iterator[None]:
    """Shows how many seconds something takes that does not count, on a terminal once a second has passed."""
    ended = threading.Event()

    def draw() -> None:
        bar, start = _PlainBar(), time.monotonic()
        while not ended.wait(PATIENCE):
            bar.write(f"{label} ... {time.monotonic() - start:.0f} s")
        bar.remove()

    if not sys.stderr.isatty():
        yield
        return
    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Bar(Protocol):
    def draw(self, label: str, done: int, total: int) -> None: ...

    def remove(self) -> None: ...


def _make_bar(arguments: Namespace) -> _Bar:
    if wants_color(arguments, sys.stderr):
        try:
            return _RichBar()
        except ImportError:
            pass
    return _PlainBar()


class _PlainBar:
    """A line that is written over."""

    def __init__(self) -> None:
        self._width = 0

    def draw(self, label: str, done: int, total: int) -> None:
        full = WIDTH * done // max(total, 1)
        self.write(f"{label} [{'#' * full}{'.' * (WIDTH - full)}] {done}/{total}")

    def remove(self) -> None:
        self.write("")
        sys.stderr.write("\r")
        sys.stderr.flush()

    def write(self, text: str) -> None:
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)


class _RichBar:
    """The same by `rich`. ImportError without it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars

        self._bars: Any = Bars(console=Console(file=sys.stderr), transient=True)
        self._bars.start()
        self._task = self._bars.add_task("", total=1)

    def draw(self, label: str, done: int, total: int) -> None:
        from rich.markup import escape

        self._bars.update(self._task, description=escape(label), completed=done, total=total)

    def remove(self) -> None:
        self._bars.stop()

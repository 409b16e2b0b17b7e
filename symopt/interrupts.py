"""Work that no interrupt may split: a signal that comes meanwhile waits until it is done."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # numbers without names, whose search costs more than all else
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

# Those that programs handle by raising something: Ctrl-C, the end of a job, time limits.
_NAMES = (
    "SIGINT",
    "SIGTERM",
    "SIGALRM",
    "SIGVTALRM",
    "SIGPROF",
    "SIGHUP",
    "SIGQUIT",
    "SIGUSR1",
    "SIGUSR2",
    "SIGBREAK",
)
_SIGNALS = tuple(int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name))


class uninterrupted:  # noqa: N801  read as a verb: with uninterrupted():
    """What is done within is not split by the handler of a signal. Signals are handled when it is left, in the order in
    which they first came, each once; a handler may then raise, and all within is done.

    Python runs handlers in the main thread only, so in others this does nothing. Nothing that may take for ever, and no
    function of the user's, belongs within. It costs one or two microseconds; within another, one.
    """

    __slots__ = ("_before", "_came")

    def __enter__(self) -> None:
        handler_of = _signal.getsignal
        self._before: list[tuple[int, Handler]] = []
        self._came: list[int] = []
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = handler_of(number)
            # SIG_DFL is 0; a signal that waits for work around this one need not wait for this too
            if (
                handler
                and callable(handler)
                and type(getattr(handler, "__self__", None)) is not uninterrupted
            ):
                self._before.append((number, handler))
        held = 0
        try:
            for number, _ in self._before:  # which first runs the handlers of signals that have come
                _signal.signal(number, self._note)
                held += 1
        except BaseException:
            self._before = self._before[:held]
            self._back()
            raise

    def __exit__(self, *raised: object) -> None:
        self._back()
        self._raise()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number not in self._came:
            self._came.append(number)

    def _back(self) -> None:
        """Let all handlers be what they were; one that raises meanwhile does not keep the others from it."""
        if self._before:
            number, handler = self._before.pop()
            try:
                _signal.signal(number, handler)
            finally:
                self._back()

    def _raise(self) -> None:
        if self._came:
            number = self._came.pop(0)
            try:
                signal.raise_signal(number)
            finally:
                self._raise()

"""Work that no interrupt may split: a signal that comes meanwhile waits until it is done."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # numbers without names, whose search costs more than all else
import signal
import sys
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

    # A handler may raise between any two steps of what takes its place and of what gives it back, so all of that can be
    # done again. Where two raise at once and a note stays in the place of a handler, it hands on.
    __slots__ = ("_before", "_came", "_notes")

    def __enter__(self) -> None:
        self._before: dict[int, Handler] = {}
        self._came: list[int] = []
        self._notes = threading.current_thread() is threading.main_thread()
        if not self._notes:
            return
        handler_of = _signal.getsignal
        for number in _SIGNALS:
            handler = handler_of(number)
            if handler and callable(handler):  # SIG_DFL is 0
                around = getattr(handler, "__self__", None)
                if type(around) is not uninterrupted:
                    self._before[number] = handler
                elif not around._notes:
                    self._before[number] = around._before[number]
                # else it waits for work around this one, and need not wait for this too
        try:
            for number in self._before:
                _signal.signal(number, self._note)  # which first runs the handlers of signals that have come
        except BaseException:
            self._notes = False
            self._leave()
            raise

    def __exit__(self, *raised: object) -> None:
        if self._notes:
            self._leave()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._notes:
            handler = self._before[number]
            _signal.signal(number, handler)
            handler(number, frame)
        elif number not in self._came:
            self._came.append(number)

    def _leave(self) -> None:
        """Let all handlers be what they were, and handle what came; one that raises keeps no other from it."""
        try:
            self._notes = False  # not sooner: what notes hand on may raise
            for number, handler in self._before.items():
                if _signal.getsignal(number) == self._note:
                    _signal.signal(number, handler)
            while self._came:
                # of a caller: a frame that has itself among its variables stays, with all behind it, till a collection
                number, frame = self._came[0], sys._getframe(1)
                handler = _signal.getsignal(number)
                is_callable = callable(handler)
                del self._came[0]
                if is_callable:  # called, since to raise the signal would tell an event loop of it once more
                    handler(number, frame)
                else:
                    signal.raise_signal(number)
        except BaseException:
            self._leave()
            raise

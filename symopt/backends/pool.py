"""Threads that share out the chunks of a large launch.

A helper waits on a lock: waking it costs a few microseconds, where a queue or a future costs ten times that. When
the helpers are busy for another executor, the caller does the work alone.
"""

from __future__ import annotations

import os
import threading

from ..interrupts import uninterrupted
from .jit import Entry


class _Helper(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="symopt", daemon=True)
        self.free = threading.Lock()  # held by whoever uses this helper
        self.go = threading.Lock()
        self.done = threading.Lock()
        self.go.acquire()
        self.done.acquire()
        self.task: tuple[Entry, int, int] | None = None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            assert self.task is not None
            function, job, scratch = self.task
            function(job, scratch)
            self.done.release()


_helpers: list[_Helper] = []
_growing = threading.Lock()


def _forget() -> None:
    """A forked child has the list of helpers but not their threads."""
    global _growing
    _helpers.clear()
    _growing = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def run_shared(function: Entry, job: int, scratch: list[int]) -> None:
    """Call function(job, scratch[k]) on up to len(scratch) threads at once; returns when all have returned."""
    wanted = len(scratch) - 1
    if len(_helpers) < wanted:
        with _growing:
            while len(_helpers) < wanted:
                _helpers.append(_Helper())
    with uninterrupted():  # while a helper runs, nobody may let go of what it works on
        _run_on(_helpers, wanted, function, job, scratch)


def _run_on(helpers: list[_Helper], wanted: int, function: Entry, job: int, scratch: list[int]) -> None:
    mine: list[_Helper] = []
    try:
        for helper in helpers:
            if len(mine) == wanted:
                break
            if helper.free.acquire(blocking=False):
                helper.task = (function, job, scratch[len(mine) + 1])
                mine.append(helper)
                helper.go.release()
        function(job, scratch[0])
    finally:
        for helper in mine:
            helper.done.acquire()
            helper.free.release()

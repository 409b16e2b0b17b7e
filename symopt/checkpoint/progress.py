"""How far a save or load is, told to the caller or printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Tell = Callable[[int, int], object]
_QUIET = 1.0  # seconds before the first line, and between lines
_MB = 1_000_000


class Progress:
    """Counts bytes. `progress`: a function of bytes done and bytes in all, True for a line on stderr, or None."""

    def __init__(self, progress: Tell | bool | None, total: int, what: str) -> None:
        self._tell = _printer(what) if progress is True else progress or None
        self._done, self._total = 0, total

    def add(self, count: int) -> None:
        self._done += count
        if self._tell is not None:
            self._tell(self._done, self._total)


def _printer(what: str) -> Tell:
    next_line = time.monotonic() + _QUIET

    def tell(done: int, total: int) -> None:
        nonlocal next_line
        now = time.monotonic()
        if now >= next_line:
            next_line = now + _QUIET
            print(f"{what}: {done // _MB:,} of {total // _MB:,} MB", file=sys.stderr, flush=True)

    return tell

"""Memory that calls work in: the first write to each page of new memory takes longer than what a call does with it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_MOST = 1 << 22  # bytes that are kept of each use and thread


class _Kept(threading.local):
    def __init__(self) -> None:
        self.by_use: dict[str, Bytes] = {}


_kept = _Kept()


class scratch:  # noqa: N801  read as a verb: with scratch(...) as memory
    """`n_bytes` or more, which hold anything; what this thread had last for this use, if that is enough."""

    __slots__ = ("memory", "n_bytes", "use")

    def __init__(self, use: str, n_bytes: int) -> None:
        self.use, self.n_bytes = use, n_bytes

    def __enter__(self) -> Bytes:
        memory = _kept.by_use.pop(self.use, None)  # gone meanwhile: a signal's handler may want some too
        if memory is None or len(memory) < self.n_bytes:
            memory = np.empty(self.n_bytes, np.uint8)
        self.memory = memory
        return memory

    def __exit__(self, *raised: object) -> None:
        if len(self.memory) <= _MOST:
            _kept.by_use[self.use] = self.memory

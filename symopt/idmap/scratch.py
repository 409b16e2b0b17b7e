"""Memory that calls work in: the first write to each page of new memory takes longer than what a call does with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_MOST = 1 << 22  # bytes that are kept of each use and thread


class _Kept(threading.local):
    def __init__(self) -> None:
        self.by_use: dict[str, Bytes] = {}


_kept = _Kept()


@contextmanager
def scratch(use: str, n_bytes: int) -> Iterator[Bytes]:
    """`n_bytes` or more, which hold anything; what this thread had last for this use, if that is enough."""
    memory = _kept.by_use.pop(use, None)  # gone meanwhile: a signal's handler may want some too
    if memory is None or len(memory) < n_bytes:
        memory = np.empty(n_bytes, np.uint8)
    yield memory
    if len(memory) <= _MOST:
        _kept.by_use[use] = memory

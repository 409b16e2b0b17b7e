"""The lock of a table on disk, which refuses whoever comes when the table can't be used."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from ...errors import TooLateError


class TableLock:
    """`why_not`: says why the table can't be used, or nothing."""

    def __init__(self, path: str, why_not: Callable[[], str]) -> None:
        self._path, self._why_not = path, why_not
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._check()  # in a fork, the lock may be held by a thread that is not there
        self._lock.acquire()
        try:
            self._check()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def even_so(self) -> AbstractContextManager[bool]:
        """The same lock, for who comes even when the table can't be used; in a fork it may never be let go."""
        return self._lock

    def _check(self) -> None:
        if reason := self._why_not():
            raise TooLateError(f"{self._path}: {reason}; open it anew")

"""Tables in processes that fork: a fork waits for other threads' batches, so that no copy has half of one."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from .core import Core

_tables: WeakSet[Core] = WeakSet()  # in memory; those on disk refuse to be used in a fork
_changing = threading.Lock()
_held: list[Core] = []


def watch(table: Core) -> None:
    """Have forks wait for this table's batches."""
    with _changing:
        _tables.add(table)


def _hold() -> None:
    """Take all locks, in the order in which a batch of several tables takes them."""
    _changing.acquire()
    _held[:] = sorted(_tables, key=lambda table: id(table._lock))
    for table in _held:
        table._lock.acquire()


def _release() -> None:
    while _held:
        _held.pop()._lock.release()
    _changing.release()


os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_release)

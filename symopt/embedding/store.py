"""Where the records of a table lie: one block of memory that grows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..records.layout import ABSENT, UPDATES, Layout

Array = npt.NDArray[Any]
GROWTH = 1.5


class RowStore(Protocol):
    """Records by slot, wherever they are kept: what `Table(store=...)` makes of a layout.

    `records`: (capacity, stride) bytes of memory, where rows are read and written in place; `columns`: a view of each
    of its columns (`layout.views`). Both are made anew when there is more room. Slots are given densely from 0 on. On a
    device each column is an array of its own, and `records` are the columns.

    A store whose rows are elsewhere has them in `records` when `fetch` returns, and knows from `changing` which it has
    to take back: it may give its memory up for those that are neither.
    """

    layout: Layout
    records: Any
    columns: Mapping[str, Array]

    def reserve(self, n: int) -> None:
        """Have room for `n` records. MemoryError or OSError, and nothing is changed, if there is none."""

    def fetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Have these records, which are used next, in memory."""

    def changing(self, slots: npt.NDArray[np.int64]) -> None:
        """These records are about to be written, in place."""

    def prefetch(self, slots: npt.NDArray[np.int64]) -> None:
        """A hint that these records are wanted soon."""

    def memory_bytes(self) -> int:
        """Bytes of memory that are taken, whether rows are in them or not."""


class MemoryStore:
    """Records in memory."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._take(np.zeros((0, layout.stride), np.uint8))

    def _take(self, records: npt.NDArray[np.uint8]) -> None:
        columns: Mapping[str, Array] = self.layout.views(records)
        self.records, self.columns = records, columns  # at once: an interrupt comes before or after

    def reserve(self, n: int) -> None:
        """Have room for `n` records. MemoryError, and nothing is changed, if there is none."""
        capacity = len(self.records)
        if n <= capacity:
            return
        larger = np.zeros((max(n, int(capacity * GROWTH)), self.layout.stride), np.uint8)
        larger[:capacity] = self.records
        self._take(larger)

    def fetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in memory."""

    def changing(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: that is where they are kept."""

    def prefetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in memory."""

    def memory_bytes(self) -> int:
        """Bytes of memory that are taken, whether rows are in them or not."""
        return self.records.nbytes


def vacate(store: RowStore, slots: npt.NDArray[np.int64]) -> None:
    """Mark records as no rows."""
    store.fetch(slots)
    store.changing(slots)
    store.columns[UPDATES][slots] = ABSENT

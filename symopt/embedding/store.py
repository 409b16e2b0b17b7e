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
    """Records by slot. `records`: what graphs run on, (capacity, stride) bytes; or columns, on a device. `columns`: a
    view of each column. Both are made anew when it grows."""

    layout: Layout
    records: Any
    columns: Mapping[str, Array]

    def reserve(self, n: int) -> None:
        """Have room for `n` records. MemoryError or OSError, and nothing is changed, if there is none."""

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
        self.records = records
        self.columns: Mapping[str, Array] = self.layout.views(records)

    def reserve(self, n: int) -> None:
        """Have room for `n` records. MemoryError, and nothing is changed, if there is none."""
        capacity = len(self.records)
        if n <= capacity:
            return
        larger = np.zeros((max(n, int(capacity * GROWTH)), self.layout.stride), np.uint8)
        larger[:capacity] = self.records
        self._take(larger)

    def prefetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in memory."""

    def memory_bytes(self) -> int:
        """Bytes of memory that are taken, whether rows are in them or not."""
        return self.records.nbytes


def vacate(store: RowStore, slots: npt.NDArray[np.int64]) -> None:
    """Mark records as no rows."""
    store.columns[UPDATES][slots] = ABSENT

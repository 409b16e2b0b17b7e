"""Where the rows of a table on a device lie: each column an array of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..places import Place
from ..records.layout import Column, Layout
from .store import GROWTH

Array = npt.NDArray[Any]


class DeviceStore:
    """Columns (capacity, width) on a device; those of the header (capacity,) on the host, and those of `kept` too.

    Threads next to each other read numbers next to each other, of one column at a time. The host keeps what it decides
    by: which rows expire or leave, how old a row is, how much decay it has missed, and its id, which random numbers are
    made of. To ask the device would mean to wait for it at every step.
    """

    def __init__(self, layout: Layout, place: Place, kept: frozenset[str] = frozenset()) -> None:
        self.layout, self.place = layout, place
        self._kept = kept
        self._capacity = 0
        self._take({column.name: self._made(column, 0) for column in layout.columns.values()})

    def _take(self, columns: Mapping[str, Array]) -> None:
        self.columns = self.records = columns

    def _made(self, column: Column, n: int) -> Array:
        if "/" not in column.name:
            return np.zeros(n, column.numpy)
        make = np.zeros if column.name in self._kept else self.place.zeros
        return make((n, column.width), column.numpy)

    def reserve(self, n: int) -> None:
        """Have room for `n` rows. DeviceMemoryError or MemoryError if there is none: no row is changed then."""
        if n <= self._capacity:
            return
        capacity = max(n, int(self._capacity * GROWTH))
        with self.place.current():
            for column in self.layout.columns.values():
                self._grow(column, capacity)
        self._capacity = capacity

    def _grow(self, column: Column, capacity: int) -> None:
        """One column at a time, so that only one is there twice. If there is no room for the next, this one is longer
        than others for a while."""
        old = self.columns[column.name]
        if len(old) < capacity:
            larger = self._made(column, capacity)
            larger[: self._capacity] = old[: self._capacity]
            self._take({**self.columns, column.name: larger})

    def fetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in the device's memory."""

    def changing(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: that is where they are kept."""

    def prefetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in the device's memory."""

    def memory_bytes(self) -> int:
        """Bytes that are taken on the device and on the host, whether rows are in them or not."""
        return sum(column.nbytes for column in self.columns.values())

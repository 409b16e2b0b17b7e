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
    """Columns (capacity, width) on a device; those of the header (capacity,), and what decay has done to rows, on the
    host.

    Threads next to each other read numbers next to each other, of one column at a time. The host keeps what it decides
    by: which rows expire or leave, which random numbers a new row has, how old a row is. Asking the device would mean to
    wait for it at every step.
    """

    def __init__(self, layout: Layout, place: Place, kept: frozenset[str] = frozenset()) -> None:
        self.layout, self.place = layout, place
        self._kept = kept  # columns with rows of numbers that no graph reads
        self._capacity = 0
        self.columns: Mapping[str, Array] = {c.name: self._made(c, 0) for c in layout.columns.values()}

    @property
    def records(self) -> Mapping[str, Array]:
        """What graphs run on."""
        return self.columns

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
        columns = dict(self.columns)
        with self.place.current():
            for column in self.layout.columns.values():
                # One by one, so that only one is there twice. If the next finds no room, this one is longer than the
                # others, and no row is anywhere else.
                if len(columns[column.name]) < capacity:
                    larger = self._made(column, capacity)
                    larger[: self._capacity] = columns[column.name][: self._capacity]
                    columns[column.name] = larger
                    self.columns = dict(columns)
        self._capacity = capacity

    def prefetch(self, slots: npt.NDArray[np.int64]) -> None:
        """Nothing: they are in the device's memory."""

    def memory_bytes(self) -> int:
        """Bytes that are taken on the device and on the host, whether rows are in them or not."""
        return sum(column.nbytes for column in self.columns.values())

"""Where the rows of a serving table are: mapped from its files, or in memory, where they can be changed."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..errors import DamagedError
from ..idmap import IdMap
from .batches import Ids
from .frozen import FrozenIndex

_LEAST = 64  # rows that there is room for at first


class Mapped:
    """Rows (n, stride) of bytes and their index, read where they lie in files."""

    def __init__(self, index: FrozenIndex, codes: Array, what: str) -> None:
        self.index, self.codes, self._what = index, codes, what

    def __len__(self) -> int:
        return len(self.codes)

    def find(self, ids: Ids) -> Ids:
        """The rows of ids, -1 where one is missing. DamagedError where the index gives a row that is none."""
        rows = self.index.find(ids)
        if rows.max(initial=-1) >= len(self.codes):
            raise DamagedError(f"{self._what}: its index is damaged; load_serving(verify='full') says where")
        return rows

    def ids(self) -> Ids:
        """All ids, in order of their rows."""
        found = np.empty(len(self), np.int64)
        found[self._rows()] = self.index.ids
        return found

    def slots(self) -> Ids:
        """The rows, as `ids` has them."""
        return np.arange(len(self))

    def memory_bytes(self) -> int:
        return int(self.codes.nbytes + self.index.nbytes)

    def _rows(self) -> Array:
        rows, n = self.index.rows, len(self)
        if rows.max(initial=0) >= max(n, 1) or (np.bincount(rows, minlength=n) != 1).any():
            raise DamagedError(f"{self._what}: its index is damaged: it does not have each row once")
        return rows


class Held:
    """The same in memory: rows may be added, changed and taken out."""

    def __init__(self, mapped: Mapped) -> None:
        self.map = IdMap(reserve=len(mapped))
        if len(self.map.get_or_insert(mapped.ids()).new_ids) < len(mapped):
            raise DamagedError(f"{mapped._what}: its index is damaged: it has an id twice")
        self.codes = np.empty((max(len(mapped), _LEAST), mapped.codes.shape[1]), np.uint8)
        self.codes[: len(mapped)] = mapped.codes

    def __len__(self) -> int:
        return len(self.map)

    def find(self, ids: Ids) -> Ids:
        """The rows of ids, -1 where one is missing."""
        return self.map.get(ids)

    def ids(self) -> Ids:
        """All ids, in order of their rows."""
        return self.map.ids()

    def slots(self) -> Ids:
        """The rows in use, as `ids` has them."""
        return self.map.slots()

    def make_room(self, ids: Ids) -> None:
        """All the memory that `put` of these ids needs; so a batch is written whole or not at all."""
        n_missing = len(self.map.missing(ids))
        if not n_missing:
            return
        self.map.reserve(len(self.map) + n_missing)
        n_rows = self.map.n_slots + n_missing
        if n_rows > len(self.codes):
            grown = np.empty((max(n_rows, len(self.codes) * 3 // 2), self.codes.shape[1]), np.uint8)
            grown[: len(self.codes)] = self.codes
            self.codes = grown

    def put(self, ids: Ids, codes: Array) -> None:
        """Write rows of ids, each once, for which there is room."""
        self.codes[self.map.get_or_insert(ids).slots] = codes

    def remove(self, ids: Ids) -> None:
        """Take ids out."""
        self.map.remove(ids)

    def memory_bytes(self) -> int:
        return int(self.codes.nbytes + self.map.memory_bytes())

"""The slot of an id, and numbers that are told slot by slot: thresholds, days."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..idmap.given import as_ids
from .options import whole

SLOTS = 1 << 15  # the bits of a slot: 15, below the sign
_SHIFT = np.uint64(48)
_MASK = np.uint64(SLOTS - 1)

Ids = npt.NDArray[np.int64]


def slot_of(ids: npt.ArrayLike) -> Ids:
    """The slot (feature) that each id belongs to: bits 48 to 62 of the id, 0 to 32767.

    Monolith's ids of version 2. The sign is no part of it: -1 has slot 32767.

    >>> slot_of([5, 3 << 48, -1]).tolist()
    [0, 3, 32767]
    """
    return ((as_ids(ids).view(np.uint64) >> _SHIFT) & _MASK).view(np.int64)


class PerSlot:
    """A number that is the same for all ids but those of some slots.

    >>> PerSlot("threshold", 3, {1: 0}).of(np.array([7, 1 << 48])).tolist()
    [3, 0]
    """

    def __init__(self, what: str, default: int, by_slot: Mapping[int, int] | None, most: int = 2**62) -> None:
        self.default = whole(what, default, 0, most)
        self.by_slot = {
            whole("slot", slot, 0, SLOTS - 1): whole(f"{what} of slot {slot}", value, 0, most)
            for slot, value in (by_slot or {}).items()
        }
        self._all: npt.NDArray[np.int64] | None = None
        if self.by_slot:
            self._all = np.full(SLOTS, self.default, np.int64)
            self._all[list(self.by_slot)] = list(self.by_slot.values())

    @property
    def least(self) -> int:
        """The smallest of all the numbers."""
        return min([self.default, *self.by_slot.values()])

    @property
    def largest(self) -> int:
        """The largest of all the numbers."""
        return max([self.default, *self.by_slot.values()])

    def of(self, ids: Ids) -> npt.NDArray[np.int64]:
        """The number of each id: (n,), or () where no slot has one of its own."""
        return np.array(self.default, np.int64) if self._all is None else self._all[slot_of(ids)]

"""When rows that nobody writes any more die."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .slots import Ids, PerSlot

DAY = 86400  # seconds
_MOST_DAYS = 10**9


class Expiry:
    """How many days a row lives after its last write; slots can have days of their own.

    A row dies when `now - timestamp >= days * 86400`, so that with 0 days all rows that are not written after `now`
    do. A table's `now` is the latest time of any write, so a clock that stands kills nobody. The default, 100 years,
    and the boundary are Monolith's.

    >>> import numpy as np
    >>> expiry = Expiry(default_days=2, slot_days={1: 1})
    >>> ids, written = np.array([7, (1 << 48) + 7]), np.array([1000, 1000], np.uint32)
    >>> expiry.expired(ids, written, now=1000 + 86400).tolist()
    [False, True]
    """

    def __init__(self, default_days: int = 36500, slot_days: Mapping[int, int] | None = None) -> None:
        self._days = PerSlot("days", default_days, slot_days, _MOST_DAYS)

    @property
    def default_days(self) -> int:
        """The days of slots that have none of their own."""
        return self._days.default

    @property
    def slot_days(self) -> dict[int, int]:
        """The days of slots that have their own."""
        return dict(self._days.by_slot)

    def expired(self, ids: Ids, timestamps: npt.NDArray[Any], now: int) -> npt.NDArray[np.bool_]:
        """Which rows are dead at `now`: (n,) ids and the seconds of their last writes, (n,), to (n,)."""
        if timestamps.shape != ids.shape:
            raise ShapeError(f"expired: {timestamps.shape} timestamps for {ids.shape} ids")
        if not self.may_expire(now):
            return np.zeros(ids.shape, np.bool_)
        # Not now - timestamps >= days: that would wrap where a row was written after `now`.
        return timestamps <= now - self._days.of(ids) * DAY

    def may_expire(self, now: int) -> bool:
        """Whether any row at all can be dead at `now`; if not, nobody need be asked."""
        return now >= self._days.least * DAY

    def __repr__(self) -> str:
        return f"Expiry(default_days={self.default_days}, slot_days={self.slot_days})"

"""What is configured per slot: how long its rows live, and how often an id must come before it gets a row.

A slot is the group of features that an id belongs to, 15 bits of the id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...arrays import Array
from ...errors import AttributeValueError, DTypeError, FormatError
from .arguments import Spec
from .part import known_only

N_SLOTS = 1 << 15
SHIFT = 48  # of the slot in an id; the bits below are the feature's
COUNTER_LIMIT = 15  # what a counter of 4 bits holds
CENTURY = 36500  # days

SLOT = Spec("whole", None, low=0, high=N_SLOTS - 1)
COUNT = Spec("whole", None, low=0, high=2**32 - 1)


def slot_of(ids: Any) -> Array:
    """The slot of each id, 0 to 32767: bits 48 to 62, as in Monolith's second version of ids. Shape as given.

    >>> slot_of(np.array([5, (7 << 48) + 5, -1])).tolist()
    [0, 7, 32767]
    """
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"ids must be integers, got {array.dtype}")
    return (array.astype(np.int64).view(np.uint64) >> np.uint64(SHIFT)).astype(np.int64) & (N_SLOTS - 1)


def with_slot(slot: int, features: Any) -> Array:
    """Ids of a slot: (...), int64, from the low 48 bits of numbers or hashes of features.

    >>> with_slot(7, [5]) == (7 << 48) + 5
    array([ True])
    """
    array = np.asarray(features)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"features must be integers, got {array.dtype}")
    low = array.astype(np.int64) & ((1 << SHIFT) - 1)
    return low | np.int64(SLOT.parse(slot, "with_slot: slot") << SHIFT)


@dataclass
class SlotExpireTimeConfig:
    """Days that a row lives after its last write: `slot_expire_times` by slot, `default_expire_time` for all others.

    >>> times = SlotExpireTimeConfig(slot_expire_times={3: 30})
    >>> times.of(with_slot(3, [1, 2])).tolist(), times.of([5]).tolist()
    ([30, 30], [36500])
    """

    default_expire_time: int = CENTURY
    slot_expire_times: dict[int, int] = field(default_factory=dict)

    def check(self) -> None:
        """AttributeValueError (a ValueError) for a slot or a number out of bounds."""
        _check(self.default_expire_time, self.slot_expire_times, "expire_time")

    def of(self, ids: Any) -> Array:
        """Days for each id: int64, shape as given."""
        return _of(self.default_expire_time, self.slot_expire_times, ids)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return _as_dict("expire_time", self.default_expire_time, self.slot_expire_times)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> SlotExpireTimeConfig:
        """What a dict describes; what is left out has the proto's default."""
        return cls(*_from_dict("expire_time", CENTURY, description))


@dataclass
class SlotOccurrenceThresholdConfig:
    """How many earlier occurrences an id needs before it gets a row, by slot; `default_...` for all others; 0: none.

    Monolith counts to 15 only, so there a threshold above 15 keeps ids out for ever: `check` with `limit=15` refuses it.
    """

    default_occurrence_threshold: int = 0
    slot_occurrence_thresholds: dict[int, int] = field(default_factory=dict)

    def check(self, limit: int | None = None) -> None:
        """AttributeValueError (a ValueError) for a slot or a number out of bounds, or above what counters hold."""
        thresholds = self.slot_occurrence_thresholds
        _check(self.default_occurrence_threshold, thresholds, "occurrence_threshold")
        highest = max(self.default_occurrence_threshold, *thresholds.values(), 0)
        if limit is not None and highest > limit:
            raise AttributeValueError(
                f"occurrence_threshold = {highest} is above {limit}, which is as far as the filter counts: no id would "
                "ever pass; use exact counters, or a lower threshold"
            )

    def of(self, ids: Any) -> Array:
        """The threshold of each id: int64, shape as given."""
        return _of(self.default_occurrence_threshold, self.slot_occurrence_thresholds, ids)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return _as_dict(
            "occurrence_threshold", self.default_occurrence_threshold, self.slot_occurrence_thresholds
        )

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> SlotOccurrenceThresholdConfig:
        """What a dict describes; what is left out has the proto's default."""
        return cls(*_from_dict("occurrence_threshold", 0, description))


def _check(default: int, slots: Mapping[int, int], what: str) -> None:
    COUNT.parse(default, f"default_{what}")
    for slot, value in slots.items():
        SLOT.parse(slot, f"{what}: slot")
        COUNT.parse(value, f"{what} of slot {slot}")


def _of(default: int, slots: Mapping[int, int], ids: Any) -> Array:
    table = np.full(N_SLOTS, default, np.int64)
    table[list(slots)] = list(slots.values())
    found: Array = table[slot_of(ids)]
    return found


def _as_dict(what: str, default: int, slots: Mapping[int, int]) -> dict[str, Any]:
    listed = [{"slot": slot, what: value} for slot, value in sorted(slots.items())]
    return {f"slot_{what}s": listed, f"default_{what}": default}


def _from_dict(what: str, default: int, description: Any) -> tuple[int, dict[int, int]]:
    if not isinstance(description, Mapping):
        raise FormatError(f"{what}s: expected a dict, got {description!r}")
    known_only(description, [f"slot_{what}s", f"default_{what}"], f"the configuration of {what}s")
    slots: dict[int, int] = {}
    for entry in description.get(f"slot_{what}s", []):
        if not isinstance(entry, Mapping) or set(entry) != {"slot", what}:
            raise FormatError(f"slot_{what}s: expected dicts of slot and {what}, got {entry!r}")
        if entry["slot"] in slots:
            raise FormatError(f"slot_{what}s: slot {entry['slot']} is there twice")
        slots[entry["slot"]] = entry[what]
    return description.get(f"default_{what}", default), slots

"""What is configured slot by slot: how long rows live, and how often an id must come before it gets one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import AttributeValueError, FormatError
from ..slots import PerSlot
from .part import known_only

CENTURY = 36500  # days
LARGEST = 2**32 - 1  # of both numbers, in Monolith's proto files


@dataclass
class SlotExpireTimeConfig:
    """Days that a row lives after its last write: `slot_expire_times` by slot, `default_expire_time` for all others.

    >>> SlotExpireTimeConfig(slot_expire_times={3: 30}).as_dict()
    {'slot_expire_times': [{'slot': 3, 'expire_time': 30}], 'default_expire_time': 36500}
    """

    default_expire_time: int = CENTURY
    slot_expire_times: dict[int, int] = field(default_factory=dict)

    def check(self) -> None:
        """AttributeValueError (a ValueError) for a slot or a number out of bounds."""
        PerSlot("expire_time", self.default_expire_time, self.slot_expire_times, LARGEST)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return _as_dict("expire_time", self.default_expire_time, self.slot_expire_times)

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> SlotExpireTimeConfig:
        """What a dict describes; what is left out has the proto's default."""
        return cls(*_from_dict("expire_time", CENTURY, description))


@dataclass
class SlotOccurrenceThresholdConfig:
    """How many earlier occurrences an id needs before it gets a row; 0: none.

    `slot_occurrence_thresholds` by slot, `default_occurrence_threshold` for all others.
    """

    default_occurrence_threshold: int = 0
    slot_occurrence_thresholds: dict[int, int] = field(default_factory=dict)

    def check(self, limit: int | None = None) -> None:
        """AttributeValueError (a ValueError) for a slot or a number out of bounds, or above what a filter counts to.

        `limit`: 15 for Monolith's filter, whose counters stop there: a higher threshold would keep ids out for ever.
        """
        default, by_slot = self.default_occurrence_threshold, self.slot_occurrence_thresholds
        highest = PerSlot("occurrence_threshold", default, by_slot, LARGEST).largest
        if limit is not None and highest > limit:
            raise AttributeValueError(
                f"occurrence_threshold = {highest} is above {limit}, which is as far as the filter counts: no id would "
                "ever pass; use exact counters, or a lower threshold"
            )

    def as_dict(self) -> dict[str, Any]:
        """As plain data, with the names of Monolith's proto: `from_dict` takes it back."""
        return _as_dict(
            "occurrence_threshold", self.default_occurrence_threshold, self.slot_occurrence_thresholds
        )

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> SlotOccurrenceThresholdConfig:
        """What a dict describes; what is left out has the proto's default."""
        return cls(*_from_dict("occurrence_threshold", 0, description))


def _as_dict(what: str, default: int, by_slot: Mapping[int, int]) -> dict[str, Any]:
    listed = [{"slot": slot, what: value} for slot, value in sorted(by_slot.items())]
    return {f"slot_{what}s": listed, f"default_{what}": default}


def _from_dict(what: str, default: int, description: Any) -> tuple[int, dict[int, int]]:
    if not isinstance(description, Mapping):
        raise FormatError(f"{what}s: expected a dict, got {description!r}")
    known_only(description, [f"slot_{what}s", f"default_{what}"], f"the configuration of {what}s")
    by_slot: dict[int, int] = {}
    for entry in description.get(f"slot_{what}s", []):
        if not isinstance(entry, Mapping) or set(entry) != {"slot", what}:
            raise FormatError(f"slot_{what}s: expected dicts of slot and {what}, got {entry!r}")
        if entry["slot"] in by_slot:
            raise FormatError(f"slot_{what}s: slot {entry['slot']} is there twice")
        by_slot[entry["slot"]] = entry[what]
    return description.get(f"default_{what}", default), by_slot

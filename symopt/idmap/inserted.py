"""What an insertion gives, and how many slots there can be."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import TooLateError
from .given import Int64s

MOST_SLOTS = 1 << 32  # a slot is stored as uint32


class Inserted(NamedTuple):
    """Slots of a batch of ids. `new_ids` are those that were missing, each once, in order of first occurrence, and
    `new_slots` the slots that they got."""

    slots: Int64s
    new_slots: Int64s
    new_ids: Int64s


def too_many_slots() -> TooLateError:
    """What is raised where another slot is asked for; nothing of the batch is inserted then."""
    return TooLateError(
        f"an id map gives at most {MOST_SLOTS:,} slots, and all are in use; nothing was inserted. "
        "Remove ids, or share them out over several maps"
    )

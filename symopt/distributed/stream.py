"""The pushes of a table, and what the driver notes about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..embedding.results import Stats
from ..errors import AttributeValueError

KEPT = 1 << 10  # bytes of the objects around the arrays of a push that is kept, about


@dataclass
class Stream:
    """The pushes of one table. `step`: how many there were; `base`: how many of them the checkpoint `saved` has;
    `ranks`: those of the step after `step` that were sent, of `of`. `reserved`: rows
    that shards have room for together, also those that are started again."""

    name: str
    spec: Mapping[str, Any]
    step: int = 0
    base: int = 0
    saved: Mapping[str, Any] | None = None
    stats: Stats = field(default_factory=Stats)
    ranks: set[int] = field(default_factory=set)
    of: int = 1
    reserved: int = 0

    def part(self, rank: int, of: int) -> int:
        """The step that the next push of a rank belongs to. AttributeValueError if that rank has sent it."""
        if not 0 <= rank < of or (self.ranks and of != self.of) or rank in self.ranks:
            raise AttributeValueError(
                f"{self.name}: rank {rank} of {of} can't be in step {self.step + 1}, which has parts of ranks "
                f"{sorted(self.ranks)} of {self.of}"
            )
        return self.step + 1

    def sent(self, rank: int, of: int) -> bool:
        """Note that a part was sent; whether that ends the step."""
        self.ranks.add(rank)
        self.of = of
        if len(self.ranks) < of:
            return False
        self.step += 1
        self.ranks.clear()
        return True


def far(streams: Mapping[str, Stream]) -> str:
    """How many steps of each table there were, for log lines."""
    return "; ".join(f"{name}: step {stream.step}" for name, stream in streams.items()) or "no tables"


class Holding(NamedTuple):
    """A content where it stays until it is not needed any more, and its bytes."""

    value: Any
    nbytes: int
    rows: Any = None  # an answer of another process: ids and gradients of the Update that `value` has without


class Sent(NamedTuple):
    """A push as it is kept, to be sent again."""

    stream: str
    step: int
    rank: int
    of: int
    content: Any
    nbytes: int
    rows: Any = None


class Births:
    """Rows that were born at a shard, each counted once, however often a process says so. A process says how many there
    were since it was opened, with the state of the checkpoint. `at_base`: those that the checkpoint has."""

    def __init__(self) -> None:
        self.counted = self.at_base = self._before = 0

    def begin(self) -> None:
        """A process was opened."""
        self._before = self.at_base

    def more(self, said: int) -> int:
        """How many are new in what a process says."""
        found = max(self._before + said - self.counted, 0)
        self.counted += found
        return found

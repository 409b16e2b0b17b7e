"""What a plan says: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class RowBytes:
    """Bytes of one row: its weights; these with states and header, `payload`; its `record`, which ends at a multiple of
    16; its share of the map from ids to records; what a checkpoint has of it, `saved`. Without `is_reserved` a table
    has its records twice while it grows."""

    weights: int
    payload: int
    record: int
    map: float
    saved: int
    is_reserved: bool

    @property
    def memory(self) -> float:
        """Bytes of memory that a row takes, at the worst moment."""
        return self.record * (1 if self.is_reserved else 2) + self.map


@dataclass(frozen=True)
class Wire:
    """Bytes per step: what one worker sends and gets, and what the busiest shard gets and sends. `saved_by_sums`: how
    many times as much workers would send if they did not add up repeated ids before."""

    worker_sends: float
    worker_gets: float
    shard_gets: float
    shard_sends: float
    saved_by_sums: float


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and of what it is made of: `lookup` and `update`, by what they wait for. `bound`: the largest
    of all of these. `waiting`: how many times as long as the average shard the last one takes, which is in the seconds
    of shards. `calls`: messages of the busiest sender."""

    seconds: float
    bound: str
    lookup: Mapping[str, float]
    update: Mapping[str, float]
    round_trips: float
    compute: float
    waiting: float
    calls: int


@dataclass(frozen=True)
class Checkpoint:
    """Bytes of all hosts together, and seconds, in which each writes its own: of all rows, and of those that may have
    changed since the last one. `every`: seconds from one to the next."""

    full_bytes: float
    full_seconds: float
    delta_bytes: float
    delta_seconds: float
    every: float


@dataclass(frozen=True)
class Recovery:
    """Seconds until a shard that was lost just before a checkpoint is where it was: a new process, its rows from disk,
    then the steps since. `host`: the same where all shards of a host are lost."""

    start: float
    load: float
    replay: float
    host: float

    @property
    def seconds(self) -> float:
        """Of one shard."""
        return self.start + self.load + self.replay


@dataclass(frozen=True)
class Plan:
    """What a job takes on machines of a kind. `print` shows it as a table.

    hosts, shards: how many, because of `because`. fits: whether rows fit into memory. memory: bytes of rows on the
    fullest host, of `room`; total: on all of them. rows_per_shard: on the fullest shard. row, wire, step, checkpoint,
    recovery: see there. buckets: how many times the average the fullest shard has, because buckets are whole; peak: how
    many times the average the busiest shard gets in a step, by chance too. kept: bytes of gradients that may have to be
    sent again, of all workers; in_flight: of those that are on their way, at most.
    """

    hosts: int
    shards: int
    because: str
    fits: bool
    memory: float
    room: float
    total: float
    rows_per_shard: float
    buckets: float
    peak: float
    row: RowBytes
    wire: Wire
    step: StepTime
    checkpoint: Checkpoint
    recovery: Recovery
    kept: float
    in_flight: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with what follows from it."""
        found = asdict(self)
        found["row"]["memory"] = self.row.memory
        found["recovery"]["seconds"] = self.recovery.seconds
        return found

    def __str__(self) -> str:
        from .text import plan_text

        return plan_text(self)

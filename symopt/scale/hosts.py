"""The machines of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from ..embedding.options import whole
from .given import quantity


@dataclass(frozen=True)
class Hosts:
    """One of the machines that hold a table, all alike, and what messages between machines cost.

    memory: bytes; used: the part of them that rows may take, the rest being for what is on its way, and the system.
    cores: for shards alone. shards: processes with a part of the table on each host.
    network: bytes per second, each way. disk: bytes per second, read or written, where checkpoints are.
    call: seconds for each message, of who sends it and of who gets it. round_trip: seconds from a message to its
        answer, nothing else waiting.
    start: seconds until a new process answers.
    row_read, row_update: seconds of one core of a shard for a row that is looked up, or updated; row_pack: of a worker
        for a row that it sorts by shards and copies, either way. `measure_rows` finds them for a rule on this machine.
    alone: the part of a shard's work that is done on one core, however many it has.
    jitter: how unequally long equal work takes: the standard deviation of the logarithm of its time.

    AttributeValueError for what is no such number.

    >>> Hosts(memory=256 * 2**30).room / 2**30
    192.0
    """

    memory: float = 768 * 2**30
    used: float = 0.75
    cores: int = 16
    shards: int = 1
    network: float = 25e9
    disk: float = 2e9
    call: float = 0.35e-3
    round_trip: float = 1.5e-3
    start: float = 1.5
    row_read: float = 0.1e-6
    row_update: float = 0.3e-6
    row_pack: float = 0.1e-6
    alone: float = 0.12
    jitter: float = 0.25

    def __post_init__(self) -> None:
        for name in ("memory", "network", "disk", "row_read", "row_update", "row_pack"):
            quantity(f"hosts: {name}", getattr(self, name))
        for name in ("call", "round_trip", "start", "jitter"):
            quantity(f"hosts: {name}", getattr(self, name), zero=True)
        quantity("hosts: used", self.used, most=1)
        quantity("hosts: alone", self.alone, zero=True, most=1)
        whole("hosts: cores", self.cores, 1)
        whole("hosts: shards", self.shards, 1, 1 << 16)

    @property
    def room(self) -> float:
        """Bytes for rows."""
        return self.memory * self.used

    def gain(self, shards: int) -> float:
        """How many times as fast as on one core a process works, where so many share a host's cores."""
        cores = self.cores / shards
        return cores if cores < 1 else 1 / (self.alone + (1 - self.alone) / cores)

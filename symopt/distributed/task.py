"""The driver's side of one step of one rank: what the worker asks for is asked of shards, and passed on unread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from operator import is_
from typing import Any

from ..embedding.batches import second
from ..embedding.commands import Have
from ..errors import ProcessLostError
from .cluster import Cluster
from .dense import ShardedOptimizer
from .request import Request
from .table import ShardedTable
from .transport import READS, WRITES, Held, Host, Reply
from .worker import Said


class Task:
    """`step` of `rank`, at the worker `host`. `at`: steps that each table has done at least when it is asked for rows;
    None for all that were sent. `said`: what the worker said last; `parts`: its answers, by table, one for each shard,
    and by optimizer, one for each owner. `weights`: of each optimizer, by name.
    """

    def __init__(
        self,
        cluster: Cluster,
        tables: Mapping[str, ShardedTable],
        optimizers: Mapping[str, ShardedOptimizer],
        step: int,
        rank: int,
        weights: Mapping[str, Held],
    ) -> None:
        self.step, self.rank = step, rank
        self.tries = self.losses = 0  # how often it was begun, and lost with its process
        self.said: Said | None = None
        self.parts: dict[str, list[Reply]] = {}
        self.host: Host = None
        self.reply: Reply = None
        self.lost: ProcessLostError | None = None  # its worker, when it was called
        self.called = 0.0  # seconds of a clock
        self._cluster, self._tables = cluster, tables
        self._optimizers, self._weights = optimizers, weights
        self._at: Mapping[str, int] | None = None
        self._requests: list[Request] = []
        self._passed: list[Reply] = []

    @property
    def is_done(self) -> bool:
        """Whether there are gradients."""
        return self.said is not None and self.said.is_done

    @property
    def is_current(self) -> bool:
        """Whether it was begun for the shards and owners that there are."""
        now = self._cuts_now()
        return self.partition is self._cluster.partition and all(
            now[n] is cut for n, cut in self.cuts.items()
        )

    def _cuts_now(self) -> dict[str, Any]:
        return {name: optimizer._pieces.said for name, optimizer in self._optimizers.items()}

    @property
    def is_answered(self) -> bool:
        """Whether shards have answered what they were asked for it."""
        return all(self._cluster.transport.is_done(reply) for reply in self._passed)

    def begin(self, host: Host, sent: int, at: Mapping[str, int] | None) -> None:
        """Begin, or begin again from the start, at a worker. `sent`: the last step that is done with."""
        self.host, self._at, self.said = host, at, None
        self.tries += 1
        self.partition, self.cuts = self._cluster.partition, self._cuts_now()
        self._requests, self._passed = [], []
        partition = self.partition.as_dict()
        self._call("begin", self.step, self.rank, sent, partition, self.cuts, *self._weights.values())

    def _call(self, method: str, *args: Any) -> None:
        n = self.partition.n_shards
        counts = dict.fromkeys(self._tables, n) | {
            name: len(cut["owners"]) for name, cut in self.cuts.items()
        }
        self.lost, self.called = None, time.monotonic()
        try:
            replies = self._cluster.transport.call(self.host, method, *args, returns=1 + sum(counts.values()))
        except ProcessLostError as error:
            self.lost = error
            return
        self.reply, *rest = replies
        parts = iter(rest)
        self.parts = {name: [*islice(parts, count)] for name, count in counts.items()}

    def hear(self) -> None:
        """Take what the worker says now, and ask for rows if it wants any. Raises what its turn raised."""
        self.said = self._cluster.transport.wait(self.reply)
        self._requests, self._passed = [], []  # it has its rows
        if self.said.is_done:
            self._secure()
            return
        asked = self.said.sizes.items()
        self._requests = [request for name, sizes in asked for request in self._pulls(name, sizes)]
        self._go_on()

    def _secure(self) -> None:
        """Gradients must not be lost together with who has them last read: whoever replaces that is sent them again."""
        assert self.said is not None
        for name, sizes in self.said.sizes.items():
            for line, part, size in zip(self._cluster.lines, self.parts[name], sizes, strict=True):
                if size:
                    line.secure(part)
        for name in self.said.parcels:
            if self._optimizers[name]._transport is self._cluster.transport:
                self._optimizers[name]._secure(self.parts[name])

    def _pulls(self, name: str, sizes: Any) -> list[Request]:
        assert self.said is not None
        cluster, table = self._cluster, self._tables[name]
        if name in self.said.absent:
            _have(table, *self.said.absent[name])
        at = table._stream.step if self._at is None or name in self.said.absent else self._at[name]
        is_fresh = self._at is None
        patience, lane = (0.0, WRITES) if is_fresh else (cluster.patience, READS)
        return [
            line.ask("pull", name, at, patience, part, lane=lane)
            for line, part, size in zip(cluster.lines, self.parts[name], sizes, strict=True)
            if size
        ]

    def _go_on(self) -> None:
        for request in self._requests:
            if isinstance(request.reply, Exception):
                request.get()
        self._passed = [request.reply for request in self._requests]
        self._call("go_on", self.step, self.rank, *self._passed)

    def went_on(self) -> bool:
        """After a turn that failed: whether it was for a shard that was lost, which has answered again by now. If so,
        the worker was told."""
        for request in self._requests:
            request.get()
        now = [request.reply for request in self._requests]  # more than were passed on, if that raised
        if len(now) == len(self._passed) and all(map(is_, now, self._passed)):
            return False
        self._go_on()
        return True


def _have(table: ShardedTable, absent: Any, every: Any) -> None:
    """Let ids be born, out of all that are asked for at the same time."""
    with table._lock, table._sending_only(), table._batch():
        table._carry_out(table._leaving(every), Have(absent, second(None, f"{table.name}.lookup")))

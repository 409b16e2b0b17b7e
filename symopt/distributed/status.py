"""What a cluster is doing, as plain data that prints as a table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..view.plain import counted, safe, size_text
from ..view.text import Lines, Table, Text
from .pace import Pace, pace_of

if TYPE_CHECKING:
    from .cluster import Cluster
    from .line import Line

PATIENCE = 5.0  # seconds that shards have to answer, all together
_SHARDS = ("shard", "epoch", "process", "on the way", "kept", "waited", "recoveries")
_TABLES = ("table", "shard", "step", "lag", "rows", "in memory", "held", "dups", "gaps", "fenced")


@dataclass(frozen=True)
class TableStatus:
    """A shard's part of a table. `pushed`: steps that it was sent; `done`: those that it has answered or says are
    done; `lag`: the difference. Of rows, bytes and what follows None is said of a shard that does not answer.

    rows, bytes: in memory. held: parts of steps that wait for others. dups, gaps, fenced: pushes that were refused
    because they were there before, were too far ahead, or came from another epoch.
    """

    name: str
    pushed: int
    done: int
    lag: int
    rows: int | None = None
    bytes: int | None = None
    held: int | None = None
    dups: int | None = None
    gaps: int | None = None
    fenced: int | None = None


@dataclass(frozen=True)
class ShardStatus:
    """A shard. `epoch`: which of its processes this is, from 1. `process`, `machine`: its number and where it runs,
    None if it does not answer.

    queue, queue_bytes: pushes on their way. kept, kept_bytes: those that would be sent again. waited: seconds that the
    driver waited for room on the way to it. recoveries: the seconds that each took.
    """

    number: int
    epoch: int
    is_answering: bool
    process: int | None
    machine: str | None
    queue: int
    queue_bytes: int
    kept: int
    kept_bytes: int
    waited: float
    recoveries: tuple[float, ...]
    tables: tuple[TableStatus, ...]


@dataclass(frozen=True)
class WorkersStatus:
    """Workers. `step`: the last that was sent. lost: processes that were replaced; redone: steps of ranks."""

    step: int
    ranks: int
    processes: int
    lost: int
    redone: int

    def line(self) -> str:
        """It as a line of text."""
        crew = f"{counted(self.ranks, 'rank')} of workers, {counted(self.processes, 'process', 'es')}"
        return f"{crew}: step {self.step:,}, {self.lost} lost, {counted(self.redone, 'step')} of ranks done again"


@dataclass(frozen=True)
class CheckpointStatus:
    """The newest checkpoint: its folder, when it was written, in seconds since 1970, and the seconds that took; None
    if it was there before this cluster."""

    path: str
    written: float | None
    seconds: float | None


@dataclass(frozen=True, repr=False)
class ClusterStatus:
    """What `Cluster.status` gives. Prints as a table, in colours at a prompt of rich.

    engine: the transport's class. seconds: since it was made. trouble: why it can't go on, "" if it can. `pace` as
    `progress` is told it. joined: a line of each ShardedOptimizer and KVStore.
    """

    engine: str
    seconds: float
    window: int
    max_bytes: int
    log_bytes: int
    staleness: int
    trouble: str
    pace: Pace
    checkpoints: int
    checkpoint: CheckpointStatus | None
    shards: tuple[ShardStatus, ...]
    joined: tuple[str, ...] = ()
    workers: tuple[WorkersStatus, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All of it as dicts, tuples, numbers and strings."""
        return asdict(self)

    def __str__(self) -> str:
        return str(_text(self))

    __repr__ = __str__

    def __rich__(self) -> Any:
        return _text(self).__rich__()


def status_of(cluster: Cluster) -> ClusterStatus:
    """Ask all shards what they have, beside their other work; those that are gone or busy for long are left out."""
    lines, until = list(cluster.lines), time.monotonic() + PATIENCE
    asked = [None if cluster._is_closed else line.request_status() for line in lines]
    shards = [
        _shard(cluster, line, request and request(max(until - time.monotonic(), 0.0)))
        for line, request in zip(lines, asked, strict=True)
    ]
    return ClusterStatus(
        engine=type(cluster.transport).__name__,
        seconds=time.monotonic() - cluster.meter.begun,
        window=cluster.window,
        max_bytes=cluster.max_bytes,
        log_bytes=cluster.log_bytes,
        staleness=cluster.staleness,
        trouble=cluster.trouble,
        pace=pace_of(cluster),
        checkpoints=cluster.meter.saves,
        checkpoint=_checkpoint(cluster),
        shards=tuple(shards),
        joined=tuple(one.told() for _, one in cluster.joined.items()),
        workers=tuple(each.status() for each in list(cluster.workers)),
    )


def _shard(cluster: Cluster, line: Line, said: Mapping[str, Any] | None) -> ShardStatus:
    tables = {} if said is None else said["tables"]
    return ShardStatus(
        number=line.number,
        epoch=line.epoch,
        is_answering=said is not None,
        process=None if said is None else said["process"],
        machine=None if said is None else said["machine"],
        queue=line.n_flying,
        queue_bytes=line.flying_bytes,
        kept=len(line.kept),
        kept_bytes=line.kept_bytes,
        waited=line.waited,
        recoveries=tuple(line.seconds),
        tables=tuple(
            _table(name, stream.step, line.done.get(name, 0), tables.get(name))
            for name, stream in cluster.streams.items()
        ),
    )


def _table(name: str, pushed: int, answered: int, said: Mapping[str, Any] | None) -> TableStatus:
    if said is None:
        return TableStatus(name, pushed, answered, pushed - answered)
    done = max(answered, said["done"])
    return TableStatus(name, **{**said, "pushed": pushed, "done": done, "lag": max(pushed - done, 0)})


def _checkpoint(cluster: Cluster) -> CheckpointStatus | None:
    if cluster.found is None:
        return None
    path = cluster.found.path
    written = os.path.getmtime(path) if os.path.exists(path) else None
    return CheckpointStatus(path, written, cluster.meter.save_seconds)


def _text(status: ClusterStatus) -> Text:
    trouble = [f"can't go on: {safe(status.trouble, 200)}"] if status.trouble else []
    rows = [row for k in range(_n_tables(status)) for row in _table_rows(status, k)]
    return Text.of(
        Lines([*_heading(status), *trouble], heading=True),
        Table(_SHARDS, [_shard_row(shard) for shard in status.shards]),
        *([Table(_TABLES, rows)] if rows else []),
        *([Lines(list(status.joined))] if status.joined else []),
    )


def _n_tables(status: ClusterStatus) -> int:
    return len(status.shards[0].tables)


def _heading(status: ClusterStatus) -> list[str]:
    pace, saved = status.pace, status.checkpoint
    lines = [
        f"{counted(len(status.shards), 'shard')} on {status.engine}, for {status.seconds:,.0f} s",
        pace.line(),
        f"kept for lost shards: {size_text(pace.kept_bytes)} of {size_text(status.log_bytes)}; window {status.window}, "
        f"staleness {status.staleness}",
    ]
    lines += [workers.line() for workers in status.workers]
    if saved is None:
        return [*lines, "no checkpoint"]
    written = time.localtime(saved.written) if saved.written is not None else None
    when = "" if written is None else time.strftime(" at %Y-%m-%d %H:%M:%S", written)
    took = "" if saved.seconds is None else f" in {saved.seconds:.2f} s"
    path = safe(saved.path, 80)
    return [*lines, f"{counted(status.checkpoints, 'checkpoint')}; the newest, written{when}{took}: {path}"]


def _shard_row(shard: ShardStatus) -> list[str]:
    again = ", ".join(f"{seconds:.2f} s" for seconds in shard.recoveries[-3:])
    return [
        str(shard.number),
        str(shard.epoch),
        str(shard.process) if shard.is_answering else "silent",
        f"{counted(shard.queue, 'push', 'es')}, {size_text(shard.queue_bytes)}",
        f"{counted(shard.kept, 'push', 'es')}, {size_text(shard.kept_bytes)}",
        f"{shard.waited:.1f} s",
        f"{len(shard.recoveries)}: {again}" if again else "0",
    ]


def _table_rows(status: ClusterStatus, k: int) -> Iterator[list[str]]:
    """The rows of the k-th table, one for each shard."""
    for shard in status.shards:
        table = shard.tables[k]
        refused = [_number(n) for n in (table.held, table.dups, table.gaps, table.fenced)]
        yield [
            safe(table.name),
            str(shard.number),
            f"{table.done:,}",
            str(table.lag),
            _number(table.rows),
            size_text(table.bytes),
            *refused,
        ]


def _number(n: int | None) -> str:
    return "" if n is None else f"{n:,}"

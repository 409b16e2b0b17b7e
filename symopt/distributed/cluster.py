"""A cluster: the shards of all tables, and the driver's side of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from copy import deepcopy
from types import TracebackType
from typing import Any, Self

from ..config import num_threads
from ..embedding.options import whole
from ..errors import AttributeValueError
from ..interrupts import uninterrupted
from .checkpoints import Checkpoints, Driver, Load, Save, go_back
from .content import Content
from .inprocess import InProcess
from .joined import Joined
from .pace import Meter, Tell
from .partition import Partition
from .process import LOG
from .saving import Saved, Saving
from .status import ClusterStatus, status_of
from .stream import KEPT, Holding, Stream, far
from .transport import READS, WRITES, Transport

MIB = 1 << 20


class Cluster(Checkpoints):
    """Shards, in processes of Ray or all in this one, that hold parts of `ShardedTable`s.

    n_shards: how many; by default as many as the checkpoint has, or 1.
    ray: True for a Ray of its own on this machine, the address of one to join, or a dict of `OnRay`'s options.
    path: a folder for checkpoints, which all processes can reach. If there are any, tables begin as the newest has
        them; `resumed` says what was noted with it.
    window: steps of a table that may be on their way to a shard. max_bytes: gradients that may be on their way.
    log_bytes: pushes since the last checkpoint that are kept for shards that are lost. If they become more, there is
        a checkpoint for lost shards only, in path/automatic; without a path they are dropped, with a warning in the log
        "symopt.distributed", and a lost shard can't be replaced any more.
    staleness: how many of the latest steps a lookup may miss; with 0 results have the same bits every time.
    timeout: seconds after which a shard that does not answer is taken for dead, and replaced. The next one is given
        twice as long, and parts of checkpoints may take any time, as long as the shard answers at all.
    keep: how many checkpoints are kept. pins: shards of buckets, as in `Partition`.
    transport: another engine, in place of `ray`.
    progress: a function that is given a `Pace` of each step, when the next begins or the cluster is closed; or True for
        a line on stderr each second.

    >>> import numpy as np, symopt as so
    >>> with so.distributed.Cluster(2) as cluster:
    ...     segment = so.embedding.Segment(2, "adagrad", learning_rate=0.1)
    ...     table = so.distributed.ShardedTable(cluster, segment)
    ...     table.apply_gradients([3, -8, 3], np.ones((3, 2))).updated
    2
    """

    def __init__(
        self,
        n_shards: int | None = None,
        *,
        ray: bool | str | Mapping[str, Any] | None = None,
        path: str | os.PathLike[str] | None = None,
        window: int = 4,
        max_bytes: int | None = None,
        log_bytes: int = 1024 * MIB,
        staleness: int = 0,
        timeout: float | None = 60.0,
        keep: int = 2,
        pins: Mapping[int, int] | None = None,
        transport: Transport | None = None,
        progress: Tell | bool | None = None,
    ) -> None:
        if ray and transport is not None:
            raise AttributeValueError("a cluster: give ray or a transport, not both")
        self.window = whole("a cluster: window", window, 1, 1 << 10)
        self.staleness = whole("a cluster: staleness", staleness, 0, 1 << 10)
        self.lock = threading.RLock()
        self.streams: dict[str, Stream] = {}
        #: What there is by name: `ShardedTable`s.
        self.members: dict[str, Any] = {}
        self.workers: list[Any] = []  # `Workers` that are not closed
        #: What is in checkpoints beside tables: `ShardedOptimizer`s and `KVStore`s.
        self.joined = Joined()
        self.trouble = ""
        self._timeout = timeout
        self._drivers: dict[str, Driver] = {}
        self._is_closed = False
        self._n_recovered = self._largest = 0  # of lines that are no more; bytes of a step
        self._saving = None if path is None else Saving(path, keep)
        self.found: Saved | None = None if self._saving is None else self._saving.newest()
        self.partition = Partition.first(self.found.partition if self.found else None, n_shards, pins)
        # pushes of all tables, and checkpoints; above all numbers that are there, also of what can't be read
        self.clock = self._saving.last if self._saving else 0
        self.transport: Transport = transport if transport is not None else _engine(ray, self.n_shards)
        self.meter = Meter(progress, getattr(self.transport, "metrics", None))
        capacity = self.transport.capacity
        self.max_bytes = (
            min(256 * MIB, capacity // 4) if max_bytes is None else whole("max_bytes", max_bytes, 1)
        )
        self.log_bytes = min(whole("log_bytes", log_bytes, 1), capacity // 2)
        try:
            self.lines = self._start(self.found.epoch if self.found else 0)
        except BaseException:
            self.transport.close()
            raise

    # ---- what it is

    @property
    def n_shards(self) -> int:
        """How many shards there are."""
        return self.partition.n_shards

    @property
    def has_folder(self) -> bool:
        """Whether it has a folder for checkpoints."""
        return self._saving is not None

    @property
    def resumed(self) -> Mapping[str, Any] | None:
        """What was noted with the checkpoint that the tables began with (`checkpoint(meta=)`); None without one."""
        return None if self.found is None else self.found.meta

    @property
    def patience(self) -> float:
        """Seconds that a shard which is asked for what it has not done yet may wait for it."""
        return self._timeout or 1e9

    @property
    def recoveries(self) -> int:
        """How often a shard was started again."""
        return self._n_recovered + sum(line.recoveries for line in self.lines)

    def status(self) -> ClusterStatus:
        """What it is doing, of each shard and table; prints as a table. Asks every shard once, and needs no lock: any
        thread may ask while others train. A shard that does not answer is said to be silent."""
        return status_of(self)

    def __repr__(self) -> str:
        kind = type(self.transport).__name__
        return f"<Cluster on {kind}: {self.n_shards} shards, tables: {', '.join(self.streams) or 'none'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let all shards go. What no checkpoint has is lost."""
        with self.lock:
            if self._is_closed:
                return
            self._is_closed, self.trouble = True, "it is closed"
            LOG.info("closes: %s", far(self.streams))
            try:
                self.meter.tell(self, is_last=True)
                self.joined.close()
                for line in self.lines:
                    line.stop()
            finally:
                self.transport.close()

    # ---- tables

    def open(self, stream: Stream, save: Save, load: Load) -> None:
        """Have the parts of a table in all shards, as they are in the newest checkpoint, if it has the table.

        save: gives what the driver knows of the table, for checkpoints. load: takes that back.
        """
        name = stream.name
        with self.lock:
            self.check()
            if name in self.streams or name in self.joined or (self.found and name in self.found.folders):
                raise AttributeValueError(
                    f"this cluster has {name!r} already: it is cluster.members[{name!r}]. Use that, or close it before "
                    "you make it again, or give another name="
                )
            go_back(stream, self.found, self.partition)
            if self.found is not None and name not in self.found.tables:
                LOG.info("table %s is not in the checkpoint %s: it begins empty", name, self.found.path)
            for line in self.lines:
                line.open(stream)
            driver = Driver(save, load, deepcopy(save()))
            if stream.saved is not None and self.found is not None:
                load(self.found.tables[name].driver)
            self.streams[name], self._drivers[name] = stream, driver

    def hand_over(self, name: str, save: Save, load: Load) -> None:
        """Let another object go on with a table: `save` and `load` as in `open`."""
        self._drivers[name] = self._drivers[name]._replace(save=save, load=load)

    def hold(self, contents: Sequence[Content], of: int = 1) -> list[Holding]:
        """Put a step where it stays until shards have it, one content for each of them. StoreFullError, before anything
        is sent, if there is no room."""
        with self.lock:
            held = [line.hold(content, of) for line, content in zip(self.lines, contents, strict=True)]
            self._largest = max(self._largest, of * sum(each.nbytes + KEPT for each in held))
            return held

    def push(self, stream: Stream, held: Sequence[Holding], rank: int = 0, of: int = 1) -> None:
        """Send the next step of a table, what is held for each shard; of several ranks each sends a part, once, and the
        step ends when all have. What can fail was done before, so that all shards get it or none."""
        with self.lock:
            self.check()
            step = stream.part(rank, of)
            with uninterrupted():
                try:
                    for line, each in zip(self.lines, held, strict=True):
                        line.push(stream, step, rank, of, each)
                except BaseException:
                    self.trouble = f"step {step} of {stream.name} was not sent to all shards"
                    raise
                is_whole = stream.sent(rank, of)
                self.clock += is_whole
                self.meter.count(sum(each.nbytes for each in held), is_whole)

    def make_way(self, nbytes: int = 0, of: int = 1) -> None:
        """Wait until there is room for a step, or one of `of` parts of it, of so many bytes: within `window` and
        `max_bytes`."""
        with self.lock:
            self.check()
            n, each = self.window * of - 1, nbytes // self.n_shards
            for line in self.lines:
                if line.n_flying:
                    self._guarded(line.make_way, n, each, self.max_bytes // self.n_shards)

    def tidy(self) -> None:
        """Between steps: let pushes go if too many are kept, and say how far it is."""
        with self.lock:
            self.meter.tell(self)
            kept = sum(line.kept_bytes for line in self.lines)
            if not kept or kept + self._largest <= self.log_bytes or self.trouble or self._open_steps():
                return
            if self._saving is not None:
                self._checkpoint({}, is_automatic=True)
                return
            self.keep_no_more(warns=True)

    def keep_no_more(self, warns: bool) -> None:
        """Let all pushes go that are kept: a shard that is lost from now on can't be replaced."""
        if warns:
            LOG.warning(
                "more than log_bytes=%d of pushes were kept, and without path= no checkpoint can have them: a shard "
                "that is lost from now on can't be replaced; %s", self.log_bytes, far(self.streams),
            )  # fmt: skip
        for line in self.lines:
            line.keeps = False
            line.forget()

    def keep_again(self) -> None:
        """Make a checkpoint for lost shards, and keep pushes from now on."""
        self._checkpoint({}, is_automatic=True)

    def settle(self) -> None:
        """Wait until all shards have done all steps that were pushed."""
        with self.lock:
            self.check()
            for line in self.lines:
                if line.n_flying:
                    self._guarded(line.settle)

    def ask(
        self,
        stream: Stream,
        method: str,
        *args: Any,
        each: Sequence[Sequence[Any] | None] | None = None,
        may_be_stale: bool = False,
    ) -> list[Any]:
        """What all shards answer, in their order, after all steps; if it `may_be_stale`, but the `staleness` latest.
        `each`: arguments for every shard, behind `args`; None in place of them for a shard that is not asked and
        answers None."""
        with self.lock:
            self.check()
            fresh = self.staleness == 0 or not may_be_stale
            at = stream.step if fresh else max(stream.step - self.staleness, 0)
            patience = 0.0 if fresh else self.patience
            lane = WRITES if fresh else READS
            requests: list[Any] = []
            for k, line in enumerate(self.lines):
                more = () if each is None else each[k]
                if more is None:
                    requests.append(None)
                    continue
                requests.append(line.ask(method, stream.name, at, patience, *args, *more, lane=lane))
            return [None if request is None else self._guarded(request.get) for request in requests]


def _engine(ray: Any, n_shards: int) -> Transport:
    if not ray:
        return InProcess()
    from .onray import OnRay

    options = {} if ray is True else {"address": ray} if isinstance(ray, str) else dict(ray)
    if options.get("address") is None:  # all shards are on this machine, and share its cores
        options.setdefault("threads", max(1, num_threads() // n_shards))
    return OnRay(**options)

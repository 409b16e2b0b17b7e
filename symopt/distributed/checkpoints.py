"""What a cluster does with checkpoints: write them, go back to one, and go on from one with other shards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

from ..errors import AttributeValueError, ClusterError, PushFailedError, TooLateError
from .joined import Joined
from .line import Line
from .pace import Meter
from .partition import Partition
from .process import LOG
from .saving import Saved, Saving
from .stream import Stream, far
from .transport import Transport

Save = Callable[[], dict[str, Any]]
Load = Callable[[Mapping[str, Any]], None]
T = TypeVar("T")


class Driver(NamedTuple):
    """What the driver knows of a table: given, taken back, and as it was at first."""

    save: Save
    load: Load
    first: Mapping[str, Any]


class Checkpoints:
    """A base class of Cluster. `found`: the checkpoint that tables which are opened from now on begin with; `trouble`:
    why the cluster can't go on; `clock`: pushes of all tables, and checkpoints."""

    found: Saved | None
    trouble: str
    clock: int
    lock: Any  # threading.RLock
    lines: list[Line]
    streams: dict[str, Stream]
    partition: Partition
    transport: Transport
    meter: Meter
    window: int
    joined: Joined
    _drivers: dict[str, Driver]
    _saving: Saving | None
    _timeout: float | None
    _n_recovered: int
    _is_closed: bool
    settle: Callable[[], None]

    def checkpoint(self, meta: Mapping[str, Any] | None = None, *, drop: Collection[str] = ()) -> str:
        """Write all tables, as they are after all steps that were pushed, as a new folder in `path`, durably; its path.

        meta: numbers and strings that `resumed` has later, such as how far the training was. drop: names of tables that
        nobody needs any more; others that the checkpoint before has, and that were not opened here, are in the new one
        as they were. If anything fails, such as for a full disk, there is nothing new, the checkpoint before still
        counts, and the cluster goes on.
        """
        with self.lock:
            self.check()
            kept = self._not_opened(drop)
            return self._checkpoint(dict(meta or {}), is_automatic=False, kept=kept).path

    def _not_opened(self, drop: Collection[str]) -> list[str]:
        """Tables of the checkpoint before that were not opened here, but for those to drop."""
        drop = {drop} if isinstance(drop, str) else set(drop)
        tables, joined = ({}, {}) if self.found is None else (self.found.tables, self.found.folders)
        left = [name for name in tables if name not in self.streams] + self.joined.left(joined)
        if unknown := sorted(drop - {*left}):
            raise AttributeValueError(
                f"checkpoint: drop names tables that the one before has and that were not opened here, {left}: "
                f"got {unknown}"
            )
        return [name for name in left if name not in drop]

    def _checkpoint(self, meta: dict[str, Any], is_automatic: bool, kept: Sequence[str] = ()) -> Saved:
        if self._saving is None:
            raise TooLateError("this cluster has no folder for checkpoints: give path=")
        if unfinished := self._open_steps() or ("" if is_automatic else self.joined.unfinished()):
            raise TooLateError(f"checkpoints are made between steps, and parts are missing: {unfinished}")
        self.settle()
        self.clock += 1
        tables = {name: (stream.step, self._drivers[name].save()) for name, stream in self.streams.items()}
        with self.meter.saving(far(self.streams)):
            return self._guarded(self._saving.save, self, tables, meta, is_automatic, self._take_over, kept)

    def _open_steps(self) -> str:
        return ", ".join(
            f"step {s.step + 1} of {s.name} has those of ranks {sorted(s.ranks)} of {s.of}"
            for s in self.streams.values()
            if s.ranks
        )

    def _take_over(self, saved: Saved, is_automatic: bool) -> None:
        """Go on from a checkpoint that has everything."""
        if not is_automatic:
            self.found = saved
        for name, stream in self.streams.items():
            stream.base, stream.saved = stream.step, saved.saved(name, self.partition)
        for line in self.lines:
            line.keeps = self.transport.may_lose
            line.forget()

    def reshard(self, n_shards: int | None = None, *, pins: Mapping[int, int] | None = None) -> None:
        """Go on with another number of shards, or with buckets pinned to shards: by a checkpoint, which they load."""
        with self.lock:
            self.check()
            after = self.partition if n_shards is None else self.partition.resized(n_shards)
            after = after.pinned(pins) if pins else after
            if unfinished := self.joined.unfinished():
                raise TooLateError(f"shards are changed between steps: {unfinished}")
            saved = self._checkpoint({}, is_automatic=True)
            LOG.info(
                "reshards from %d to %d shards: %s",
                self.partition.n_shards,
                after.n_shards,
                far(self.streams),
            )
            with self._restarting("resharded"):
                self.partition = after
                for name, stream in self.streams.items():
                    stream.saved = saved.saved(name, after)
                self._restart()
                self.joined.follow(after.n_shards)

    def restore(self) -> None:
        """Go back to the newest checkpoint, or to empty tables if there is none, in new processes: the way on after
        PushFailedError or ClusterError, such as when a shard had no memory for a step, or is lost with its pushes.

        What tables know is as it was then, and `resumed` what was noted; `stats` go on."""
        with self.lock:
            if self._is_closed:
                self.check()
            if self._saving is None:
                raise TooLateError("this cluster has no folder for checkpoints: give path=")
            found = self._saving.newest()
            self.clock = max(self.clock, self._saving.last)  # above all numbers that are there
            self.joined.check_back(found.folders if found else {})
            LOG.warning("goes back to %s; %s", found.path if found else "empty tables", far(self.streams))
            with self._restarting("restored"):
                self.found = found
                for stream in self.streams.values():
                    go_back(stream, found, self.partition)
                self._restart()
                for name, driver in self._drivers.items():
                    is_saved = found is not None and name in found.tables
                    driver.load(found.tables[name].driver if found and is_saved else deepcopy(driver.first))
                self.joined.go_back(found.folders if found else {})

    @contextlib.contextmanager
    def _restarting(self, what: str) -> Iterator[None]:
        """Within, the cluster is of no use; nor afterwards, if it raises."""
        self.trouble = "it was being restarted"
        try:
            yield
        except BaseException as error:
            self.trouble = (
                f"it could not be {what}: {error!r}. `restore` tries to go back to the newest checkpoint"
            )
            raise
        self.trouble = ""

    # ---- processes

    def _start(self, epoch: int) -> list[Line]:
        options: dict[str, Any] = {"epoch": epoch, "timeout": self._timeout, "window": self.window}
        options["of"] = self.partition.n_shards
        lines: list[Line] = []
        try:
            for k in range(self.partition.n_shards):
                lines.append(Line(self.transport, k, self.streams, **options))
        except BaseException:
            for line in lines:
                line.stop()
            raise
        return lines

    def _restart(self) -> None:
        """New processes, that load what streams say."""
        epoch = max(line.epoch for line in self.lines)
        self.meter.leave(self.lines)
        for line in self.lines:
            line.stop()
            self._n_recovered += line.recoveries
            line.recoveries = 0
        self.lines = self._start(epoch)
        for stream in self.streams.values():
            for line in self.lines:
                line.open(stream)

    # ---- trouble

    def check(self) -> None:
        """ClusterError if it is closed, or tables are not what they should be."""
        if self.trouble:
            raise ClusterError(f"this cluster can't go on: {self.trouble}")

    def _guarded(self, do: Callable[..., T], *args: Any) -> T:
        try:
            return do(*args)
        except (PushFailedError, ClusterError) as error:
            self.trouble = self.trouble or str(error)
            raise


def go_back(stream: Stream, found: Saved | None, partition: Partition) -> None:
    """Let a stream be as it is in a checkpoint."""
    saved = None if found is None else found.tables.get(stream.name)
    stream.ranks.clear()
    stream.step = stream.base = saved.step if saved else 0
    stream.saved = found.saved(stream.name, partition) if found and saved else None

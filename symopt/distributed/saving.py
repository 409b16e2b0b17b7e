"""Checkpoints of a cluster: a folder that its processes fill, and that counts when the driver's own part is there.

step-000000123/
    tables/users/part-00001-of-00004/    what `Table.save(part=)` writes; `Table.restore` reads the folder above
    joined/dense/                        what is no table: a ShardedOptimizer or a KVStore, written by the driver
    cluster/                             what the driver knows: partition, steps, meta
automatic/step-000000130/                likewise, for shards that are lost: nobody knows how far the training was then,
                                         so no cluster begins with it
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..checkpoint import load, save
from ..checkpoint.disk import DISK
from ..checkpoint.series import Series
from ..checkpoint.staging import discard
from ..errors import ClusterError, FormatError
from ..interrupts import uninterrupted
from .joined import FOLDER as JOINED
from .partition import Partition

if TYPE_CHECKING:
    from .cluster import Cluster

FORMAT, VERSION = "symopt cluster", 1
TABLES, CLUSTER, AUTOMATIC = "tables", "cluster", "automatic"


@dataclass(frozen=True)
class SavedTable:
    """What a checkpoint says of a table: its spec, how many steps it has, what the driver knew of it, and which shard
    wrote which rows."""

    spec: Mapping[str, Any]
    step: int
    driver: Mapping[str, Any]
    partition: Partition


@dataclass(frozen=True)
class Saved:
    """A checkpoint, but for its rows."""

    path: str
    clock: int
    epoch: int
    partition: Partition
    tables: Mapping[str, SavedTable]
    meta: Mapping[str, Any]
    joined: tuple[str, ...] = ()

    @property
    def folders(self) -> dict[str, str]:
        """Those of what is no table, by name."""
        return {name: os.path.join(self.path, JOINED, name) for name in self.joined}

    def saved(self, name: str, partition: Partition) -> dict[str, Any]:
        """What a shard is told of a table in it: where its parts are, who owned what then, and who does now."""
        written = self.tables[name].partition
        return {"path": self.folder(name), "written": written.as_dict(), "partition": partition.as_dict()}

    def folder(self, name: str) -> str:
        """Where the parts of a table are."""
        return os.path.join(self.path, TABLES, name)


class Saving:
    """The checkpoints of a cluster in a folder, of which the newest `keep` are kept. `last`: the highest number that
    was there."""

    def __init__(self, path: str | os.PathLike[str], keep: int) -> None:
        self._series = Series(path, keep)
        self._automatic = Series(os.path.join(path, AUTOMATIC), 1)
        self._own = dict.fromkeys((self._series, self._automatic), 0)
        self._look()

    def _look(self) -> None:
        """Take what is there for what this cluster goes on from."""
        for series in self._own:
            self._own[series] = _highest(series)
        self.last = max(self._own.values())

    def newest(self) -> Saved | None:
        """The newest that is whole, which this cluster goes on from, whoever has written it; None if there is none.
        DamagedError if none of several is."""
        self._look()
        if not self._series.steps():
            return None
        for step, tree in self._series._newest(False, lambda path: load(os.path.join(path, CLUSTER))):
            return _read(self._series.path(step), tree)
        return None

    def save(
        self,
        cluster: Cluster,
        tables: Mapping[str, tuple[int, Mapping[str, Any]]],
        meta: dict[str, Any],
        is_automatic: bool,
        then: Callable[[Saved, bool], None],
        kept: Sequence[str] = (),
    ) -> Saved:
        """Write one, of a cluster that has done all that it was told. `kept`: tables that it has as the one before has
        them. `then`: told of it once it is there, even if deleting older ones fails. ClusterError if another cluster
        has written to the folder meanwhile."""
        before = cluster.found.folders if cluster.found else {}
        left = {name: before[name] for name in kept if name in before}
        kept = [name for name in kept if name not in left]
        series = self._automatic if is_automatic else self._series
        path, saved = series.path(cluster.clock), None
        with contextlib.ExitStack() as held:
            self._check_alone()
            try:
                with series.staged(cluster.clock) as folder:
                    self._check_alone()  # nobody else can write any more
                    _fill(folder, cluster, tables)
                    for name in kept:
                        assert cluster.found is not None
                        _link(cluster.found.folder(name), os.path.join(folder, TABLES, name))
                    joined = [] if is_automatic else _fill_joined(folder, cluster, left)
                    held.enter_context(uninterrupted())
                    tree = _tree(cluster, tables, kept, meta) | {"joined": joined}
                    save(os.path.join(folder, CLUSTER), tree)
                    saved = _read(path, tree)
            finally:
                if saved is not None and os.path.isdir(path):
                    self._own[series] = cluster.clock
                    then(saved, is_automatic)
            if not is_automatic:
                self._forget_automatic()
        assert saved is not None
        return saved

    def _check_alone(self) -> None:
        for series, own in self._own.items():
            if (found := _highest(series)) > own:
                raise ClusterError(
                    f"another cluster has written {series.path(found)!r} since this one began: of two drivers on one "
                    "folder only one goes on"
                )

    def _forget_automatic(self) -> None:
        """Nothing needs them any more. What can't be deleted goes with the next."""
        for step in self._automatic.steps():
            with contextlib.suppress(OSError):
                discard(DISK, self._automatic.path(step))


def _highest(series: Series) -> int:
    return max(series.steps(), default=0)


def _fill(folder: str, cluster: Cluster, tables: Mapping[str, tuple[int, Any]]) -> None:
    """Let all shards write their parts."""
    _make(os.path.join(folder, TABLES), *(os.path.join(folder, TABLES, name) for name in tables))
    requests = [
        line.ask("save", name, step, os.path.join(folder, TABLES, name), cluster.n_shards, is_long=True)
        for name, (step, _) in tables.items()
        for line in cluster.lines
    ]
    _wait_for_all(requests)


def _link(source: str, target: str) -> None:
    """Have the files of a folder, which nobody ever changes, under another name too; durably. Where the file system has
    no second names, copies of them."""
    DISK.make_folder(target)
    for entry in os.scandir(source):
        path = os.path.join(target, entry.name)
        if entry.is_dir():
            _link(entry.path, path)
            continue
        try:
            os.link(entry.path, path)
        except FileNotFoundError:
            raise
        except OSError:
            _copy(entry.path, path)
    DISK.sync_folder(target)
    DISK.sync_folder(os.path.dirname(target))


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as old, open(target, "xb") as new:
        shutil.copyfileobj(old, new, 1 << 20)
        new.flush()
        DISK.sync(new.fileno())


def _fill_joined(folder: str, cluster: Cluster, left: Mapping[str, str]) -> list[str]:
    """Let all that is no table write its folder, and keep those that nobody took over; all names."""
    if left or cluster.joined:
        _make(os.path.join(folder, JOINED))
    for name, source in left.items():
        _link(source, os.path.join(folder, JOINED, name))
    return [*cluster.joined.save(os.path.join(folder, JOINED)), *left]


def _tree(
    cluster: Cluster,
    tables: Mapping[str, tuple[int, Mapping[str, Any]]],
    kept: Sequence[str],
    meta: dict[str, Any],
) -> dict[str, Any]:
    now, before = cluster.partition, cluster.found.tables if cluster.found else {}
    every = [SavedTable(cluster.streams[name].spec, *each, now) for name, each in tables.items()]
    every += [before[name] for name in kept]
    return {
        "format": FORMAT,
        "version": VERSION,
        "clock": cluster.clock,
        "epoch": max(line.epoch for line in cluster.lines),
        "partition": now.as_dict(),
        "meta": meta,
        "tables": {
            name: {
                "spec": each.spec,
                "step": each.step,
                "driver": each.driver,
                "partition": each.partition.as_dict(),
            }
            for name, each in zip([*tables, *kept], every, strict=True)
        },
    }


def _make(*folders: str) -> None:
    for folder in folders:
        os.makedirs(folder)
        DISK.sync_folder(os.path.dirname(folder))


def _wait_for_all(requests: list[Any]) -> None:
    """Wait for all, also if one fails: nobody may write to the folder when it is gone."""
    failed: BaseException | None = None
    for request in requests:
        try:
            request.get()
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _read(path: str, tree: Any) -> Saved:
    if not isinstance(tree, Mapping) or tree.get("format") != FORMAT:
        raise FormatError(f"{path!r} is no checkpoint of a cluster")
    if tree.get("version") != VERSION:
        raise FormatError(f"{path!r} is a checkpoint of version {tree.get('version')!r}: upgrade symopt")
    tables = {
        name: SavedTable(each["spec"], each["step"], each["driver"], Partition.from_dict(each["partition"]))
        for name, each in tree["tables"].items()
    }
    partition, joined = Partition.from_dict(tree["partition"]), tuple(tree.get("joined", ()))
    return Saved(path, tree["clock"], tree["epoch"], partition, tables, tree["meta"], joined)

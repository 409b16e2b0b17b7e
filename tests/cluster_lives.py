"""The life of a training at shards that are lost, under drivers that die, to its end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from cluster_runs import Model, digest, numbers_of, sharded, step
from lossy import DriverDied, Host, Lossy

from symopt.checkpoint.disk import Disk
from symopt.distributed import Cluster, ShardedTable


class FatalDisk(Disk):
    """The driver dies at the `at`-th change of its disk: half of the time before it, else after it."""

    def __init__(self, at: int, is_after: bool) -> None:
        self.at, self.is_after = at, is_after

    def _change(self, do: Callable[..., Any], *args: Any) -> Any:
        self.at -= 1
        if self.at == 0 and not self.is_after:
            raise DriverDied
        found = do(*args)
        if self.at == 0:
            raise DriverDied
        return found

    def make_folder(self, path: str) -> None:
        self._change(super().make_folder, path)

    def sync_folder(self, path: str) -> None:
        self._change(super().sync_folder, path)

    def rename(self, old: str, new: str) -> None:
        self._change(super().rename, old, new)

    def remove(self, path: str) -> None:
        self._change(super().remove, path)


def clustered(transport: Any, path: str, n_shards: int | None, **options: Any) -> Cluster:
    return Cluster(n_shards, transport=transport, path=path, timeout=1.0, **options)


@dataclass
class Life:
    """`steps` steps, whatever happens. `seen`: what did. `make`: the transport of each driver."""

    path: str
    seed: int
    model: Model
    steps: int = 30
    rates: dict[str, float] = field(default_factory=dict)
    is_eventful: bool = True  # drivers die, and tables are resharded
    checkpoints: float = 0.15  # per step
    seen: Counter[str] = field(default_factory=Counter)
    ghosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(f"life {self.seed}")
        self.model.grow(self.steps)

    def lived(self) -> Life:
        """Live to the end."""
        while not self._driver():
            self.seen["drivers died"] += 1
        return self

    def _driver(self) -> bool:
        """One driver: whether it came to the end."""
        self.transport = Lossy((self.seed, sum(self.seen.values())), self.ghosts, **self.rates)
        if self.is_eventful and self.random.random() < 0.6:
            self.transport.kill_driver_in = self.random.randrange(1, 600)
        try:
            n_shards = self.random.choice([None, 1, 2, 3])
            log_bytes = self.random.choice([1 << 30, 20_000])
            self.cluster = clustered(self.transport, self.path, n_shards, log_bytes=log_bytes)
            self.table = self._opened()
            self._train(self._resumed())
            self._end()
        except DriverDied:
            return False
        finally:
            self.seen.update(self.transport.seen)
            self.ghosts = self.transport.hosts[-6:]
            for host in self.ghosts:
                host.is_stopped = True
        return True

    def _opened(self) -> ShardedTable:
        while True:
            try:
                return sharded(self.cluster, self.model.kind)
            except KeyboardInterrupt:
                self.seen["opening interrupted"] += 1

    def _resumed(self) -> int:
        """How far the table is; what its stats lack from here on."""
        resumed = self.cluster.resumed
        begun = resumed["step"] if resumed else 0
        now = asdict(self.table.stats)
        self.lacks = {name: n - now[name] for name, n in self.model.stats[begun].items()}
        return begun

    def _train(self, k: int) -> None:
        while k < self.steps:
            before = self.table._stream.step
            try:
                told = step(self.table, k)
            except KeyboardInterrupt:
                self.seen["steps interrupted"] += 1
                k = self._interrupted(before, k)
                continue
            assert told == self.model.told[k], f"step {k} answered {told}, not {self.model.told[k]}"
            k += 1
            self._event(k)

    def _interrupted(self, before: int, k: int) -> int:
        """The step was sent, or it was not, and only ids were counted: then everything goes back."""
        if self.table._stream.step > before:
            for name in ("hits", "misses"):  # of a lookup whose answer nobody got
                self.lacks[name] = self.model.stats[k + 1][name] - getattr(self.table.stats, name)
            return k + 1
        while True:
            try:
                self.cluster.restore()
                break
            except KeyboardInterrupt:
                self.seen["restores interrupted"] += 1
        self.seen["restored"] += 1
        return self._resumed()

    def _event(self, k: int) -> None:
        """What else happens after step `k`."""
        what = self.random.random()
        try:
            if what < self.checkpoints:
                self._checkpoint(k)
            elif self.is_eventful and what < self.checkpoints + 0.05:
                self.cluster.reshard(self.random.choice([1, 2, 3]))
                self.seen["resharded"] += 1
        except KeyboardInterrupt:
            self.seen["events interrupted"] += 1
            if self.cluster.trouble:
                raise DriverDied from None

    def _checkpoint(self, k: int) -> None:
        saving = self.cluster._saving
        assert saving is not None
        if self.is_eventful and self.random.random() < 0.3:
            saving._series._disk = FatalDisk(self.random.randrange(1, 12), self.random.random() < 0.5)
        self.cluster.checkpoint({"step": k})
        saving._series._disk = Disk()
        self.seen["checkpoints"] += 1

    def _end(self) -> None:
        """The same bits, the same counts."""
        self.transport.is_calm, self.transport.kill_driver_in = True, None
        assert isinstance(self.table, ShardedTable)
        assert digest(self.table) == self.model.digests[self.steps], "other bits"
        for line in self.cluster.lines:
            its = line._host.runs._served[self.table.name].table
            assert numbers_of(its._rows) == numbers_of(self.table._rows), "a shard has other numbers"
        counted = {name: n + self.lacks[name] for name, n in asdict(self.table.stats).items()}
        expected = self.model.stats[self.steps]
        assert counted == expected, f"other counts: {counted}, not {expected}"
        self.cluster.close()

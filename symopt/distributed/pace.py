"""How fast a cluster is and how far its shards are, from what the driver knows anyway: nothing is asked for it."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..view.plain import counted

if TYPE_CHECKING:
    from .cluster import Cluster
    from .line import Line

LOG = logging.getLogger("symopt.distributed")
WINDOW = 10.0  # seconds that steps and bytes per second are of
_SPACING = 0.1  # seconds between two of the counts that make them
_QUIET = 1.0  # seconds before the first line, between lines, and between what dashboards are told
_MB = 1e6


@dataclass(frozen=True)
class Pace:
    """Numbers of a cluster while it runs.

    steps: pushed since it was made, of all tables. steps_per_s, bytes_per_s: over the last ten seconds.
    lag: of the slowest shard: steps of a table that were pushed, and not yet answered. spread: how many steps of a
        table the slowest shard is behind the fastest.
    queue_bytes: gradients on their way. kept_bytes: those that lost shards would be sent again.
    dups: pushes that shards refused because they had them. recoveries: how often a shard was started again.
    """

    steps: int
    steps_per_s: float
    bytes_per_s: float
    lag: int
    spread: int
    queue_bytes: int
    kept_bytes: int
    dups: int
    recoveries: int

    def line(self) -> str:
        """The most of it as a line of text."""
        return ", ".join(
            (
                f"{counted(self.steps, 'step')}, {self.steps_per_s:,.1f} a second",
                f"{self.bytes_per_s / _MB:,.1f} MB/s",
                f"lag {self.lag} (spread {self.spread})",
                f"on the way {self.queue_bytes / _MB:,.1f} MB",
                f"{counted(self.dups, 'duplicate')} refused",
                counted(self.recoveries, "recover", "ies") if self.recoveries != 1 else "1 recovery",
            )
        )


class Sample(NamedTuple):
    """A number for a dashboard. `tags`: of which shard and table; `grows`: it is a count, which never falls."""

    name: str
    value: float
    tags: dict[str, str]
    grows: bool = False


Tell = Callable[[Pace], object]
Show = Callable[[Sequence[Sample]], object]


class Meter:
    """Counts steps. `progress`: a function that is given a Pace of each step, True for lines on stderr, or None.
    `show`: what a dashboard is told with, at most once a second."""

    def __init__(
        self,
        progress: Tell | bool | None,
        show: Show | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._show = clock, show
        self.begun = clock()
        self.steps = self.bytes = self.saves = self.dups = self._told = 0
        self.save_seconds: float | None = None  # of the latest checkpoint
        self._counts = deque([(self.begun, 0, 0)])
        self._next_line = self._next_show = self.begun + _QUIET
        self._tell = self._print if progress is True else progress or None

    def count(self, nbytes: int, is_step: bool) -> None:
        """So many bytes were pushed, and with them the last part of a step. Calls nobody: a step is half done."""
        self.bytes += nbytes
        self.steps += is_step
        now = self._clock()
        if is_step and now - self._counts[-1][0] >= _SPACING:
            self._counts.append((now, self.steps, self.bytes))
            self._trim(now)

    def tell(self, cluster: Cluster, is_last: bool = False) -> None:
        """Say how far it is, if there was a step since; between steps, when what is told may raise."""
        if self._tell is not None and self.steps > self._told:
            self._told = self.steps
            self._tell(pace_of(cluster))
        if self._show is not None and (is_last or self._clock() >= self._next_show):
            self._next_show = self._clock() + _QUIET
            self._show([*samples_of(cluster)])

    def leave(self, lines: Iterable[Line]) -> None:
        """These shards are no more; what they counted stays counted."""
        for line in lines:
            self.dups += sum(line.dups.values())

    @contextmanager
    def saving(self, far: str) -> Iterator[None]:
        """A checkpoint is written meanwhile."""
        begun = self._clock()
        LOG.info("checkpoint begins: %s", far)
        try:
            yield
        except BaseException as error:
            LOG.error(
                "checkpoint failed (%s: %s), the one before counts: %s", type(error).__name__, error, far
            )
            raise
        self.saves += 1
        self.save_seconds = self._clock() - begun
        LOG.info("checkpoint written in %.2f s: %s", self.save_seconds, far)

    def rates(self) -> tuple[float, float]:
        """Steps and bytes per second."""
        now = self._clock()
        self._trim(now)
        begun, steps, nbytes = self._counts[0]
        seconds = max(now - begun, 1e-9)
        return (self.steps - steps) / seconds, (self.bytes - nbytes) / seconds

    def _trim(self, now: float) -> None:
        """Let counts go that are too old, but for the youngest of those."""
        while len(self._counts) > 1 and self._counts[1][0] <= now - WINDOW:
            self._counts.popleft()

    def _print(self, pace: Pace) -> None:
        now = self._clock()
        if now >= self._next_line:
            self._next_line = now + _QUIET
            print(f"cluster: {pace.line()}", file=sys.stderr, flush=True)


def pace_of(cluster: Cluster) -> Pace:
    """The numbers of now."""
    behind = [
        [s.step - line.done.get(name, 0) for line in cluster.lines] for name, s in cluster.streams.items()
    ]
    return Pace(
        cluster.meter.steps,
        *cluster.meter.rates(),
        lag=max(map(max, behind), default=0),
        spread=max((max(each) - min(each) for each in behind), default=0),
        queue_bytes=sum(line.flying_bytes for line in cluster.lines),
        kept_bytes=sum(line.kept_bytes for line in cluster.lines),
        dups=cluster.meter.dups + sum(sum(line.dups.values()) for line in cluster.lines),
        recoveries=cluster.recoveries,
    )


def samples_of(cluster: Cluster) -> Iterator[Sample]:
    """The same for a dashboard, each shard and table apart."""
    steps_per_s, bytes_per_s = cluster.meter.rates()
    yield Sample("symopt_steps_per_second", steps_per_s, {})
    yield Sample("symopt_bytes_per_second", bytes_per_s, {})
    for line in cluster.lines:
        shard = {"shard": str(line.number)}
        yield Sample("symopt_queue_bytes", line.flying_bytes, shard)
        yield Sample("symopt_queue_pushes", line.n_flying, shard)
        yield Sample("symopt_kept_bytes", line.kept_bytes, shard)
        yield Sample("symopt_recoveries", line.recoveries, shard, True)
        yield Sample("symopt_duplicates_refused", sum(line.dups.values()), shard, True)
        for name, stream in cluster.streams.items():
            done = line.done.get(name, 0)
            yield Sample("symopt_done_step", done, {**shard, "table": name})
            yield Sample("symopt_lag_steps", stream.step - done, {**shard, "table": name})

"""Times of every kernel over some steps: `with exe.profile() as p: ...`."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..errors import GraphError
from ..planned import Planned
from ..step import Step
from .bandwidth import Calibration
from .hooks import Recording, Restore, Runs, attach
from .model import Cost, LaunchCost, cost
from .store import load

if TYPE_CHECKING:
    import threading

    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class LaunchTimes:
    """How long one launch took over some steps, in seconds a step; with the reference engine, one call of it.

    `count`: steps in which it ran; with `nan_guard="skip"` its rehearsal counts with it. `share` of all that launches
    took. `bytes` it moves in a step, None if that is not known; `bytes_per_second` at the median. `of_limit`: the part
    of the median that moving these bytes alone would take on this machine, which is 1 at the memory's limit; None if it
    was not measured.
    """

    number: int
    name: str
    over: str
    count: int
    median: float
    least: float
    most: float
    total: float
    share: float
    bytes: int | None = None
    bytes_per_second: float | None = None
    of_limit: float | None = None


class _Executor(Protocol):
    _lock: threading.RLock
    _step: Step
    _profile: object
    _measured: Mapping[int, float]

    def _planned(self) -> Planned: ...


class Profile:
    """Clocks around an executor's launches inside `with`; times, tables and drawings of them, then or afterwards.

    Steps of other threads count too. GraphError if the executor is profiled already. On a device every launch is waited
    for, so that kernels and host do not overlap, and steps are slower than they would be.
    """

    def __init__(self, executor: _Executor) -> None:
        self._executor = executor
        self._restore: Restore | None = None
        self._recording = Recording(0)
        self._cost: Cost | None = None
        self._names: list[tuple[str, str]] = []
        self.title = repr(executor)
        self.calibration: Calibration | None = None

    def __enter__(self) -> Self:
        executor = self._executor
        with executor._lock:
            if executor._profile is not None:
                raise GraphError(
                    f"{self.title} is profiled already: leave that profile before another is entered, or read it"
                )
            executor._step.synchronize()
            self._recording, self._restore = attach(executor._step)
            executor._profile = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        executor = self._executor
        with executor._lock:
            assert self._restore is not None
            self._restore()
            self._restore = executor._profile = None
            self._look_up()
            if self._cost is not None:
                executor._measured = {t.number: t.median for t in self.launches if t.count}

    def _look_up(self) -> None:
        """What the launches are, and what they move: known when all is done."""
        planned = self._executor._planned()
        program = planned.needed()
        self.calibration = load(planned.ctx)
        if len(self._recording.launches) == len(program.launches) and not self._is_reference():
            self._cost = cost(planned, self.calibration)
            self._names = [(launch.name, launch.over) for launch in self._cost.launches]
        else:
            self._names = [
                (f"{c.node.name}: {c.body.op.strip('_')}", "a call") for c in program.lowered.calls
            ]

    def _is_reference(self) -> bool:
        return not hasattr(self._executor._step.engine, "launches")

    # ---- what was found, in seconds

    @property
    def cost(self) -> Cost | None:
        """What the steps cost, predicted; None with the reference engine."""
        if self._cost is None and not self._names:
            self._look_up()
        return self._cost

    @property
    def steps(self) -> list[float]:
        """Each step in order, without the binding of arrays given to `forward`."""
        return [x / 1e9 for x in self._recording.steps.durations]

    @property
    def preparing(self) -> list[float]:
        """What the host prepared in each step: numbers, indices of sparse gradients."""
        return [x / 1e9 for x in self._recording.preparing.durations]

    @property
    def binding(self) -> list[float]:
        """What binding the arrays given to `forward` took, before each step."""
        return [x / 1e9 for x in self._recording.binding]

    @property
    def host(self) -> list[float]:
        """Each step without its launches: preparing, copies of arrays, Python."""
        left = list(self._recording.steps.durations)
        for runs in (*self._recording.launches, *self._recording.rehearsals):
            for step, duration in zip(runs.steps, runs.durations, strict=True):
                left[step] -= duration
        return [x / 1e9 for x in left]

    @property
    def launches(self) -> list[LaunchTimes]:
        """The times of every launch, in the order they run."""
        known, recording, found = self.cost, self._recording, []
        all_runs = (*recording.launches, *recording.rehearsals)
        whole = sum(sum(runs.durations) for runs in all_runs)
        for k, (name, over) in enumerate(self._names):
            launch = known.launches[k] if known is not None else None
            runs, rehearsals = recording.launches[k], recording.rehearsals[k]
            found.append(_times((k, name, over), runs, rehearsals, whole, launch))
        return found

    def as_dict(self) -> dict[str, Any]:
        """Everything as lists, dicts, texts and numbers, seconds and bytes: what JSON takes."""
        names = ("title", "steps", "preparing", "binding", "host")
        return {**{n: getattr(self, n) for n in names}, "launches": [asdict(t) for t in self.launches]}

    def __str__(self) -> str:
        from .times import profile_text

        return profile_text(self)

    # ---- drawings

    def trace(self, path: str | os.PathLike[str]) -> Path:
        """Write every step and launch as a Chrome trace, which Perfetto and chrome://tracing open."""
        from .trace import write_trace

        return write_trace(self, self._recording, path)

    def roofline(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what each launch achieved below the limits of this machine; into a file if there is a path (.png, .svg,
        .pdf). DependencyError without matplotlib; GraphError if the machine was not measured, or nothing ran."""
        from .roofline import roofline

        return roofline(self, path)


def _times(
    what: tuple[int, str, str], runs: Runs, rehearsals: Runs, whole: int, launch: LaunchCost | None
) -> LaunchTimes:
    by_step = runs.by_step()
    for step, duration in rehearsals.by_step().items():
        by_step[step] = by_step.get(step, 0) + duration
    durations = [x / 1e9 for x in by_step.values()]
    if not durations:
        return LaunchTimes(*what, 0, 0.0, 0.0, 0.0, 0.0, 0.0, launch.bytes if launch else None)
    median, total = statistics.median(durations), sum(durations)
    moved = _bytes(runs, launch)
    rate = moved / median if moved is not None and median > 0 else None
    limit = launch.limit if launch is not None else None
    if limit is not None and launch is not None and moved is not None and launch.bytes:
        limit *= moved / launch.bytes  # of sparse gradients that list now more, now less
    share = sum(by_step.values()) / whole if whole else 0.0
    of_limit = limit / median if limit is not None and median > 0 else None
    least, most = min(durations), max(durations)
    return LaunchTimes(*what, len(durations), median, least, most, total, share, moved, rate, of_limit)


def _bytes(runs: Runs, launch: LaunchCost | None) -> int | None:
    """Bytes of a step: the median where they vary."""
    if launch is None:
        return None
    return int(statistics.median(runs.bytes)) if runs.bytes else launch.bytes

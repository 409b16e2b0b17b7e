"""Clocks around the launches of an executor's engine: there while it is profiled, gone without a trace afterwards."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, Protocol

from ..backends.cuda.engine import CudaEngine
from ..backends.mirrored import MirroredReference
from ..backends.native import NativeEngine
from ..backends.reference import ReferenceEngine
from ..passes.ir import Call
from ..step import Step

Restore = Callable[[], None]


class Runs:
    """When something ran, in nanoseconds of `perf_counter_ns`: `starts` and `durations`, one of each a run, and in
    which of the `steps` that was. `bytes`: of each run, where they change from run to run."""

    __slots__ = ("bytes", "durations", "starts", "steps")

    def __init__(self) -> None:
        self.starts = array("q")
        self.durations = array("q")
        self.steps = array("q")
        self.bytes = array("q")

    def __len__(self) -> int:
        return len(self.starts)

    def add(self, start: int, step: int) -> None:
        """A run that ends now."""
        self.durations.append(perf_counter_ns() - start)
        self.starts.append(start)
        self.steps.append(step)

    def forget(self, count: int) -> None:
        """All but the first `count` runs."""
        for values in (self.starts, self.durations, self.steps, self.bytes):
            del values[count:]

    def by_step(self) -> dict[int, int]:
        """Nanoseconds of each step in which there was a run."""
        found: dict[int, int] = {}
        for step, duration in zip(self.steps, self.durations, strict=True):
            found[step] = found.get(step, 0) + duration
        return found


class _Runs(Protocol):
    def run(self) -> None: ...


class TimedLaunch:
    """A launch with a clock. On a device it waits for what came before, and for the launch."""

    def __init__(self, launch: _Runs, runs: Runs, recording: Recording) -> None:
        self.launch = launch
        self.varies = bool(getattr(launch, "sparse", False))
        self.runs = runs
        self._run = recording.timed(launch.run, runs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.launch, name)

    def run(self) -> None:
        """Run the launch, and note when."""
        self._run()
        if self.varies:
            self.runs.bytes.append(getattr(self.launch, "bytes", 0))


class Recording:
    """What clocks around a step noted. `launches`: of each launch, or of each call of the reference engine;
    `rehearsals`: of each launch before a guarded step. `threads`: the thread of each step. `binding`: nanoseconds that
    arrays given to `forward` took, by step. `wait`: for a device."""

    def __init__(self, count: int, wait: Callable[[], None] | None = None) -> None:
        self.launches = [Runs() for _ in range(count)]
        self.rehearsals = [Runs() for _ in range(count)]
        self.steps = Runs()
        self.preparing = Runs()
        self.threads = array("Q")
        self.binding = array("q")
        self._bound = 0
        self._wait = wait

    def timed(self, run: Callable[[], None], runs: Runs, wait: bool = True) -> Callable[[], None]:
        """A function with a clock around it."""
        steps, waiting = self.steps, self._wait if wait else None

        def timed() -> None:
            if waiting is not None:
                waiting()
            start = perf_counter_ns()
            run()
            if waiting is not None:
                waiting()
            runs.add(start, len(steps))

        return timed

    def timed_take(self, take: Callable[..., None]) -> Callable[..., None]:
        """`Step.take` with a clock."""

        def timed(given: Any) -> None:
            start = perf_counter_ns()
            take(given)
            self._bound += perf_counter_ns() - start

        return timed

    def timed_call(self, call: Callable[..., Any], number: Callable[[Any], int]) -> Callable[..., Any]:
        """The reference engine's way to run a call, with a clock for each."""

        def timed(one: Call, made: Any) -> Any:
            start = perf_counter_ns()
            result = call(one, made)
            self.launches[number(one)].add(start, len(self.steps))
            return result

        return timed

    def timed_step(self, run: Callable[[], None]) -> Callable[[], None]:
        """`Step.run` with a clock. A step that raises is not one, nor are the launches it came to."""
        inside = (*self.launches, *self.rehearsals, self.preparing)

        def timed() -> None:
            counts = [len(runs) for runs in inside]
            start = perf_counter_ns()
            try:
                run()
                if self._wait is not None:
                    self._wait()
            except BaseException:
                for runs, count in zip(inside, counts, strict=True):
                    runs.forget(count)
                raise
            self.steps.add(start, len(self.steps))
            self.threads.append(threading.get_ident())
            self.binding.append(self._bound)
            self._bound = 0

        return timed


def attach(step: Step) -> tuple[Recording, Restore]:
    """Put clocks around a step, and give what takes them away."""
    engine: Any = step.engine
    reference = engine.engine if isinstance(engine, MirroredReference) else engine
    if isinstance(reference, ReferenceEngine):
        calls = {id(call): k for k, call in enumerate(step.program.lowered.calls)}
        recording = Recording(len(calls))
        timed = recording.timed_call(reference._call, lambda call: calls[id(call)])
        restores = [_replace(reference, "_call", timed)]
    else:
        wait = engine.device.synchronize if isinstance(engine, CudaEngine) else None
        recording = Recording(len(engine.launches), wait)
        restores = _launches(engine, recording)
    restores.append(
        _replace(engine, "prepare", recording.timed(engine.prepare, recording.preparing, wait=False))
    )
    restores.append(_replace(step, "run", recording.timed_step(step.run)))
    restores.append(_replace(step, "take", recording.timed_take(step.take)))

    def restore() -> None:
        for undo in reversed(restores):
            undo()

    return recording, restore


def _launches(engine: NativeEngine | CudaEngine, recording: Recording) -> list[Restore]:
    """Clocks around the launches of an engine. One that records its steps launches them anew each time meanwhile."""
    number = {id(launch): k for k, launch in enumerate(engine.launches)}
    timed = [TimedLaunch(x, recording.launches[number[id(x)]], recording) for x in engine.running]
    restores = [_replace(engine, "running", timed)]
    if isinstance(engine, CudaEngine):
        restores.append(_replace(engine, "_capture", False))
        restores.append(_replace(engine, "_rehearsal", _rehearsals(engine._rehearsal, recording)))
    elif engine._before is not None:
        restores.append(_replace(engine._before, "_runs", _rehearsals(engine._before._runs, recording)))
    return restores


def _rehearsals(runs: Sequence[Callable[[], None]], recording: Recording) -> list[Callable[[], None]]:
    return [recording.timed(run, noted) for run, noted in zip(runs, recording.rehearsals, strict=False)]


def _replace(owner: Any, name: str, value: Any) -> Restore:
    """Set an attribute of an object, and give what makes it as it was: also not there, behind a method of the class."""
    own = vars(owner)
    had, before = name in own, own.get(name)
    setattr(owner, name, value)

    def restore() -> None:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)

    return restore

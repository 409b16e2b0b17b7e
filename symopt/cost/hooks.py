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
    """When something ran, in nanoseconds of `perf_counter_ns`: `starts` and `durations`, one of each a run. `bytes`: of
    each run, where they change from run to run."""

    __slots__ = ("bytes", "durations", "starts")

    def __init__(self) -> None:
        self.starts = array("q")
        self.durations = array("q")
        self.bytes = array("q")

    def add(self, start: int, end: int) -> None:
        """One more run."""
        self.starts.append(start)
        self.durations.append(end - start)


class _Runs(Protocol):
    def run(self) -> None: ...


class TimedLaunch:
    """A launch with a clock. On a device it waits for what came before, and for the launch."""

    def __init__(self, launch: _Runs, runs: Runs, wait: Callable[[], None] | None) -> None:
        self.launch = launch
        self.runs = runs
        self.wait = wait
        self.varies = bool(getattr(launch, "sparse", False))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.launch, name)

    def run(self) -> None:
        """Run the launch, and note when."""
        if self.wait is not None:
            self.wait()
        start = perf_counter_ns()
        self.launch.run()
        if self.wait is not None:
            self.wait()
        self.runs.add(start, perf_counter_ns())
        if self.varies:
            self.runs.bytes.append(getattr(self.launch, "bytes", 0))


class Recording:
    """What clocks around a step noted. `launches`: of each launch, or of each call of the reference engine. `threads`:
    the thread of each step. `binding`: nanoseconds that arrays given to `forward` took, by step."""

    def __init__(self, count: int) -> None:
        self.launches = [Runs() for _ in range(count)]
        self.steps = Runs()
        self.preparing = Runs()
        self.threads = array("Q")
        self.binding = array("q")
        self._bound = 0

    def wrap_take(self, take: Callable[..., None]) -> Callable[..., None]:
        """`Step.take` with a clock."""

        def timed(given: Any) -> None:
            start = perf_counter_ns()
            take(given)
            self._bound += perf_counter_ns() - start

        return timed

    def wrap_run(self, run: Callable[[], None], finish: Callable[[], None] | None) -> Callable[[], None]:
        """`Step.run` with a clock. A step that raises is not one, nor are the launches it came to."""

        def timed() -> None:
            counts = [len(runs.starts) for runs in self.launches]
            prepared = len(self.preparing.starts)
            start = perf_counter_ns()
            try:
                run()
                if finish is not None:
                    finish()
            except BaseException:
                for runs, count in zip((*self.launches, self.preparing), (*counts, prepared), strict=True):
                    del runs.starts[count:], runs.durations[count:], runs.bytes[count:]
                raise
            self.steps.add(start, perf_counter_ns())
            self.threads.append(threading.get_ident())
            self.binding.append(self._bound)
            self._bound = 0

        return timed

    def wrap_prepare(self, prepare: Callable[[], None]) -> Callable[[], None]:
        """`Engine.prepare` with a clock."""

        def timed() -> None:
            start = perf_counter_ns()
            prepare()
            self.preparing.add(start, perf_counter_ns())

        return timed


def attach(step: Step) -> tuple[Recording, Restore]:
    """Put clocks around a step, and give what takes them away."""
    engine: Any = step.engine
    reference = engine.engine if isinstance(engine, MirroredReference) else engine
    if isinstance(reference, ReferenceEngine):
        recording = Recording(len(step.program.lowered.calls))
        restores = [_replace(reference, "_call", _timed_call(reference, step, recording.launches))]
        finish = None
    else:
        recording = Recording(len(engine.launches))
        restores, finish = _launches(engine, recording.launches)
    restores.append(_replace(engine, "prepare", recording.wrap_prepare(engine.prepare)))
    restores.append(_replace(step, "run", recording.wrap_run(step.run, finish)))
    restores.append(_replace(step, "take", recording.wrap_take(step.take)))

    def restore() -> None:
        for undo in reversed(restores):
            undo()

    return recording, restore


def _launches(
    engine: NativeEngine | CudaEngine, runs: Sequence[Runs]
) -> tuple[list[Restore], Callable[[], None] | None]:
    """Clocks around the launches of an engine. One that records its steps launches them anew each time meanwhile."""
    wait = engine.device.synchronize if isinstance(engine, CudaEngine) else None
    timed = [TimedLaunch(launch, one, wait) for launch, one in zip(engine.launches, runs, strict=True)]
    clocked = dict(zip(map(id, engine.launches), timed, strict=True))
    restores = [
        _replace(engine, "running", [clocked[id(launch)] for launch in engine.running]),
        _replace(engine, "launches", timed),
    ]
    if isinstance(engine, CudaEngine):
        restores.append(_replace(engine, "_capture", False))
    return restores, wait


def _timed_call(engine: ReferenceEngine, step: Step, runs: Sequence[Runs]) -> Callable[..., Any]:
    """The reference engine's way to run a call, with a clock for each."""
    number = {id(call): k for k, call in enumerate(step.program.lowered.calls)}
    run = engine._call

    def timed(call: Call, made: Any) -> Any:
        start = perf_counter_ns()
        result = run(call, made)
        runs[number[id(call)]].add(start, perf_counter_ns())
        return result

    return timed


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

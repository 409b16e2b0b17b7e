"""A profile as a Chrome trace: JSON that Perfetto and chrome://tracing draw on a line of time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import write_whole
from .hooks import Recording, Runs

if TYPE_CHECKING:
    from .profile import Profile

PROCESS = 1
Event = dict[str, Any]


def write_trace(profile: Profile, recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the trace of a profile, whole or not at all. OSError where nothing can be written."""
    text = json.dumps(trace(profile, recording), allow_nan=False, separators=(",", ":"))
    return write_whole(path, text.encode("ascii"))


def trace(profile: Profile, recording: Recording) -> dict[str, Any]:
    """The trace: times in microseconds since the first step began; launches lie inside their step, on its thread."""
    threads = {ident: k + 1 for k, ident in enumerate(dict.fromkeys(recording.threads))}
    starts = recording.steps.starts
    events = [*_names(profile.title, threads), *_events(profile, recording, threads, min(starts, default=0))]
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"title": profile.title}}


def _names(title: str, threads: dict[int, int]) -> Iterator[Event]:
    yield {"name": "process_name", "ph": "M", "pid": PROCESS, "tid": 0, "args": {"name": f"symopt {title}"}}
    for k in threads.values():
        yield {"name": "thread_name", "ph": "M", "pid": PROCESS, "tid": k, "args": {"name": f"thread {k}"}}


def _events(profile: Profile, recording: Recording, threads: dict[int, int], zero: int) -> Iterator[Event]:
    lines = [threads[ident] for ident in recording.threads]
    for k, line in enumerate(lines):
        yield _event("step", "step", recording.steps, k, line, zero, {"step": k})
        yield _event("prepare", "host", recording.preparing, k, line, zero, {"step": k})
    for times, runs in zip(profile.launches, recording.launches, strict=True):
        for k, line in enumerate(lines):
            args: dict[str, Any] = {"launch": times.number, "for": times.over, "step": k}
            moved = runs.bytes[k] if runs.bytes else times.bytes
            if moved is not None:
                args["bytes"] = moved
                args["GB/s"] = round(moved / runs.durations[k], 3) if runs.durations[k] else 0.0
            yield _event(times.name, "launch", runs, k, line, zero, args)


def _event(name: str, kind: str, runs: Runs, k: int, line: int, zero: int, args: dict[str, Any]) -> Event:
    times = {"ts": (runs.starts[k] - zero) / 1000, "dur": runs.durations[k] / 1000}
    return {"name": name, "cat": kind, "ph": "X", **times, "pid": PROCESS, "tid": line, "args": args}

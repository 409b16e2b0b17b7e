"""A profile as a Chrome trace: JSON that Perfetto and chrome://tracing draw on a line of time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_whole
from .hooks import Recording, Runs

if TYPE_CHECKING:
    from .profile import Profile

PROCESS = 1
Event = dict[str, Any]


def write_trace(profile: Profile, recording: Recording, path: str | os.PathLike[str]) -> Path:
    """Write the trace of a profile, whole or not at all. OSError where nothing can be written."""
    text = json.dumps(trace(profile, recording), allow_nan=False, separators=(",", ":"))
    write_whole(path, text.encode("ascii"))
    return Path(path)


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
    for name, kind, runs in (("step", "step", recording.steps), ("prepare", "host", recording.preparing)):
        for k, step in enumerate(runs.steps):
            yield _event(name, kind, runs, k, lines[step], zero, {"step": step})
    for times, runs, rehearsals in zip(
        profile.launches, recording.launches, recording.rehearsals, strict=True
    ):
        args: dict[str, Any] = {"launch": times.number, "for": times.over}
        for k, step in enumerate(runs.steps):
            moved = runs.bytes[k] if runs.bytes else times.bytes
            more = {} if moved is None else {"bytes": moved, "GB/s": _rate(moved, runs.durations[k])}
            yield _event(times.name, "launch", runs, k, lines[step], zero, {**args, "step": step, **more})
        for k, step in enumerate(rehearsals.steps):
            name = f"{times.name} (rehearsal)"
            yield _event(name, "rehearsal", rehearsals, k, lines[step], zero, {**args, "step": step})


def _rate(n_bytes: int, nanoseconds: int) -> float:
    return round(n_bytes / nanoseconds, 3) if nanoseconds else 0.0


def _event(name: str, kind: str, runs: Runs, k: int, line: int, zero: int, args: dict[str, Any]) -> Event:
    times = {"ts": (runs.starts[k] - zero) / 1000, "dur": runs.durations[k] / 1000}
    return {"name": name, "cat": kind, "ph": "X", **times, "pid": PROCESS, "tid": line, "args": args}

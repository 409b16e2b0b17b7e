"""A profile as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..view.plain import counted, safe, size_text
from ..view.text import Lines, Table, Text
from .text import duration

if TYPE_CHECKING:
    from .profile import LaunchTimes, Profile

COLUMNS = ("", "kernel", "for", "runs", "median", "least", "most", "share", "bytes", "GB/s", "of limit")


def profile_text(profile: Profile) -> Text:
    """What `print(p)` shows: a row for each launch, and what the steps took beside."""
    times = profile.launches
    names = COLUMNS if any(t.of_limit is not None for t in times) else COLUMNS[:-1]
    rows = [_row(t)[: len(names)] for t in times]
    return Text.of(Table(names, rows), Lines(_steps(profile, times)))


def _row(t: LaunchTimes) -> tuple[str, ...]:
    rate = "" if t.bytes_per_second is None else f"{t.bytes_per_second / 1e9:.1f}"
    limit = "" if t.of_limit is None else f"{t.of_limit:.0%}"
    if not t.count:
        return (
            str(t.number),
            safe(t.name),
            t.over.partition(";")[0],
            "0",
            "",
            "",
            "",
            "",
            size_text(t.bytes),
            "",
            "",
        )
    return (
        str(t.number), safe(t.name), t.over.partition(";")[0], f"{t.count:,}", duration(t.median), duration(t.least),
        duration(t.most), f"{t.share:.1%}", size_text(t.bytes), rate, limit,
    )  # fmt: skip


def _steps(profile: Profile, times: Sequence[LaunchTimes]) -> list[str]:
    steps = profile.steps
    if not steps:
        return ["no step was run inside the profile"]
    lines = [f"{counted(len(steps), 'step')}: {_spread(steps)}"]
    kernels = sum(t.total for t in times)
    lines.append(f"in launches: {duration(kernels)} of {duration(sum(steps))} ({kernels / sum(steps):.1%})")
    lines.append(f"on the host, outside launches: {_spread(profile.host)} a step, of it to prepare:"
                 f" {duration(statistics.median(profile.preparing))}")  # fmt: skip
    if any(profile.binding):
        lines.append(f"to bind the arrays given to forward, before each step: {_spread(profile.binding)}")
    if profile.cost is not None and profile.cost.seconds is not None:
        lines.append(f"predicted: {duration(profile.cost.seconds)} a step")
    elif profile.cost is not None:
        lines.append("how near that is to the memory's limit is not known; run symopt calibrate once")
    return lines


def _spread(seconds: Sequence[float]) -> str:
    """The median, and from where to where."""
    return f"{duration(statistics.median(seconds))} ({duration(min(seconds))} to {duration(max(seconds))})"

"""A plan as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .results import Plan
from .steptime import phase

_SCALES = ("", "k", "M", "G", "T", "P", "E")
Line = tuple[str, str, str]


def plan_text(plan: Plan) -> str:
    """Three columns: what, how much, and of what it is made."""
    lines = [*_machines(plan), *_step(plan), *_disk(plan)]
    widths = [max(len(line[k]) for line in lines) for k in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in lines)


def _machines(plan: Plan) -> Iterator[Line]:
    row = plan.row
    why = {"memory": "what memory needs", "step time": "what the step time needs"}.get(
        plan.because, plan.because
    )
    yield "hosts", f"{plan.hosts:,}", why
    yield "shards", f"{plan.shards:,}", f"up to {plan.rows_per_shard:,.0f} rows each"
    short = "" if plan.fits else ": TOO LITTLE"
    yield "memory per host", size(plan.memory), f"of {size(plan.room)} for rows{short}"
    twice = "" if row.is_reserved else ", twice while it grows"
    yield (
        "memory of all",
        size(plan.total),
        (f"{row.memory:.4g} B a row: record {row.record}{twice}, map of ids {row.map:.3g}"),
    )
    yield "fullest shard", f"{plan.buckets:.3g}x", "rows by the average: buckets are whole"
    yield "busiest shard", f"{plan.peak:.3g}x", "rows of a step by the average"


def _step(plan: Plan) -> Iterator[Line]:
    wire, time = plan.wire, plan.step
    saved = (
        "" if wire.saved_by_sums == 1 else f"; {wire.saved_by_sums:.3g} times as much if repeats were sent"
    )
    yield "a worker sends", size(wire.worker_sends), f"per step, gets {size(wire.worker_gets)}{saved}"
    yield "a shard gets", size(wire.shard_gets), f"per step, sends {size(wire.shard_sends)}"
    yield "a step", duration(time.seconds), f"mostly {time.bound}; {time.calls:,} calls by the busiest sender"
    for name, parts in (("  lookup", time.lookup), ("  update", time.update)):
        yield name, duration(phase(parts)), _longest_first(parts)
    yield "  round trips", duration(time.round_trips), ""
    if time.compute:
        yield "  workers' own", duration(time.compute), ""
    yield "the slowest shard", f"{time.waiting:.3g}x", "the time of the average one, which is in the above"


def _longest_first(parts: Mapping[str, float]) -> str:
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in ordered)


def _disk(plan: Plan) -> Iterator[Line]:
    saved, back = plan.checkpoint, plan.recovery
    yield "full checkpoint", size(saved.full_bytes), f"{duration(saved.full_seconds)}, all hosts at once"
    changed = f"{duration(saved.delta_seconds)}, rows that may have changed in {duration(saved.every)}"
    yield "checkpoint of changes", size(saved.delta_bytes), changed
    parts = f"start {duration(back.start)}, load {duration(back.load)}, replay {duration(back.replay)}"
    yield "recovery of a shard", duration(back.seconds), parts
    yield "recovery of a host", duration(back.host), ""
    yield "kept for replay", size(plan.kept), "by all workers, at most"
    yield "on their way", size(plan.in_flight), "at most"


def size(count: float) -> str:
    """Bytes with three digits.

    >>> size(512), size(617_900_000_000)
    ('512 B', '618 GB')
    """
    scaled, k = float(count), 0
    while scaled >= 999.5 and k < len(_SCALES) - 1:
        scaled, k = scaled / 1000, k + 1
    return f"{scaled:.3g} {_SCALES[k]}B"


def duration(seconds: float) -> str:
    """Seconds with three digits, in a unit that people like.

    >>> duration(0.00025), duration(0.25), duration(250), duration(25000)
    ('250 us', '250 ms', '4.17 min', '6.94 h')
    """
    for unit, length, most in (("us", 1e-6, 1e-3), ("ms", 1e-3, 1), ("s", 1, 120), ("min", 60, 7200)):
        if seconds < most:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 3600:.3g} h" if seconds < 2 * 86400 else f"{seconds / 86400:,.3g} days"

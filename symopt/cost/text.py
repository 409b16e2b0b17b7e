"""Costs as text: tables with sizes, counts and times that people can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..view.plain import named, safe, size_text
from ..view.text import Lines, Table, Text
from .memory import ROLES

if TYPE_CHECKING:
    from .model import Cost

SHOWN = 6  # kinds of operations in a line
NOT_MEASURED = "predicted time: not known; run symopt calibrate once to measure this machine"


def cost_text(cost: Cost) -> Text:
    """What `print(exe.cost())` shows."""
    return Text.of(_launches(cost), _memory(cost), Lines(_totals(cost)))


def _launches(cost: Cost) -> Table:
    rows = []
    for launch in cost.launches:
        each = launch.arithmetic / launch.elements if launch.elements else 0.0
        time = [] if cost.seconds is None else [duration(launch.seconds)]
        rows.append((
            str(launch.number), safe(launch.name), launch.over.partition(";")[0], f"{launch.tensors:,}",
            f"{launch.elements:,}", size_text(launch.read), size_text(launch.written), f"{each:.1f}", *time,
        ))  # fmt: skip
    names = ("", "kernel", "for", "tensors", "elements", "read", "written", "operations each", "predicted")
    return Table(names if cost.seconds is not None else names[:-1], rows)


def _memory(cost: Cost) -> Table:
    rows = []
    for role, text in ROLES.items():
        found = [v for v in cost.variables if v.role == role]
        if found:
            rows.append((text, f"{len(found):,}", size_text(cost.total(role))))
    rows.append(("buffers of the executor", "", size_text(cost.buffers)))
    rows.append(("scratch of the engine", "", size_text(cost.scratch)))
    if cost.strided:
        rows.append(("copies of strided views", "", size_text(cost.strided)))
    rows.append(("together", "", size_text(cost.memory)))
    return Table(("memory", "count", "bytes"), rows)


def _totals(cost: Cost) -> list[str]:
    read, written = size_text(cost.read), size_text(cost.written)
    lines = [f"moved in a step: {size_text(cost.bytes)} ({read} read, {written} written)"]
    if cost.copies:
        total = size_text(sum(cost.copies.values()))
        lines.append(f"  of it copied at the end, not written in place: {named(list(cost.copies))} ({total})")
    if cost.strided:
        lines.append(f"  of it copied before, because they are strided views: {size_text(cost.strided)}")
    kinds = [f"{count:,} {kind}" for kind, count in cost.operations.items()]
    more = ", ..." if len(kinds) > SHOWN else ""
    which = f" ({', '.join(kinds[:SHOWN])}{more})" if kinds else ""
    lines.append(f"computed in a step: {cost.arithmetic:,} operations{which}")
    if cost.seconds is None:
        return [*lines, NOT_MEASURED]
    return [*lines, f"predicted time: {duration(cost.seconds)} a step on {safe(cost.device or '', 80)}"]


def duration(seconds: float | None) -> str:
    """Seconds in the unit that fits; nothing if they are not known.

    >>> duration(0.0072)
    '7.20 ms'
    """
    if seconds is None:
        return ""
    for scale, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * scale >= 0.9995:
            return f"{seconds * scale:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"

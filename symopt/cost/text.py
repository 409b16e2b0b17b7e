"""Costs as text: tables with sizes, counts and times that people can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .memory import ROLES

if TYPE_CHECKING:
    from .model import Cost

SHOWN = 6  # kinds of operations in a line
NOT_MEASURED = "predicted time: not known; run symopt calibrate once to measure this machine"


def cost_text(cost: Cost) -> str:
    """What `print(exe.cost())` shows."""
    lines = _launches(cost) + [""] + _memory(cost) + [""]
    lines.append(f"moved in a step: {size(cost.bytes)} ({size(cost.read)} read, {size(cost.written)} written)")
    if cost.copies:
        names = ", ".join(printable(name) for name in list(cost.copies)[:SHOWN])
        more = f" and {len(cost.copies) - SHOWN} more" if len(cost.copies) > SHOWN else ""
        total = size(sum(cost.copies.values()))
        lines.append(f"  of it copied at the end, because others read them during the step: {names}{more} ({total})")
    if cost.strided:
        lines.append(f"  of it copied before, because they are strided views: {size(cost.strided)}")
    kinds = list(cost.operations.items())
    named = ", ".join(f"{count:,} {kind}" for kind, count in kinds[:SHOWN])
    more = ", ..." if len(kinds) > SHOWN else ""
    lines.append(f"computed in a step: {cost.arithmetic:,} operations" + (f" ({named}{more})" if kinds else ""))
    if cost.seconds is None:
        lines.append(NOT_MEASURED)
    else:
        lines.append(f"predicted time: {duration(cost.seconds)} a step on {printable(cost.device or '')}")
    return "\n".join(lines)


def _launches(cost: Cost) -> list[str]:
    head = ["", "kernel", "over", "tensors", "elements", "read", "written", "operations", "each", "predicted"]
    rows = [head]
    for launch in cost.launches:
        each = launch.arithmetic / launch.elements if launch.elements else 0.0
        rows.append([
            str(launch.number), printable(launch.name), launch.over.partition(";")[0], f"{launch.tensors:,}",
            f"{launch.elements:,}", size(launch.read), size(launch.written), f"{launch.arithmetic:,}",
            f"{each:.1f}", "" if launch.seconds is None else duration(launch.seconds),
        ])  # fmt: skip
    if cost.seconds is None:
        rows = [row[:-1] for row in rows]
    return columns(rows, left=(1, 2))


def _memory(cost: Cost) -> list[str]:
    rows = [["memory", "arrays", ""]]
    for role, text in ROLES.items():
        found = [v for v in cost.variables if v.role == role]
        if found:
            rows.append([text, f"{len(found):,}", size(cost.total(role))])
    rows.append(["buffers of the executor", "", size(cost.buffers)])
    rows.append(["scratch of the engine", "", size(cost.scratch)])
    if cost.strided:
        rows.append(["copies of strided views", "", size(cost.strided)])
    rows.append(["together", "", size(cost.memory)])
    return columns(rows, left=(0,))


def columns(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> list[str]:
    """Rows of texts as lines, each column as wide as its widest text; numbers to the right but for the columns `left`."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [x.ljust(w) if k in left else x.rjust(w) for k, (x, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def size(n_bytes: float) -> str:
    """Bytes in thousands.

    >>> size(28_000_000)
    '28.0 MB'
    """
    number = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if number < 999.95 or unit == "PB":
            break
        number /= 1000
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits.

    >>> duration(0.0072)
    '7.20 ms'
    """
    for scale, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * scale >= 0.9995:
            return f"{seconds * scale:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def printable(name: str) -> str:
    """A name of a user's on one line: what is not printable as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)

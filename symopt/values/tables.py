"""Statistics of updates as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..view.plain import padded, safe

if TYPE_CHECKING:
    from .statistics import UpdateStatistics

HEADS = (
    "weight",
    "op",
    "|update|",
    "|weight|",
    "ratio",
    "largest",
    "at",
    "clipped",
    "zero",
    "dead rows",
    "not finite",
)
N_TEXT = 2  # columns of text; numbers stand at the right


def text_of(updates: Sequence[UpdateStatistics], most: int) -> str:
    """A line for each of the first `most`."""
    lines = [HEADS, *(_line(u) for u in updates[:most])]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADS))]
    texts = [
        "  ".join(padded(cell, widths[k], right=k >= N_TEXT) for k, cell in enumerate(line)).rstrip()
        for line in lines
    ]
    more = len(updates) - most
    return "\n".join([*texts, f"... and {more:,} more"] if more > 0 else texts)


def _line(u: UpdateStatistics) -> tuple[str, ...]:
    at = "" if u.largest_at is None else ", ".join(map(str, u.largest_at))
    clipped = " ".join(_share(x) for x in u.clipped.values())
    rows = "" if u.dead_rows is None else f"{u.dead_rows:,} of {u.rows:,}"
    numbers = (f"{x:.3g}" for x in (u.update_norm, u.weight_norm, u.ratio, u.largest))
    bad = _share(u.nonfinite_share) if u.nonfinite_share else ""
    return (safe(u.weight), safe(u.op), *numbers, f"[{at}]", clipped, _share(u.zero_share), rows, bad)


def _share(x: float) -> str:
    return f"{100 * x:.3g} %"

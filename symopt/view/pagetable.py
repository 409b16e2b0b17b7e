"""The nodes of a View as a plain HTML table: what the page says without JavaScript, and on paper."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

from .model import Item, View

ROWS = 500  # more items than this are listed by class, one of each with how many there are
WIDTH = 200  # longer texts are cut
HEADS = ("kind", "op", "name", "how many", "shape", "dtype", "bytes", "kernels", "where")


def plain_table(view: View, classes: Sequence[int]) -> str:
    """A table of the items; of many, one row for all of one class."""
    rows = [(item, item.count) for item in view.items]
    if len(rows) > ROWS:
        rows = list(_by_class(view, classes))
    left_out = len(rows) - ROWS
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    body = "\n".join(_row(_cells(item, count)) for item, count in rows[:ROWS])
    more = f"<p>and {left_out:,} more</p>" if left_out > 0 else ""
    caption = f"{html.escape(view.level)}: {len(view.items):,} nodes, {len(view.links):,} links"
    return (
        f"<table><caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>{more}"
    )


def shown(text: str) -> str:
    """Text whose characters all show: those that control, or turn the direction of writing, by their numbers.

    >>> shown("a" + chr(0x202E) + "b")
    'a⟨U+202E⟩b'
    """
    text = text if len(text) <= WIDTH else f"{text[: WIDTH - 20]}…{text[-19:]}"
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs") else f"⟨U+{ord(c):04X}⟩" for c in text
    )


def _by_class(view: View, classes: Sequence[int]) -> Iterable[tuple[Item, int]]:
    counts: dict[int, int] = {}
    firsts: dict[int, Item] = {}
    for item, number in zip(view.items, classes, strict=True):
        counts[number] = counts.get(number, 0) + item.count
        firsts.setdefault(number, item)
    return [(firsts[number], count) for number, count in counts.items()]


def _cells(item: Item, count: int) -> Sequence[str]:
    return (
        item.kind,
        "" if item.op == "null" else item.op,
        f"{item.name}, ..." if count > item.count else item.name,
        f"{count:,}",
        "?" if item.shape is None else "×".join(map(str, item.shape)) or "number",
        item.dtype or "?",
        "" if item.bytes is None else f"{item.bytes:,}",
        ", ".join(map(str, item.kernels)),
        str(item.where or ""),
    )


def _row(cells: Sequence[str]) -> str:
    """<bdi>: a name written from right to left must not turn its neighbours round."""
    return "<tr>" + "".join(f"<td><bdi>{html.escape(shown(cell))}</bdi></td>" for cell in cells) + "</tr>"

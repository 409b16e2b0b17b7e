"""Names, numbers and places as text that is safe to print, and how many columns of a terminal it takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..errors import Where
from ..escaping import escaped

WIDEST = 48  # columns that a name may take before its middle is left out
_PLAIN = re.compile(r"[ -~]*")
_ISOLATE, _END = "\u2068", "\u2069"  # Unicode's marks around text that may run from right to left


def safe(text: str, widest: int = WIDEST) -> str:
    r"""Text of somebody else's on one line: without control characters, and no wider than `widest` columns.

    What cannot be printed is written as in Python; letters that run from right to left are set apart, so that what
    stands beside them keeps its place.

    >>> safe("fc1"), safe("fc\n1\x1b[31m"), safe("layer" * 20, 12)
    ('fc1', 'fc\\n1\\x1b[31m', 'layerl…layer')
    """
    text = printable(text, widest)
    if not text.isascii() and any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return f"{_ISOLATE}{text}{_END}"
    return text


def printable(text: str, widest: int = WIDEST) -> str:
    """The same for text that has a line to itself, where nothing need be set apart."""
    if _PLAIN.fullmatch(text) is None:
        text = escaped(text)
    return shortened(text, widest)


def shortened(text: str, widest: int) -> str:
    """The text, or its beginning and end if it takes more than `widest` columns."""
    if columns(text) <= widest:
        return text
    head, tail = widest // 2, (widest - 1) // 2
    while columns(text[:head]) > widest // 2:
        head -= 1
    while columns(text[len(text) - tail :]) > (widest - 1) // 2:
        tail -= 1
    return f"{text[:head]}…{text[len(text) - tail :]}"


def columns(text: str) -> int:
    """How many columns of a terminal a line takes: two for wide letters, none for accents put on others.

    >>> columns("weight"), columns("重み"), columns("e\u0301")
    (6, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_width(c) for c in text)


def _width(character: str) -> int:
    if character in (_ISOLATE, _END) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int, right: bool = False) -> str:
    """The text filled up with spaces to `width` columns; `right`: they come first."""
    space = " " * max(width - columns(text), 0)
    return space + text if right else text + space


def counted(n: int, what: str, plural: str = "s") -> str:
    """A number of things: "1 node", "5,000 nodes"."""
    return f"{n:,} {what}{'' if n == 1 else plural}"


def size_text(n: int | None) -> str:
    """A number of bytes, in units of 1000; nothing if it is not known."""
    if n is None:
        return ""
    size = float(n)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def shape_text(shape: Sequence[int] | None) -> str:
    """A shape as Python has it, with ? for what is not known."""
    if shape is None:
        return "?"
    parts = ["?" if n < 0 else str(n) for n in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def where_text(where: Where | None) -> str:
    """A line of somebody's source: the file's name without its folder, and the number of the line."""
    return f"{safe(Path(where.file).name, 30)}:{where.line}" if where else ""


def named(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(safe(name) for name in names[:most])
    more = len(names) - most
    return shown + (f" and {more:,} more" if more > 0 else "")

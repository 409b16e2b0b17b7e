"""Text in the language of Graphviz: strings that are shown as they were meant, whatever they hold."""

from __future__ import annotations

from .plain import printable


class Raw(str):
    """A string with escapes of Graphviz's own, complete but for its quotes."""

    __slots__ = ()


def quoted(text: str) -> str:
    """A string in Graphviz's language that is shown as `text`, whatever it holds; lines are centred.

    >>> print(quoted('say "hi" & <b>'))
    "say \\"hi\\" &amp; <b>"
    """
    return f'"{text if isinstance(text, Raw) else escaped(text)}"'


def escaped(text: str, end: str = "\\n", also: str = "") -> Raw:
    """Text with everything escaped that means something to Graphviz: in a string, and the characters of `also`. `end`:
    how a line ends, which says where it stands; of "\\n" the last one needs none."""
    lines = [printable(line, 10_000) for line in text.split("\n")]
    lines = ["".join(ESCAPES.get(c) or (f"\\{c}" if c in also else c) for c in line) for line in lines]
    return Raw(end.join(lines) + (end if end != "\\n" else ""))


# Labels are read once for backslashes and once for entities like &amp;.
ESCAPES = {"\\": "\\\\", '"': '\\"', "&": "&amp;"}
OF_RECORDS = "{}|<> "  # what else means something in the label of a record


def with_attrs(**attrs: str | float) -> str:
    """Attributes in brackets: names as they are, numbers, text quoted."""
    parts = []
    for key, value in attrs.items():
        if value != "":
            text = quoted(value) if isinstance(value, str) else f"{value:g}"
            # Of tooltips, Graphviz reads backslashes twice.
            parts.append(f"{key}={text.replace(_TWO, _TWO * 2) if key == 'tooltip' else text}")
    return f"[{', '.join(parts)}]"


_TWO = "\\\\"

"""Somebody else's text made visible: a name from a file must not end a line, move a cursor or turn letters around."""

from __future__ import annotations


def escaped(text: str, keep: str = "") -> str:
    r"""Text with every character that cannot be printed, but those in `keep`, as Python writes it.

    >>> print(escaped("a\x1b[31mb"))
    a\x1b[31mb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)

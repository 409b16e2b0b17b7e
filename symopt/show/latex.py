"""Formulas in the names of a user's graph as LaTeX. Names come from users and files: none is taken as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .blocks import Block, label_of, target
from .labels import STATE, STEP, Label, primes
from .maths import LATEX, Notation, latex_function, latex_number, letter, write
from .terms import Term

_WORD = re.compile(r"[A-Za-z]+_?[0-9]*")
_ESCAPES = {
    "\\": r"\backslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "%": r"\%", "#": r"\#", "&": r"\&", "_": r"\_",
    "^": r"\wedge{}", "~": r"\sim{}", " ": r"\ ",
}  # fmt: skip
# In text mode, where commands of mathematics do not work.
_TEXT_ESCAPES = _ESCAPES | {"\\": "/", "^": "*", "~": "-", " ": " "}


def latex(blocks: Sequence[Block]) -> str:
    """Blocks as one aligned group of lines. States and weights have t as subscript, and t-1 before the step."""
    rows: list[str] = []
    for block in blocks:
        if block.about:
            rows.append(rf"&\text{{{_text(block.about)}:}}")
        rows += _rows(block)
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"])


def _rows(block: Block) -> list[str]:
    symbols = _symbols(block)

    def named(label: Label) -> str:
        return _timed(symbols[label.name], label)

    def leaf(t: Term) -> str:
        return latex_number(t.value) if isinstance(t.value, float) else named(label_of(t, block.labels))

    notation = Notation(LATEX, r"\left({0}\right)", latex_function, leaf, powers=True)
    return [f"{named(target(line, block.labels))} &= {write(line.value, notation)}" for line in block.lines]


def _symbols(block: Block) -> dict[str, tuple[str, str]]:
    """Symbol and subscript of every name; two that would look the same are written in full."""
    found: dict[str, tuple[str, str]] = {}
    names = dict.fromkeys(label.name for label in block.labels.values())
    for name in names:
        symbol = letter(name, False) if _WORD.fullmatch(name) else (escaped(name), "")
        found[name] = symbol if symbol not in found.values() else (escaped(name), "")
    return found


def escaped(name: str) -> str:
    r"""A name in upright letters, every character for itself.

    >>> escaped("fc1_weight"), escaped("}x")
    ('\\mathrm{fc1\\_weight}', '\\mathrm{\\}x}')
    """
    return rf"\mathrm{{{''.join(_ESCAPES.get(c, c) if c.isprintable() else '?' for c in name)}}}"


def _text(text: str) -> str:
    return "".join(_TEXT_ESCAPES.get(c, c) if c.isprintable() else "?" for c in text)


def _timed(symbol: tuple[str, str], label: Label) -> str:
    """A symbol with its time: t-1 before the step, t after it; updated more than once, with primes."""
    name, index = symbol
    time = ""
    if label.time == STATE:
        time = "t" if label.updates else "t-1"
    elif label.time == STEP:
        time = "t"
    below = ",".join(filter(None, (index, time)))
    marks = primes(label.updates - 1) if label.updates > 1 else ""
    written = f"{name}{'{}' * (not name.endswith('}'))}{marks}" if marks else name
    written += f"_{{{below}}}" if below else ""
    return rf"\operatorname{{{label.part}}}\left({written}\right)" if label.part else written

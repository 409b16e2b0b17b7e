"""What the values of a formula are called where it stands: names that users gave, made harmless in each notation."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..escaping import escaped

STATE, STEP, NONE = "state", "step", ""
PARTS = ("re", "im")
_PLAIN = re.compile(r"[^\W\d][\w.]*(\[\d+\])*")
_PRIMES = ("", "'", "''", "'''")


class Label(NamedTuple):
    """The name of a value, and how often it was updated. `time`: STATE (the weight and states: what they were after the
    last step, then after this one), STEP (given for this step alone, a gradient), NONE. `part`: of a complex value,
    "re" or "im" if only that is meant."""

    name: str
    updates: int = 0
    time: str = NONE
    part: str = ""

    def updated(self) -> Label:
        """What this is called once it was updated again."""
        return self._replace(updates=self.updates + 1, time=STATE)


Labels = Mapping[str, Label]


def quoted(name: str) -> str:
    """A name as it can stand in a line of text: quoted if it could be read as something else.

    >>> quoted("fc1_weight"), quoted("a - b"), quoted("two\\nlines")
    ('fc1_weight', '"a - b"', '"two\\\\nlines"')
    """
    if _PLAIN.fullmatch(name):
        return name
    return '"' + escaped(name).replace('"', '\\"') + '"'


def text_of(label: Label) -> str:
    """A label as text: a prime for each update."""
    name = quoted(label.name) + primes(label.updates)
    return f"{label.part}({name})" if label.part else name


def primes(count: int) -> str:
    """So many primes; of more than three, their number."""
    return _PRIMES[count] if count < len(_PRIMES) else f"'({count})"


def with_between(labels: Labels, between: Collection[str]) -> dict[str, Label]:
    """The labels, and one for each value in between: its own name, or another where a user's value is called so."""
    taken = {text_of(label) for label in labels.values()}
    found = dict(labels)
    for name in between:
        free, k = name, 1
        while free in taken:
            free, k = f"{name}_{k}", k + 1
        taken.add(free)
        found[name] = Label(free)
    return found


# ---- parts of complex values


def with_part(slot: str, part: str) -> str:
    """The slot of one part, "re" or "im", of a complex value; of a real one ("") its own."""
    return f"{part}({slot})" if part else slot


def part_of(slot: str) -> tuple[str, str]:
    """The slot of the whole value, and which part is meant."""
    return (slot[3:-1], slot[:2]) if slot.startswith(("re(", "im(")) else (slot, "")

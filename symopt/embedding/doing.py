"""Batches of commands that happen whole or not at all."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import nullcontext
from typing import TypeAlias

from ..interrupts import uninterrupted

# A command on its way, in three parts. In the first it asks functions of the user's and finds memory for new rows, and
# changes nothing. In the second it does all that may fail, such as births; if it is closed after that, it takes that
# back. In the third it does what can't fail.
Doing: TypeAlias = Generator[None, None, None]


def carry_out(doings: Sequence[Doing], holds: bool = True) -> None:
    """Carry out commands, of one table or of several: all of them, or, if this raises, none.

    `holds`: no interrupt splits what they write; without, somebody else undoes what one has split."""
    for doing in doings:
        next(doing)
    with uninterrupted() if holds else nullcontext():
        try:
            for doing in doings:
                next(doing)
        except BaseException:
            for doing in reversed(doings):
                doing.close()
            raise
        for doing in doings:
            next(doing, None)


def done(doing: Doing) -> None:
    """Carry out one command, where somebody else sees to it that a batch is whole."""
    for _ in doing:
        pass

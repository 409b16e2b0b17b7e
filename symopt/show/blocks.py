"""Formulas with the names of what they are applied to, in any notation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .labels import Label, Labels, text_of, with_between
from .lines import Line
from .maths import TEXT, Notation, plain_number, write
from .terms import Term


class Block(NamedTuple):
    """Lines under a heading ("": none). `labels`: what each slot, and each value in between, is called; under `slot'`
    what its new value is called, if not the same with one update more."""

    about: str
    lines: tuple[Line, ...]
    labels: Labels


def block_of(about: str, lines: Sequence[Line], labels: Mapping[str, Label]) -> Block:
    """A block whose values in between are called otherwise than the user's."""
    between = [line.name for line in lines if line.name not in labels]
    return Block(about, tuple(lines), with_between(labels, between))


def target(line: Line, labels: Labels) -> Label:
    """What the left side of a line is called."""
    return new_of(line.name, labels) if line.is_new else labels[line.name]


def label_of(t: Term, labels: Labels) -> Label:
    """What a name in a formula is called."""
    slot = str(t.value)
    return new_of(slot, labels) if t.op == "new" else labels[slot]


def new_of(slot: str, labels: Labels) -> Label:
    """What the new value of a slot is called."""
    return labels.get(f"{slot}'") or labels[slot].updated()


def text_rows(block: Block) -> list[str]:
    """The lines of a block in Unicode, one below the other; x' is the new value of x."""

    def leaf(t: Term) -> str:
        return plain_number(t.value) if isinstance(t.value, float) else text_of(label_of(t, block.labels))

    notation = Notation(TEXT, "({0})", str, leaf)
    rows = [(text_of(target(line, block.labels)), write(line.value, notation)) for line in block.lines]
    return aligned(rows)


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Assignments with their signs one below the other."""
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}} = {value}" for name, value in rows]


def text(blocks: Sequence[Block]) -> list[str]:
    """Blocks as lines of Unicode; those with a heading are indented below it."""
    lines: list[str] = []
    for block in blocks:
        rows = text_rows(block)
        lines += [f"{block.about}:", *(f"  {row}" for row in rows)] if block.about else rows
    return lines

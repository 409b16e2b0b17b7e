"""The formula of one node of a user's graph, in the names of what feeds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from ..expr import Node, origin, pick
from ..forms import op_of
from .blocks import Block, aligned, block_of, text
from .labels import NONE, STATE, STEP, Label, part_of, quoted, text_of
from .maths import TEXT, Notation, plain_number, write
from .pieces import Known, Numbers, Piece, Placed, pieces_of
from .terms import Term

ALIKE = 3  # of so many tensors or more the formula is written once
Name = Callable[[Node], Label]  # of an output of a node


class Member(NamedTuple):
    """A piece where it stands. `about`: which node it belongs to, "" if there is but one."""

    piece: Piece
    labels: dict[str, Label]
    about: str = ""
    numbers: Numbers = ()


MARK = "\0"


def node_lines(node: Node, known: Known | None = None) -> tuple[str, ...]:
    """The formula of a node, a line for each output and each value with a name; () for a variable.

    Inputs are called by the variables and nodes that feed them, x' is the new value of x. Attributes of the node are
    put in, and what they make neutral is left out. `known`: what its inputs are, where that is known; without it they
    are taken to be real, and formulas that differ for tall matrices are given twice.
    """
    if node.is_variable:
        return ()
    made, _ = origin(node)
    placed = pieces_of(made, known=known)
    if len(placed) == 1 and (known is None or not known.complex):
        return _filled(placed[0], made)
    return tuple(text(blocks_of([Member(p.piece, labels_of(made, p, own_label)) for p in placed])))


def own_label(node: Node) -> Label:
    """What a node's output is called where nothing else is known: a variable by its name, `node[k]` or `node.state`."""
    made, index = origin(node)
    if not index:
        return Label(made.name)
    op = op_of(made)
    return Label(f"{made.name}[{index}]" if index < op.n_results else f"{made.name}.{op.outputs[index]}")


def labels_of(node: Node, placed: Placed, name: Name, result: Name | None = None) -> dict[str, Label]:
    """What the slots of a piece of a node, and its results, are called. `result` names outputs of this node; without
    it an ordinary one is called like the node, and new values of x are x'."""
    piece = placed.piece
    labels = {}
    for slot, (position, element) in placed.inputs.items():
        if position < 0:
            labels[slot] = Label(f"{node.name}.each")
            continue
        label = name(node.inputs[position])
        own = label.name + (f"[{element}]" if element >= 0 else "")
        labels[slot] = label._replace(name=own, time=_time(piece, slot))
    for slot in piece.slots:
        labels.setdefault(slot, Label(slot))  # attributes that are not put in
    outputs = {position: k for k, position in enumerate(op_of(node).like)} if result else {}
    for slot in piece.outputs:
        whole, part = part_of(slot)
        if slot not in piece.changing:
            made = result(node) if result else Label(node.name)
            labels[slot] = made._replace(name=made.name + placed.output, part=part)
            continue
        if part:
            labels[slot] = labels[whole]._replace(part=part)
        if result:
            new = result(pick(node, outputs[placed.inputs[whole][0]]))
            labels[f"{slot}'"] = new._replace(time=STATE if new.updates else NONE, part=part)
    return labels


def _time(piece: Piece, slot: str) -> str:
    """Whether a slot changes from step to step, or is given anew for each."""
    op = piece.op
    if not op.is_update:
        return NONE
    if slot == op.inputs[0].name or any(part_of(s)[0] == slot for s in piece.changing):
        return STATE
    return STEP if any(i.name == slot and i.kind == "tensor" for i in op.inputs) else NONE


# ---- one piece, quickly


@cache
def _template(piece: Piece) -> tuple[tuple[str, bool, tuple[str, ...]], ...]:
    """Each line's target, whether it is new, and its text cut at names: every second part is a slot."""

    def leaf(t: Term) -> str:
        if isinstance(t.value, float):
            return plain_number(t.value)
        return f"{MARK}{t.value}{chr(39) * (t.op == 'new')}{MARK}"

    notation = Notation(TEXT, "({0})", str, leaf)
    return tuple(
        (line.name, line.is_new, tuple(write(line.value, notation).split(MARK))) for line in piece.lines
    )


def _filled(placed: Placed, node: Node) -> tuple[str, ...]:
    """The lines of a node's one piece: of ten thousand nodes alike, only names differ."""
    piece = placed.piece
    names = {slot: text_of(own_label(node.inputs[k])) for slot, (k, _) in placed.inputs.items()}
    for slot in piece.slots:
        names.setdefault(slot, slot)
    for name in piece.outputs:
        if name not in piece.changing:
            names[name] = quoted(node.name)
    taken = set(names.values())
    if not taken.isdisjoint(piece.between):
        return tuple(text([block_of("", piece.lines, labels_of(node, placed, own_label))]))
    rows = []
    for target, is_new, parts in _template(piece):
        value = "".join(_called(part, names) if k % 2 else part for k, part in enumerate(parts))
        rows.append((names.get(target, target) + "'" * is_new, value))
    return tuple(aligned(rows))


def _called(slot: str, names: dict[str, str]) -> str:
    return names.get(slot[:-1], slot[:-1]) + "'" if slot.endswith("'") else names.get(slot, slot)


# ---- many pieces


def blocks_of(members: Sequence[Member]) -> list[Block]:
    """A block for each piece; of many alike one, in the formula's own names for what differs."""
    groups: dict[Piece, list[Member]] = {}
    for member in members:
        groups.setdefault(member.piece, []).append(member)
    blocks: list[Block] = []
    for piece, alike in groups.items():
        if len(alike) >= ALIKE:
            blocks.append(_alike(piece, alike))
            continue
        for member in alike:
            about = ", ".join(filter(None, (member.about, piece.note)))
            blocks.append(block_of(about, piece.lines, member.labels))
    return [blocks[0]._replace(about=alike[0].piece.note)] if len(members) == 1 else blocks


def _alike(piece: Piece, members: Sequence[Member]) -> Block:
    """One block for many: what all have in common by its name, the rest as the formula calls it."""
    labels = [member.labels for member in members]
    shared = {s: first for s, first in labels[0].items() if all(own.get(s) == first for own in labels)}
    differ = [s for s in labels[0] if s not in shared and not s.endswith("'")]
    stems = Counter(s.partition(".")[0] for s in differ if s in piece.slots)
    for s in differ:
        stem = s.partition(".")[0]
        shared[s] = labels[0][s]._replace(name=stem if stems[stem] == 1 else s, updates=0)
    slot = next((s for s in piece.changing if s == piece.op.inputs[0].name), next(iter(piece.outputs)))
    names = [text_of(own[slot]) for own in labels]
    shown = ", ".join(names if len(names) <= 4 else [*names[:3], "...", names[-1]])
    parts = [f"for {len(names):,} tensors {shown}", piece.note, *_ranges(piece, members)]
    return block_of(", ".join(filter(None, parts)), piece.lines, shared)


def _ranges(piece: Piece, members: Sequence[Member]) -> Iterator[str]:
    """Of each number that is not put in, since it differs from member to member, which values it has."""
    found: dict[str, set[float]] = {}
    for member in members:
        for name, value in member.numbers:
            found.setdefault(name, set()).add(value)
    put_in = {name for name, _ in piece.numbers}
    for name, values in found.items():
        if name not in put_in and len(values) > 1:
            yield f"{name} from {plain_number(min(values))} to {plain_number(max(values))}"

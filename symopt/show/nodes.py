"""The formula of one node of a user's graph, in the names of what feeds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from ..expr import Node, origin
from ..forms import op_of
from .blocks import Block, aligned, block_of, text
from .labels import NONE, STATE, STEP, Label, quoted, text_of
from .maths import TEXT, Notation, plain_number, write
from .pieces import Piece, Placed, Shape, pieces_of
from .terms import Term

ALIKE = 3  # of so many tensors or more the formula is written once
Naming = Callable[[Node], Label]
MARK = "\0"


def node_lines(node: Node, shape: Shape | None = None) -> tuple[str, ...]:
    """The formula of a node, a line for each output and each value with a name; () for a variable.

    Inputs are called by the variables and nodes that feed them, x' is the new value of x. Attributes of the node are
    put in, and what they make neutral is left out. `shape` of the first input, if it is known, decides what is reduced
    over an axis and whether matrices are tall.
    """
    if node.is_variable:
        return ()
    made, _ = origin(node)
    placed = pieces_of(made, shape=shape)
    if len(placed) == 1:
        return _filled(placed[0], made)
    return tuple(text(blocks_of([(made, p) for p in placed], own_label)))


def own_label(node: Node) -> Label:
    """What a node's output is called where nothing else is known: a variable by its name, `node[k]` or `node.state`."""
    made, index = origin(node)
    if not index:
        return Label(made.name)
    op = op_of(made)
    return Label(f"{made.name}[{index}]" if index < op.n_results else f"{made.name}.{op.outputs[index]}")


def labels_of(node: Node, placed: Placed, naming: Naming) -> dict[str, Label]:
    """What the slots of a piece of a node, and its results, are called."""
    piece = placed.piece
    labels = {}
    for slot, (position, element) in placed.inputs.items():
        if position < 0:
            labels[slot] = Label(f"{node.name}.each")
            continue
        label = naming(node.inputs[position])
        labels[slot] = label._replace(
            name=label.name + (f"[{element}]" if element >= 0 else ""), time=_time(piece, slot)
        )
    for slot in piece.slots:
        labels.setdefault(slot, Label(slot))  # attributes that are not put in
    for name in piece.outputs:
        if name not in piece.changing:
            labels[name] = Label(f"{node.name}{placed.output}")
    return labels


def _time(piece: Piece, slot: str) -> str:
    """Whether a slot changes from step to step, or is given anew for each."""
    op = piece.op
    if not op.is_update:
        return NONE
    if slot in piece.changing or slot == op.inputs[0].name:
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


def blocks_of(pieces: Sequence[tuple[Node, Placed]], naming: Naming) -> list[Block]:
    """A block for each piece; of many alike one, in the formula's own names for what differs."""
    groups: dict[Piece, list[tuple[Node, Placed]]] = {}
    for node, placed in pieces:
        groups.setdefault(placed.piece, []).append((node, placed))
    blocks: list[Block] = []
    single = all(node is pieces[0][0] for node, _ in pieces)
    for piece, members in groups.items():
        labels = [labels_of(node, placed, naming) for node, placed in members]
        if len(members) < ALIKE:
            blocks += [
                block_of(_about(n, p, single), p.piece.lines, own) for (n, p), own in zip(members, labels)
            ]
        else:
            blocks.append(_alike(piece, labels))
    return blocks


def _about(node: Node, placed: Placed, single: bool) -> str:
    """The heading of a block: which node, unless there is but one, and when the formula holds."""
    name = "" if single else f"{quoted(node.name)} ({node.op})"
    return ", ".join(filter(None, (name, placed.piece.note)))


def _alike(piece: Piece, labels: Sequence[dict[str, Label]]) -> Block:
    """One block for many: what all have in common by its name, the rest as the formula calls it."""
    shared = {
        slot: first if all(own[slot] == first for own in labels) else first._replace(name=slot, updates=0)
        for slot, first in labels[0].items()
    }
    slot = next((s for s in piece.changing if s == piece.op.inputs[0].name), next(iter(piece.outputs)))
    names = [text_of(own[slot]) for own in labels]
    shown = ", ".join(names if len(names) <= 4 else [*names[:3], "...", names[-1]])
    about = f"for {len(names):,} tensors {shown}" + (f", {piece.note}" if piece.note else "")
    return block_of(about, piece.lines, shared)

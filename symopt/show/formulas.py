"""The formulas of a whole graph: a block for each node, short ones written where they are read, many alike once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from ..expr import PICK, Node, children, origin, toposort
from ..forms import op_of
from .blocks import Block
from .labels import Label, quoted, text_of
from .nodes import Member, blocks_of, labels_of
from .pieces import Known, Numbers, Piece, Placed, pieces_of
from .reading import read
from .terms import Term, in_order, rebuilt, term

SHORT = 6  # operations: a formula of no more is written where its result is read
FEW = 4  # of formulas that differ in their numbers only, so many are written apart
Changes = Mapping[str, Mapping[str, Any]]
Names = dict[tuple[int, int], Label]


def formulas_of(
    roots: Sequence[Node],
    *,
    numbers: bool = True,
    known: Callable[[Node], Known | None] = lambda node: None,
    changes: Changes | None = None,
) -> list[Block]:
    """What the graph under `roots` computes. `numbers`: put in the attributes' values, else their names. `known`: of
    each op node; `changes`: attributes by name of the node, in place of its own."""
    order = [n for n in toposort(roots, children) if n.op != PICK]
    sources = [_Source(n, _changed(n, (changes or {}).get(n.name)), known(n)) for n in order if n.inputs]
    tight = [pieces_of(s.given, known=s.known) for s in sources]
    loose = _varying(tight) if numbers else {p.piece.kind: _numeric(p.piece) for t in tight for p in t}
    names = names_of(order)
    writing = _Writing(roots, sources, names)
    members: dict[int, list[Member]] = {}
    for source, before in zip(sources, tight):
        free = frozenset().union(*(loose.get(p.piece.kind, frozenset()) for p in before))
        placed = pieces_of(source.given, free, source.known) if free else before
        members[id(source.node)] = writing.members(source.node, placed, before)
    return blocks_of([m for key, of in members.items() if key not in writing.inlined for m in of])


class _Source(NamedTuple):
    """A node, the same with the attributes set since, and what is known of it."""

    node: Node
    given: Node
    known: Known | None


def _changed(node: Node, attrs: Mapping[str, Any] | None) -> Node:
    return Node(node.op, node.inputs, {**node.attrs, **attrs}, node.name, node.where) if attrs else node


def _varying(placed: Iterable[tuple[Placed, ...]]) -> dict[object, frozenset[str]]:
    """Of each kind of formula with many sets of numbers, the names of those that differ."""
    found: dict[object, set[Numbers]] = {}
    for pieces in placed:
        for p in pieces:
            found.setdefault(p.piece.kind, set()).add(p.piece.numbers)
    many = {kind: sets for kind, sets in found.items() if len(sets) > FEW}
    return {kind: frozenset(n for n, _ in set[Any].union(*map(set, sets)) - set[Any].intersection(*map(set, sets)))
            for kind, sets in many.items()}  # fmt: skip


def _numeric(piece: Piece) -> frozenset[str]:
    """Numbers that have a name worth showing: a sum's other term is only called scalar."""
    return frozenset(name for name, _ in piece.numbers) if piece.op.is_update else frozenset()


class _Writing:
    """Pieces where they stand. `inlined`: nodes, by id, that are written where their result is read."""

    def __init__(self, roots: Sequence[Node], sources: Sequence[_Source], names: Names) -> None:
        self.names = names
        self.uses = Counter(id(origin(x)[0]) for s in sources for x in s.node.inputs)
        self.kept = {id(origin(root)[0]) for root in roots}
        self.short: dict[int, Member] = {}  # by id: what may be written elsewhere
        self.inlined: set[int] = set()

    def members(self, node: Node, placed: Sequence[Placed], tight: Sequence[Placed]) -> list[Member]:
        """The pieces of a node, with what is short and read only here put in."""
        about = f"{quoted(node.name)} ({node.op})"
        single = {k for p in placed for k, element in p.inputs.values() if element >= 0}
        found = []
        for p, before in zip(placed, tight):
            labels = labels_of(node, p, self._name, self._name)
            inner = {
                slot: self.short[id(node.inputs[k])]
                for slot, (k, _) in p.inputs.items()
                if k >= 0 and k not in single and id(node.inputs[k]) in self.short
            }
            self.inlined.update(id(node.inputs[p.inputs[slot][0]]) for slot in inner)
            piece = _joined(p.piece, tuple((slot, m.piece) for slot, m in inner.items()))
            for slot, m in inner.items():
                labels |= {f"{slot}.{s}": label for s, label in m.labels.items()}
            first = labels.get(p.piece.op.inputs[0].name) if len(placed) > 1 and not p.piece.note else None
            heading = f"{about}, {text_of(first)}" if first else about
            found.append(Member(piece, labels, heading, before.piece.numbers))
        if len(found) == 1 and self._is_short(node, found[0].piece):
            self.short[id(node)] = found[0]
        return found

    def _name(self, node: Node) -> Label:
        return _name(self.names, node)

    def _is_short(self, node: Node, piece: Piece) -> bool:
        """Whether a node's formula is written where it is read: one short line, read once, of no user's concern."""
        if piece.op.is_update or len(piece.lines) != 1 or "__out__" in node.attrs or id(node) in self.kept:
            return False
        size = sum(bool(t.args) for t in in_order(piece.outputs.values()))
        return self.uses[id(node)] == 1 and list(piece.outputs) == ["output"] and size <= SHORT


@cache
def _joined(piece: Piece, inner: tuple[tuple[str, Piece], ...]) -> Piece:
    """A piece with the formulas of some slots in their place; their slots are called `slot.x`."""
    if not inner:
        return piece
    made: dict[Term, Term] = {}
    for slot, other in inner:
        leaves = {t: term(t.op, value=f"{slot}.{t.value}") for t in in_order(other.outputs.values())
                  if t.op in ("input", "attr")}  # fmt: skip
        formula = rebuilt(other.outputs.values(), dict(leaves))[0]
        made |= {term(op, value=slot): formula for op in ("input", "attr")}
    outputs = dict(zip(piece.outputs, rebuilt(piece.outputs.values(), made, read)))
    names = {made[t]: name for t, name in piece.names.items() if t in made and made[t].args}
    return replace(piece, outputs=outputs, names=names)


# ---- names


def names_of(order: Iterable[Node]) -> Names:
    """What each output of each node is called: variables by their name; the new value of what is called x is x', and of
    that x''; where two nodes make new values of one, and for all other results, the name of the node."""
    names: Names = {}
    taken: set[str] = set()
    for node in order:
        if not node.inputs:
            names[id(node), 0] = Label(node.name)
            continue
        op = op_of(node)
        outs = node.attrs.get("__out__", ())
        for k, output in enumerate(op.outputs):
            if k < len(outs):
                label = names[id(outs[k]), 0].updated()
            elif op.is_update and (k >= op.n_results or op.gives == "weight"):
                label = _name(names, node.inputs[op.like[k]]).updated()
            else:
                label = Label(f"{node.name}[{k}]" if op.n_results > 1 else node.name)
            if label.updates and text_of(label) in taken:
                label = Label(node.name if k == 0 else f"{node.name}.{output}")
            taken.add(text_of(label))
            names[id(node), k] = label
    return names


def _name(names: Names, node: Node) -> Label:
    made, index = origin(node)
    return names[id(made), index]

"""What a node computes, as formulas with its own attributes put in; made once for all nodes of a signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from ..attrs import Attr
from ..expr import Node
from ..forms import op_of, then_op
from ..opdef import OpDef
from ..shapes import over_rows
from .formula import traced
from .labels import part_of, with_part
from .lines import Line, cut_lines
from .terms import Term, in_order, term

Numbers = tuple[tuple[str, float], ...]


class Known(NamedTuple):
    """What is known of a node beside its attributes: of its first input how many axes there are, and whether matrices
    have more rows than columns; which inputs, by position, are complex."""

    ndim: int
    tall: bool
    complex: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Piece:
    """A formula on slots: names of inputs and attributes, to be replaced by what they are where it stands.

    `outputs` by slot, with the `names` that the author of the formula gave to values in between; `changing`: the slots
    whose new value is among the outputs. `kind`: equal for formulas that differ in the `numbers` put in only. `note`:
    when it holds.
    """

    op: OpDef
    outputs: Mapping[str, Term]
    names: Mapping[Term, str]
    changing: frozenset[str]
    kind: object = None
    numbers: Numbers = ()
    note: str = ""

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The formula line by line."""
        return cut_lines(self.outputs, self.names, {*self.slots, *self.outputs}, self.changing)

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The inputs and attributes that it reads, in order."""
        leaves = (t for t in in_order(self.outputs.values()) if t.op in ("input", "attr"))
        return tuple(dict.fromkeys(str(t.value) for t in leaves))

    @cached_property
    def between(self) -> tuple[str, ...]:
        """Names of lines that are no output."""
        return tuple(line.name for line in self.lines if line.name not in self.outputs)


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece of a node: `inputs` says for each slot the input of the node it is, and which element of that (-1: all).
    `output`: what its result is called after the node's name, where it is no new value of a slot."""

    piece: Piece
    inputs: Mapping[str, tuple[int, int]]
    output: str = ""


def pieces_of(
    node: Node, loose: frozenset[str] = frozenset(), known: Known | None = None
) -> tuple[Placed, ...]:
    """The pieces of a node, the same objects for all nodes of its signature. Numbers in `loose` stay names."""
    attrs = node.attrs
    given = tuple([(k, attrs[k]) for k in attrs if not k.startswith("__") or k == "__scalars__"])
    return _pieces(node.op, len(node.inputs), given, loose, known)


@cache
def _pieces(
    op_name: str,
    count: int,
    given: tuple[tuple[str, Any], ...],
    loose: frozenset[str],
    known: Known | None,
) -> tuple[Placed, ...]:
    attrs = dict(given)
    op = op_of(Node(op_name, (Node("null"),) * count, attrs))
    scalars = {n: (len(op.inputs) + k, -1) for k, n in enumerate(attrs.get("__scalars__", ()))}
    if not op.parts:
        own = {i.name: (k, -1) for k, i in enumerate(op.inputs)}
        return tuple(Placed(p, {**own, **scalars}) for p in _formulas(op, attrs, set(scalars), loose, known))
    placed = []
    for t, part in enumerate(op.parts):
        numbers = {a: attrs[plural][k] for a, (plural, k) in part.attrs.items() if plural in attrs}
        inputs = {i.name: (part.inputs[k], -1) for k, i in enumerate(part.op.inputs)}
        inputs |= {**scalars, **part.arrays}
        for piece in _formulas(part.op, {**attrs, **numbers}, {*scalars, *part.arrays}, loose, known):
            placed.append(Placed(piece, inputs, f"{'.each' * (op.then is not None)}[{t}]"))
    if op.then is not None:
        whole = then_op(op)
        placed += [
            Placed(p, {whole.inputs[0].name: (-1, -1)}) for p in _formulas(whole, {}, set(), loose, None)
        ]
    return tuple(placed)


def _formulas(
    op: OpDef, attrs: Mapping[str, Any], symbols: set[str], loose: frozenset[str], known: Known | None
) -> list[Piece]:
    """The formula of one op; two of them where it depends on a shape that is not known."""
    own = [a for a in op.attrs.values() if a.name in op.keywords and a.name not in symbols]
    values = {a.name: attrs.get(a.name, a.default) for a in own}
    structural = tuple((a.name, _flag(a, values[a.name], known)) for a in own if not a.is_numeric)
    switches = tuple((a.name, values[a.name] >= 0) for a in own if a.switch)
    numbers = tuple((a.name, float(values[a.name])) for a in own if a.is_numeric and a.name not in loose)
    parts = frozenset(i.name for k, i in enumerate(op.inputs) if known is not None and k in known.complex)
    if not op.is_matrix or known is not None:
        tall = op.is_matrix and known is not None and known.tall
        return [_piece(op, structural, switches, numbers, tall, parts)]
    both = [_piece(op, structural, switches, numbers, tall, parts) for tall in (False, True)]
    if both[0].outputs == both[1].outputs:
        return both[:1]
    return [replace(p, note=f"with {more} rows than columns") for p, more in zip(both, ("no more", "more"))]


def _flag(attr: Attr, value: Any, known: Known | None) -> Any:
    """An axis as formulas take it: whether it is each row. Only all axes include the first."""
    if attr.kind != "axis":
        return value
    if known is not None:
        return over_rows(value, known.ndim)
    axes = (value,) if isinstance(value, int) else value
    return bool(axes) and 0 not in axes


@cache
def _piece(
    op: OpDef,
    structural: tuple[tuple[str, Any], ...],
    switches: tuple[tuple[str, bool], ...],
    numbers: Numbers,
    tall: bool,
    parts: frozenset[str],
) -> Piece:
    formula = traced(op, dict(structural), dict(switches), dict(numbers), tall, parts)
    outputs = dict(formula.outputs)
    for slot, t in formula.outputs.items():
        if op.residual and part_of(slot)[0] == op.residual:
            weight = with_part(op.inputs[0].name, part_of(slot)[1])
            outputs[weight] = term("rounded", t)
            outputs[slot] = term("sub", t, outputs[weight])
    names = op.input_names() if op.is_update else ()
    changing = frozenset(s for s in outputs if part_of(s)[0] in names)
    return Piece(op, outputs, formula.names, changing, (op, structural, switches, tall, parts), numbers)

"""What a node computes, as formulas of the ops it consists of with its own attributes put in; made once per signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ..expr import Node
from ..forms import op_of, then_op
from ..opdef import OpDef
from ..shapes import over_rows
from .formula import traced
from .lines import Line, cut_lines
from .terms import Term, in_order, term

Shape = tuple[int, ...]
Numbers = tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Piece:
    """A formula on slots: names of inputs and attributes, to be replaced by what they are where it stands.

    `outputs` by slot, with the `names` that the author of the formula gave to values in between; `changing`: the slots
    whose new value is among the outputs. `note`: when it holds.
    """

    op: OpDef
    outputs: Mapping[str, Term]
    names: Mapping[Term, str]
    changing: frozenset[str]
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
    node: Node, loose: frozenset[str] = frozenset(), shape: Shape | None = None
) -> tuple[Placed, ...]:
    """The pieces of a node, the same objects for all nodes of its signature. Numbers in `loose` stay names. `shape` of
    the first input, if it is known, decides what depends on it."""
    attrs = node.attrs
    given = tuple([(k, attrs[k]) for k in attrs if not k.startswith("__") or k == "__scalars__"])
    return _pieces(node.op, len(node.inputs), given, loose, shape)


@cache
def _pieces(
    op_name: str,
    count: int,
    given: tuple[tuple[str, Any], ...],
    loose: frozenset[str],
    shape: Shape | None,
) -> tuple[Placed, ...]:
    attrs = dict(given)
    op = op_of(Node(op_name, (Node("null"),) * count, attrs))
    scalars = {n: (len(op.inputs) + k, -1) for k, n in enumerate(attrs.get("__scalars__", ()))}
    if not op.parts:
        own = {i.name: (k, -1) for k, i in enumerate(op.inputs)}
        return tuple(Placed(p, {**own, **scalars}) for p in _formulas(op, attrs, set(scalars), loose, shape))
    placed = []
    for t, part in enumerate(op.parts):
        numbers = {a: attrs[plural][k] for a, (plural, k) in part.attrs.items() if plural in attrs}
        inputs = {i.name: (part.inputs[k], -1) for k, i in enumerate(part.op.inputs)}
        inputs |= {**scalars, **part.arrays}
        for piece in _formulas(part.op, {**attrs, **numbers}, {*scalars, *part.arrays}, loose, shape):
            placed.append(Placed(piece, inputs, f"{'.each' * (op.then is not None)}[{t}]"))
    if op.then is not None:
        whole = then_op(op)
        placed += [
            Placed(p, {whole.inputs[0].name: (-1, -1)}) for p in _formulas(whole, {}, set(), loose, None)
        ]
    return tuple(placed)


def _formulas(
    op: OpDef, attrs: Mapping[str, Any], symbols: set[str], loose: frozenset[str], shape: Shape | None
) -> list[Piece]:
    """The formula of one op; two of them where it depends on a shape that is not known."""
    values = {n: attrs.get(n, a.default) for n, a in op.attrs.items() if n not in symbols}
    structural = tuple(
        (a.name, _flag(a.kind, values.get(a.name), shape)) for a in op.attrs.values() if not a.is_numeric
    )
    switches = tuple(
        (a.name, values[a.name] >= 0) for a in op.attrs.values() if a.switch and a.name in values
    )
    numbers = tuple((n, float(values[n])) for n in op.numeric if n in values and n not in loose)
    if not op.is_matrix or shape is not None:
        is_tall = shape is not None and len(shape) > 1 and shape[-2] > shape[-1]
        return [_piece(op, structural, switches, numbers, op.is_matrix and is_tall)]
    wide, tall = (_piece(op, structural, switches, numbers, tall) for tall in (False, True))
    return [wide] if wide.outputs == tall.outputs else [wide, tall]


def _flag(kind: str, value: Any, shape: Shape | None) -> Any:
    """An axis as formulas take it: whether it is each row. Only all axes include the first."""
    if kind != "axis":
        return value
    if shape is not None:
        return over_rows(value, len(shape))
    axes = (value,) if isinstance(value, int) else value
    return bool(axes) and 0 not in axes


@cache
def _piece(
    op: OpDef,
    structural: tuple[tuple[str, Any], ...],
    switches: tuple[tuple[str, bool], ...],
    numbers: Numbers,
    tall: bool,
) -> Piece:
    formula = traced(op, dict(structural), dict(switches), dict(numbers), tall)
    outputs = dict(formula.outputs)
    if op.residual:
        weight = op.inputs[0].name
        exact = outputs[weight]
        outputs[weight] = term("rounded", exact)
        outputs[op.residual] = term("sub", exact, outputs[weight])
    changing = frozenset(n for n in op.input_names() if n in outputs) if op.is_update else frozenset()
    note = (
        ""
        if not op.is_matrix
        else "with more rows than columns"
        if tall
        else "with no more rows than columns"
    )
    return Piece(op, outputs, formula.names, changing, note)

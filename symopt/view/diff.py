"""What differs between two graphs: nodes, their attributes and inputs, formulas, outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from ..attrs import REQUIRED
from ..expr import Node
from ..forms import op_of
from ..listing import output_name, reference, summary_line
from ..opdef import OpDef
from ..show.sheet import formula_text
from .match import Matching, own_attributes

SHOWN = 4  # names of nodes that differ in the same way


class Change(NamedTuple):
    """One thing in which two nodes differ. `what`: "name", "op", an attribute, or an input by its name; `first` and
    `second` are "" where there is none."""

    what: str
    first: str
    second: str


class NodeChange(NamedTuple):
    """A node that both graphs have, by its name in each, and how it differs."""

    first: str
    second: str
    changes: tuple[Change, ...]


class FormulaChange(NamedTuple):
    """What the ops of changed nodes compute, where that differs: the lines that only one of them has."""

    nodes: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class GraphDifference:
    """What `graph_difference` found; `str` says it for people.

    `removed`, `added`: nodes that only the first or the second graph has, as one line of text each; `changed`: nodes
    that both have; `formulas`: what that means; `outputs`: the names of both graphs' outputs, None if they are the same
    values in the same order; `same`: how many nodes do not differ.
    """

    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[NodeChange, ...] = ()
    formulas: tuple[FormulaChange, ...] = ()
    outputs: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    same: int = field(default=0)

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return not (self.removed or self.added or self.changed or self.outputs)

    def __str__(self) -> str:
        return "\n".join(_text(self))


def graph_difference(first: Sequence[Node], second: Sequence[Node]) -> GraphDifference:
    """Compare the graphs under the roots of two Symbols. Nodes are matched by name, then by what they compute.

    An attribute that is given the value of its default does not differ from one that is not given.

    >>> from symopt import sym
    >>> w, g = sym.var("w"), sym.var("g")
    >>> a = sym.sgd_update(w, g, lr=0.1, name="u")
    >>> b = sym.sgd_update(w, g, lr=0.2, wd=0.0, name="u")
    >>> graph_difference(a._outputs, b._outputs).changed
    (NodeChange(first='u', second='u', changes=(Change(what='lr', first='0.1', second='0.2'),)),)
    """
    match = Matching(first, second)
    changed, formulas = [], _Formulas()
    for a, b in match.pairs:
        changes = tuple(_changes(a, b, match))
        if changes:
            changed.append(NodeChange(a.name, b.name, changes))
            formulas.add(a, b)
    outputs = [tuple(map(output_name, roots)) for roots in (first, second)]
    is_moved = len(first) != len(second) or not all(map(match.are_same, first, second))
    return GraphDifference(
        removed=tuple(map(summary_line, match.only_first)),
        added=tuple(map(summary_line, match.only_second)),
        changed=tuple(changed),
        formulas=formulas.changes(),
        outputs=(outputs[0], outputs[1]) if is_moved else None,
        same=len(match.pairs) - len(changed),
    )


def _changes(a: Node, b: Node, match: Matching) -> Iterator[Change]:
    if a.name != b.name:
        yield Change("name", a.name, b.name)
    if a.op != b.op:
        yield Change("op", a.op, b.op)
    ours, theirs = own_attributes(a), own_attributes(b)
    for key in dict.fromkeys((*ours, *theirs)):
        x, y = ours.get(key, ""), theirs.get(key, "")
        if x != y and not (a.op != b.op and (key in ours) != (key in theirs) and _is_default(a, b, key)):
            yield Change(key, x, y)
    yield from _input_changes(_named_inputs(a), _named_inputs(b), match)


def _is_default(a: Node, b: Node, key: str) -> bool:
    """Whether an attribute that only one of two ops has was given by nobody."""
    return key not in a.attrs and key not in b.attrs


def _input_changes(ours: Mapping[str, Node], theirs: Mapping[str, Node], match: Matching) -> Iterator[Change]:
    for name in dict.fromkeys((*ours, *theirs)):
        x, y = ours.get(name), theirs.get(name)
        if x is None or y is None or not match.are_same(x, y):
            yield Change(name, reference(x) if x else "", reference(y) if y else "")


def _named_inputs(node: Node) -> dict[str, Node]:
    """What a node reads by the name of the input, and what `out=` writes."""
    if node.is_variable:
        return {}
    names = [*op_of(node).input_names(), *node.attrs.get("__scalars__", ())]
    outs = node.attrs.get("__out__", ())
    labels = ["out"] if len(outs) == 1 else [f"out[{k}]" for k in range(len(outs))]
    return dict(zip(names + labels, (*node.inputs, *outs)))


# ---- formulas


class _Formulas:
    """Formulas that differ, each pair of them once."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}

    def add(self, a: Node, b: Node) -> None:
        if a.is_variable or b.is_variable:
            return
        ours, theirs = _formula(a), _formula(b)
        if ours != theirs:
            self._nodes.setdefault((ours, theirs), []).append(a.name)

    def changes(self) -> tuple[FormulaChange, ...]:
        return tuple(
            FormulaChange(tuple(nodes), _without(ours, theirs), _without(theirs, ours))
            for (ours, theirs), nodes in self._nodes.items()
        )


def _formula(node: Node) -> tuple[str, ...]:
    """The formula of a node with its flags, and without the clips that are off. Numbers stay names."""
    op = op_of(node)
    op = op.parts[0].op if op.parts else op
    values: dict[str, Any] = {}
    for name, attr in op.attrs.items():
        value = node.attrs.get(name, attr.default)
        off = attr.switch and isinstance(value, (int, float)) and value < 0
        if off or (not attr.is_numeric and value is not REQUIRED and name in op.keywords):
            values[name] = value
    return _formula_text(op, tuple(values.items()))


@cache
def _formula_text(op: OpDef, values: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    return tuple(" ".join(line.split()) for line in formula_text(op, dict(values)))


def _without(lines: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in lines if line not in others)


# ---- text


def _text(found: GraphDifference) -> Iterator[str]:
    if found.is_same:
        yield f"the graphs are the same: {_count(found.same, 'node')}"
        return
    counts = [(len(found.removed), "removed"), (len(found.added), "added"), (len(found.changed), "changed")]
    yield ", ".join(f"{n:,} {what}" for n, what in (*counts, (found.same, "the same")))
    yield from (f"- {line}" for line in found.removed)
    yield from (f"+ {line}" for line in found.added)
    for changes, nodes in _alike(found.changed).items():
        yield f"~ {_names(nodes)}" + ("" if changes else ": called otherwise")
        yield from (f"    {_change_text(change)}" for change in changes)
    for formula in found.formulas:
        yield f"formula of {_names(formula.nodes)}"
        yield from (f"  - {line}" for line in formula.first)
        yield from (f"  + {line}" for line in formula.second)
    if found.outputs:
        yield "outputs"
        yield from (f"  {sign} {_names(names)}" for sign, names in zip("-+", found.outputs))


def _alike(changed: Iterable[NodeChange]) -> dict[tuple[Change, ...], list[str]]:
    """Nodes, by both names if they are two, by how they differ apart from their names."""
    found: dict[tuple[Change, ...], list[str]] = {}
    for node in changed:
        rest = tuple(change for change in node.changes if change.what != "name")
        name = node.first if node.first == node.second else f"{node.first} -> {node.second}"
        found.setdefault(rest, []).append(name)
    return found


def _change_text(change: Change) -> str:
    if not change.first or not change.second:
        return f"{change.what}: " + (f"no more {change.first}" if change.first else f"now {change.second}")
    return f"{change.what}: {change.first} -> {change.second}"


def _names(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"

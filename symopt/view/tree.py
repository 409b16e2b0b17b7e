"""A graph as an indented tree: a node's inputs stand below it, each node once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..dtypes import MXNET_NAMES
from ..expr import PICK, Node, children, origin
from ..facts import labels
from ..forms import op_of
from ..infer import STYPES
from ..listing import list_variables, reference
from .plain import counted, named, safe
from .text import Branch, Text, Tree

MOST_ALIKE = 3  # so many leaves alike are shown side by side, of more only the first
MOST_ALIKE_TREES = 2  # and of trees
DEEPEST = 20  # what lies deeper continues at the margin
MOST_LINES = 400


class _Below(NamedTuple):
    """Something to show below a node: as what the node reads it, and how many more are like it."""

    role: str
    node: Node
    more: tuple[Node, ...] = ()


def tree(roots: Sequence[Node], full: bool = False) -> Text:
    """The graph under `roots`. Siblings alike are folded, and no more than MOST_LINES lines made, unless `full`."""
    grower = _Grower(roots, full)
    branches: list[Branch] = []
    for branch in grower.grow():
        if len(branches) >= MOST_LINES and not full:
            branches.append(
                Branch(0, f"... cut off after {MOST_LINES} lines: tree(full=True) shows all", "dim")
            )
            break
        branches.append(branch)
    return Text.of(Tree(branches))


class _Grower:
    def __init__(self, roots: Sequence[Node], full: bool) -> None:
        self.roots = roots
        self.full = full
        variables = list_variables(roots)
        self.states = {id(node) for node in variables.auxiliary}
        self.alike = _likeness(variables.order, self.states)
        self.shown: set[int] = set()
        self.later: list[Node] = []  # too deep where they were met

    def grow(self) -> Iterator[Branch]:
        """The lines of the tree, then those of what lay too deep in it."""
        if len(self.roots) == 1:
            yield from self._from([(0, _Below("", self.roots[0]))])
        else:
            yield Branch(0, f"group of {counted(len(self.roots), 'output')}", "bold")
            tops = self._folded([("", root) for root in self.roots])
            yield from self._from([(1, below) for below in reversed(tops)])
        for node in self.later:  # grows while it is walked
            if id(node) not in self.shown:
                yield from self._from([(0, _Below("", node))])

    def _from(self, stack: list[tuple[int, _Below]]) -> Iterator[Branch]:
        while stack:
            depth, below = stack.pop()
            if below.more:
                names = [reference(node) for node in below.more]
                extent = safe(names[0]) + (f" to {safe(names[-1])}" if len(names) > 1 else "")
                yield Branch(depth, f"... and {len(names):,} more like it: {extent}", "dim")
                continue
            node = origin(below.node)[0]
            under = self._below(node)
            known = id(node) in self.shown
            deep = depth >= DEEPEST and bool(under) and not known
            yield Branch(depth, self._line(below, known, deep), self._style(node, known))
            if deep:
                self.later.append(node)
            elif not known:
                self.shown.add(id(node))
                stack.extend((depth + 1, x) for x in reversed(under))

    def _below(self, node: Node) -> list[_Below]:
        if node.is_variable:
            return []
        op = op_of(node)
        names = labels(node, op)
        return self._folded(list(zip(names, node.inputs, strict=True)), several=bool(op.parts))

    def _folded(self, found: list[tuple[str, Node]], several: bool = True) -> list[_Below]:
        """Those alike together, in the order of their first; of many, the first and how many more there are.
        `several`: whether roles that differ by a number are one role."""
        groups: dict[object, list[tuple[str, Node]]] = {}
        for k, (role, node) in enumerate(found):
            part = role.rstrip("0123456789")
            groups.setdefault((part, self._sort(node)) if several else k, []).append((role, node))
        below: list[_Below] = []
        for group in groups.values():
            most = MOST_ALIKE_TREES if origin(group[0][1])[0].inputs else MOST_ALIKE
            many = len(group) > most and not self.full
            below += [_Below(role, node) for role, node in (group[:1] if many else group)]
            if many:
                below.append(_Below("", group[1][1], tuple(node for _, node in group[1:])))
        return below

    def _sort(self, node: Node) -> tuple[int, int]:
        """What nodes that fold together share: all results of one node after its first are of one sort."""
        made, index = origin(node)
        return self.alike[id(made)], min(index, 1) if index and index < op_of(made).n_results else index

    # ---- one line

    def _line(self, below: _Below, known: bool, deep: bool) -> str:
        node, index = origin(below.node)
        role = f"{safe(below.role)}: " if below.role else ""
        name = safe(node.name)
        if node.is_variable:
            kind = "state" if id(node) in self.states else "variable"
            return f"{role}{name}  {kind}{declared(node)}"
        picked = safe(reference(below.node)) + " of " if index else ""
        if known:
            return f"{role}{safe(reference(below.node))}  (shown above)"
        after = "  (continued below)" if deep else ""
        return f"{role}{picked}{name} = {safe(node.op)}({call_text(node)}){after}"

    def _style(self, node: Node, known: bool) -> str:
        return "dim" if known else "green" if id(node) in self.states else "" if node.is_variable else "bold"


def call_text(node: Node) -> str:
    """The attributes of an op node that differ from their defaults, and what it writes."""
    known = op_of(node).attrs
    parts = [
        f"{safe(key)}={safe(str(value), 40)}"
        for key, value in node.attrs.items()
        if not key.startswith("__") and (key not in known or known[key].default != value)
    ]
    out = node.attrs.get("__out__", ())
    return ", ".join(parts + ([f"out={named([v.name for v in out])}"] if out else []))


def declared(node: Node) -> str:
    """What a variable says of itself: shape, dtype, storage, further attributes."""
    attrs = dict(node.attrs)
    shape, code, storage = (attrs.pop(f"__{key}__", None) for key in ("shape", "dtype", "storage_type"))
    parts = [] if shape is None else [safe(str(shape))]
    if code not in (None, "-1"):
        text = str(code)
        parts.append(MXNET_NAMES.get(int(text), text) if text.isdigit() and len(text) < 4 else safe(text))
    if STYPES.get(str(storage), "default") != "default":
        parts.append(STYPES[str(storage)])
    parts += [f"{safe(k)}={safe(str(v), 40)}" for k, v in attrs.items()]
    return "".join(f" {part}" for part in parts)


# ---- which nodes are alike


def _likeness(order: Sequence[Node], states: set[int]) -> dict[int, int]:
    """A number for every node by id, the same where subtrees are alike but for the names. `order`: inputs first."""
    numbers: dict[object, int] = {}
    found: dict[int, int] = {}
    for node in order:
        if node.op == PICK:
            made, index = origin(node)
            key: object = (found[id(made)], index)
        else:
            given = tuple((k, str(v)) for k, v in node.attrs.items() if k != "__out__")
            first: dict[int, int] = {}  # which inputs are one and the same counts too
            below = tuple((found[id(x)], first.setdefault(id(x), k)) for k, x in enumerate(children(node)))
            key = (node.op, given, below, id(node) in states)
        found[id(node)] = numbers.setdefault(key, len(numbers))
    return found

"""What one call made of one element, value by value, with names and the lines of the formula."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.base import Numbers
from ..build import is_number, kernel_inputs
from ..errors import Where
from ..expr import Extent, Node, toposort
from ..hostmath import HostProgram, constant_value
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, LISTED, Attribute, Call, HostCall, Source, Value
from ..prims import CAST, PAIR, PRIMS, REDUCTIONS
from ..show.formula import COUNTS, author_names, is_exact
from ..show.kernels import loses_nothing
from ..show.labels import quoted
from ..show.lines import Namer
from .reach import Reach

PARTS = ("real", "imag")
LEAVES = {
    "index": "number of the element in the tensor",
    "column": "number of the element in its row",
    "touched": "whether the gradient lists the row",
}


@dataclass(frozen=True)
class ElementLine:
    """One value: what it is called, the value in its own dtype, what it was made of in terms of names above, the line
    of the formula that says so (None: no line of a formula), and the user's node it belongs to."""

    name: str
    value: Any
    expression: str
    where: Where | None
    node: str


class Section:
    """The lines of one call, computed for the sake of element `focus` of its output."""

    def __init__(self, reach: Reach, call: Call, output: int, focus: int) -> None:
        self.reach = reach
        self.call = call
        self.output = output
        self.focus = focus
        self.root = call.body.roots[output]
        self.sources = dict(zip(call.body.scalars, call.scalars, strict=True))
        self.leaves = {name: reach.numbers.number(source) for name, source in self.sources.items()}
        self.names: dict[int, str] = {}
        self.values: dict[int, Any] = {}
        self.lines: list[ElementLine] = []
        self.exact = True
        self.is_listed = True

    def seen(self, node: Node, value: Any) -> None:
        """A primitive was computed, in a window."""
        self.exact = self.exact and (is_number(node) or is_exact(node))
        found = self._picked(node, value)
        if found is not None:
            self.values[id(node)] = found

    def _picked(self, node: Node, value: Any) -> Any:
        """The value of the element, its row or its tensor; None if the call has many of them, or none."""
        assert node.type is not None
        array, (row, column) = np.asarray(value), self.reach.at
        if array.ndim < 2:
            return array[()]
        self.is_listed = self.is_listed and array.shape[0] > 0
        is_many = row is None or (node.type.extent == Extent.ELEMENT and column is None)
        if is_many or array.size == 0:
            return None
        return array[min(row or 0, array.shape[0] - 1), min(column or 0, array.shape[1] - 1)]

    def finish(self, result: Any) -> None:
        """All was seen, and this came of it. What is read comes first, then values by their lines in the formula."""
        body = self.call.body
        if body.mode == LIBRARY:
            names = ", ".join(quoted(v.name) for v in self.call.inputs)
            self._line(
                quoted(self.call.outputs[0].name), result, f"{self.root.op} of whole matrices: {names}", None
            )
        elif body.mode == LISTED and not self.is_listed:
            kept = self._place(body.carries[self.output], result)
            self._line("result", result, f"{kept}, kept: no row of the gradient", None)
        else:
            order = by_line(self.root)
            author = author_names(toposort([self.root]))
            self._leaves(order)
            namer = Namer("t", {line.name for line in self.lines})
            for node in order:
                if is_number(node):
                    self._number(node, namer)
                elif id(node) in self.values and node.op != "load":
                    self._made(node, namer, author.get(node, ""))

    def _line(self, name: str, value: Any, expression: str, where: Where | None) -> None:
        self.lines.append(ElementLine(name, value, expression, where, self.call.node.name))

    # ---- leaves

    def _leaves(self, order: Sequence[Node]) -> None:
        """Arrays, then numbers; of a number that is rounded when the kernel gets it, that."""
        for node in order:
            if node.op == "load" and id(node) in self.values:
                part = node.attrs.get("part")
                suffix = "" if part is None else f".{PARTS[part]}"
                self.names[id(node)] = str(node.attrs["name"]) + suffix
                value = self.values[id(node)]
                text = self._place(node.attrs["index"], value) + suffix
                self._line(self.names[id(node)], value, text, None)
        rounded = {id(n.inputs[0]): self.values[id(n)] for n in order if is_number(n) and n.op == CAST}
        for leaf in toposort([n for n in order if is_number(n)]):
            if leaf.op == "scalar":
                key = leaf.attrs["name"]
                self.names[id(leaf)] = COUNTS.get(key, str(key))
                value = rounded.get(id(leaf), np.float64(self.leaves[key]))
                self._line(self.names[id(leaf)], value, source_text(self.sources[key]), None)

    def _place(self, index: int, value: Any) -> str:
        """Where the element's value of an input lies."""
        body, of = self.call.body, self.call.inputs[index]
        extent, flat = body.params[index].extent, self.focus
        if extent == Extent.TENSOR:
            flat = 0
        elif extent == Extent.ROW and body.outputs[self.output].extent == Extent.ELEMENT:
            flat //= size_of(self.call.domain[1:])
        if index == body.sparse:
            entries = self.reach.state.listed(str(of.variable), flat // size_of(of.shape[1:]))
            at = place_of(of, flat)
            return f"{at}: entries {' + '.join(map(str, entries))}" if entries else f"{at}, not listed"
        return place_of(of, flat)

    # ---- what is made

    def _number(self, node: Node, namer: Namer) -> None:
        """A number of the host, primitive by primitive in float64; rounded where the kernel gets it so."""
        inner = node.inputs[0] if node.op == CAST else node
        for x in toposort([inner]):
            if id(x) not in self.names and constant_value(x) is None:
                value = self.values[id(node)] if x is inner else np.float64(HostProgram([x])(self.leaves)[0])
                name = self.names[id(x)] = namer.make("")
                self._line(name, value, expression_of(x, self.names), x.where)
        if id(inner) in self.names:
            self.names[id(node)] = self.names[id(inner)]

    def _made(self, node: Node, namer: Namer, author: str) -> None:
        if node.op == CAST and loses_nothing(node) and id(node.inputs[0]) in self.names:
            self.names[id(node)] = self.names[id(node.inputs[0])]
            return
        name = namer.make(author or ("result" if node is self.root else ""))
        expression = expression_of(node, self.names)
        self.names[id(node)] = name
        self._line(name, self.values[id(node)], expression, node.where)


def by_line(root: Node) -> list[Node]:
    """The primitives under `root`, inputs first; where that leaves a choice, in the order of the formula's lines."""
    order = toposort([root], kernel_inputs)
    users: dict[int, list[int]] = {}
    missing = [0] * len(order)
    for k, node in enumerate(order):
        for x in {id(x) for x in kernel_inputs(node)}:
            users.setdefault(x, []).append(k)
            missing[k] += 1
    ready = [(_line_of(node), k) for k, node in enumerate(order) if not missing[k]]
    heapq.heapify(ready)
    found: list[Node] = []
    while ready:
        node = order[heapq.heappop(ready)[1]]
        found.append(node)
        for k in users.get(id(node), ()):
            missing[k] -= 1
            if not missing[k]:
                heapq.heappush(ready, (_line_of(order[k]), k))
    return found


def _line_of(node: Node) -> int:
    """The line of the formula that a primitive is from; those that only pass a value on come at once."""
    where = node.where or (node.inputs[0].where if is_number(node) and node.op == CAST else None)
    return where.line if where else 0


def place_of(value: Value, flat: int) -> str:
    """An element of a value: of an array its name and index."""
    whole, flat = value.base or (value, flat)
    return quoted(whole.name) + (
        f"[{', '.join(map(str, np.unravel_index(flat, whole.shape)))}]" if whole.shape else ""
    )


def expression_of(node: Node, names: Mapping[int, str]) -> str:
    """A primitive in terms of the names of what it is made of."""
    operands = [_named(x, names) for x in node.inputs]
    if node.op in REDUCTIONS:
        over = "of the row" if REDUCTIONS[node.op].extent == Extent.ROW else "of the tensor"
        return f"{node.op.removeprefix('row_')} over all elements {over}"
    if node.op == CAST:
        return f"{operands[0]}, rounded to {node.type.dtype if node.type else ''}"
    if node.op == PAIR:
        return f"{operands[0]} and {operands[1]} as a complex number"
    return LEAVES.get(node.op) or PRIMS[node.op].text.format(*operands)


def source_text(source: Source) -> str:
    """Where a number of the host comes from."""
    if isinstance(source, Attribute):
        element = f"[{source.at}]" if source.at >= 0 else ""
        return f"attribute {source.name}{element} of {quoted(source.node.name)}"
    return f"the number {quoted(source.name)}" if isinstance(source, Value) else "known from shapes and names"


def _named(node: Node, names: Mapping[int, str]) -> str:
    """An operand: its name, or the constant it is."""
    if id(node) in names:
        return names[id(node)]
    number = constant_value(node) if is_number(node) else None
    if number is not None:
        return repr(number) if number >= 0 else f"({number!r})"
    return f"({node.op} of many)"


def host_lines(calls: Sequence[HostCall], numbers: Numbers, wanted: Iterable[Value]) -> list[ElementLine]:
    """How numbers of the host came about that ops made of others, in the order they are computed in."""
    makers = {id(call.output): call for call in calls}
    needed: set[int] = set()
    waiting = list(wanted)
    while waiting:
        value = waiting.pop()
        if id(value) in makers and id(value) not in needed:
            needed.add(id(value))
            waiting += [s for s in makers[id(value)].leaves.values() if isinstance(s, Value)]
    return [line for call in calls if id(call.output) in needed for line in _host_section(call, numbers)]


def _host_section(call: HostCall, numbers: Numbers) -> Iterator[ElementLine]:
    leaves = {name: numbers.number(source) for name, source in call.leaves.items()}
    names: dict[int, str] = {}
    order = [n for n in toposort([call.root]) if n.op != "const"]
    for k, node in enumerate(order):
        value = np.float64(HostProgram([node])(leaves)[0])
        if node.op == "scalar":
            names[id(node)] = str(node.attrs["name"])
            text = source_text(call.leaves[node.attrs["name"]])
        else:
            names[id(node)] = call.output.name if node is call.root else f"t{k}"
            text = PRIMS[node.op].text.format(*(_named(x, names) for x in node.inputs))
        yield ElementLine(names[id(node)], value, text, node.where, call.node.name)

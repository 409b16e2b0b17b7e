"""A user's graph as rules look at it: its ops tensor by tensor, who reads and writes what, and what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..attrs import REQUIRED
from ..backends.base import Memory
from ..expr import PICK, Node, children, origin, toposort
from ..forms import op_of
from ..opdef import OpDef, Part
from ..planned import Planned
from ..shapes import has_one_element, structural
from .probe import Settings
from .unit import Facts, Unit, special


class Graph:
    """`memory`: the arrays and numbers of an executor, if there is one."""

    def __init__(self, planned: Planned, memory: Memory | None = None) -> None:
        self.planned = planned
        self.roots = planned.roots
        self.types = planned.types
        self.memory = memory
        self.overrides: Mapping[tuple[int, str], Any] = memory.overrides if memory else {}
        self._facts: dict[Any, Facts] = {}
        self.ops = [n for n in toposort(self.roots, children) if not n.is_variable and n.op != PICK]
        self.updates: list[Unit] = []
        self.ordinary: list[Node] = []
        self.written: dict[int, Node] = {}  # by variable: the node that writes it by out=
        self.advanced: dict[int, Node] = {}  # by variable: the node that updates it as a state
        self.read: dict[tuple[int, int], list[Node]] = {}  # by node and output: who reads it; None: the user
        self.heads = {(id(n), k) for n, k in map(origin, self.roots)}
        for node in self.ops:
            self._enter(node, op_of(node))

    def _enter(self, node: Node, op: OpDef) -> None:
        if op.is_update:
            self.updates.extend(self._units(node, op))
            for k in op.state_positions:
                self.advanced[id(origin(node.inputs[k])[0])] = node
        else:
            self.ordinary.append(node)
        for variable in node.attrs.get("__out__", ()):
            self.written[id(variable)] = node
        for made, k in map(origin, node.inputs):
            self.read.setdefault((id(made), k), []).append(node)

    def _units(self, node: Node, op: OpDef) -> Iterator[Unit]:
        if not op.n_results:
            return
        if not op.parts:
            yield self._unit(node, op, None, 0)
        for k, part in enumerate(op.parts):
            yield self._unit(node, part.op, part, k)

    def _unit(self, node: Node, op: OpDef, part: Part | None, k: int) -> Unit:
        places = part.inputs if part else range(len(op.inputs))
        inputs = {spec.name: node.inputs[i] for spec, i in zip(op.inputs, places, strict=True)}
        symbols = self.symbols(node)
        name = f"{node.name}[{k}]" if part else node.name
        return Unit(node, name, inputs, symbols, k, self.facts(node, op, symbols, part))

    def symbols(self, node: Node) -> dict[str, Node]:
        """The attributes of a node that are Symbols."""
        names = node.attrs.get("__scalars__", ())
        return dict(zip(names, node.inputs[len(node.inputs) - len(names) :], strict=True))

    def facts(
        self, node: Node, op: OpDef, symbols: Mapping[str, Node] | None = None, part: Part | None = None
    ) -> Facts:
        """The facts of an op with a node's attributes, or with those of one part of it."""
        names = frozenset(self.symbols(node) if symbols is None else symbols)
        arrays = frozenset(part.arrays) if part else frozenset()
        numbers: dict[str, float] = {}
        given: set[str] = set()
        for name in op.numeric:
            if name in names or name in arrays:
                continue
            value, said = self._number(node, op, name, part)
            if value is not None:
                numbers[name] = value
            if said:
                given.add(name)
        given.update(name for name in op.structural if name in node.attrs)
        flags = self._flags(node, op)
        switches = tuple((n, numbers[n] >= 0) for n, a in op.attrs.items() if a.switch and n in numbers)
        key = (op, flags, switches, tuple(numbers.items()), frozenset(given), names | arrays)
        found = self._facts.get(key)
        if found is None:
            sketch = self._sketch(op, flags, switches, numbers, frozenset(given), names | arrays)
            found = Facts(op, flags, switches, numbers, frozenset(given), names | arrays, sketch)
            self._facts[key] = found
        return found

    def _flags(self, node: Node, op: OpDef) -> Settings:
        """The attributes that decide what is computed. Where it is not known how many axes there are, those named leave
        the first alone or they are all."""
        shape = self.types.shape(node.inputs[0]) if node.inputs else None
        if shape is not None or not any(op.attrs[n].kind == "axis" for n in op.structural):
            return structural(op, node, len(shape) if shape else None)
        given = {n: node.attrs.get(n, op.attrs[n].default) for n in op.structural}
        return tuple((n, _over_rows(v) if op.attrs[n].kind == "axis" else v) for n, v in given.items())

    def _sketch(
        self,
        op: OpDef,
        flags: Settings,
        switches: Settings,
        numbers: Mapping[str, float],
        given: frozenset[str],
        symbols: frozenset[str],
    ) -> Facts:
        plain = {n: v for n, v in numbers.items() if special(op, n, v)}
        key = (op, flags, switches, tuple(plain.items()), given, symbols, "sketch")
        if key not in self._facts:
            self._facts[key] = Facts(op, flags, switches, plain, given, symbols)
        return self._facts[key]

    def _number(self, node: Node, op: OpDef, name: str, part: Part | None) -> tuple[float | None, bool]:
        """A numeric attribute as it is now, and whether the user wrote it."""
        key, at = part.attrs.get(name, (name, -1)) if part else (name, -1)
        value = self.overrides.get((id(node), key), node.attrs.get(key))
        if value is not None:
            return float(value[at] if at >= 0 else value), True
        default = op.attrs[name].default
        return (None if default is REQUIRED else float(default)), False

    def is_set(self, unit: Unit, name: str) -> bool:
        """Whether an attribute was set on the executor since the graph was built."""
        return (id(unit.node), name) in self.overrides

    def dtype(self, node: Node) -> str:
        """The dtype of a value; "" if it is not known."""
        return self.types.dtype(node) or ""

    def is_scalar(self, node: Node) -> bool:
        """Whether a value is known to be one number: of the host, or an array of one element."""
        shape = self.types.shape(node)
        return self.types.is_host(node) or (shape is not None and -1 not in shape and has_one_element(shape))

    def cone(self, node: Node, stop: Callable[[Node], bool] = lambda n: False) -> list[Node]:
        """The ops that a value is made by, up to those that `stop` says."""
        found = toposort([node], lambda n: () if stop(n) else n.inputs)
        return [n for n in found if not n.is_variable and n.op != PICK]


def _over_rows(axis: Sequence[int] | int | None) -> bool:
    axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    return bool(axes) and 0 not in axes

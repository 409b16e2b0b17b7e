"""What a value of a user's graph is a sum of, read through ordinary ops: their formulas say which add and scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..expr import PICK, Node
from ..forms import op_of
from ..show.terms import Term, number_of
from .graph import Graph

ABOVE, BELOW = 1, 2
LARGEST = 64  # a sum of more is taken as it is
SAME = ("float16", "bfloat16", "float32", "float64")
_NUMBERS: dict[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else math.nan,
}


class Part(NamedTuple):
    """A value that is added, times a factor (NaN: not known). `bounds`: of ABOVE and BELOW, on which sides a number
    bounds it, element by element, before it is added."""

    node: Node
    factor: float
    bounds: int = 0

    @property
    def clipped(self) -> bool:
        return self.bounds == ABOVE | BELOW


class Flow:
    """Sums of the values of a graph, each found once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._found: dict[int, tuple[Part, ...]] = {}

    def parts(self, node: Node) -> tuple[Part, ...]:
        """What is added up in `node`: variables, results of update ops, and whatever else is no sum."""
        found = self._found.get(id(node))
        if found is None:
            found = self._found[id(node)] = self._parts(node)
        return found

    def _parts(self, node: Node) -> tuple[Part, ...]:
        itself = (Part(node, 1.0),)
        if node.is_variable or node.op == PICK:
            return itself
        op = op_of(node)
        if op.is_update or op.parts or op.is_matrix:
            return itself
        facts = self.graph.facts(node, op)
        if facts.formula is None:
            return itself
        inputs = dict(zip((i.name for i in op.inputs), node.inputs, strict=False))
        sums = _Sums(self, inputs, facts.numbers)
        found = sums.of(facts.formula.outputs["output"])
        return found if isinstance(found, tuple) and 0 < len(found) <= LARGEST else itself


class _Sums:
    """Reads one op's term: a number, a sum of parts, or None for what is neither."""

    def __init__(self, flow: Flow, inputs: Mapping[str, Node], numbers: Mapping[str, float]) -> None:
        self.flow = flow
        self.inputs = inputs
        self.numbers = numbers

    def of(self, t: Term) -> float | tuple[Part, ...] | None:
        value = number_of(t)
        if value is not None:
            return value
        if t.op == "attr":
            return self.numbers.get(str(t.value), math.nan)
        if t.op == "input":
            node = self.inputs.get(str(t.value))
            if node is None:
                return math.nan
            return math.nan if self.flow.graph.is_scalar(node) else self.flow.parts(node)
        if t.op in SAME or t.op == "neg":
            return _scaled(self.of(t.args[0]), -1.0 if t.op == "neg" else 1.0)
        if t.op in _NUMBERS:
            return self._arithmetic(t.op, *map(self.of, t.args))
        return self._bounded(t)

    def _arithmetic(
        self, op: str, x: float | tuple[Part, ...] | None, y: float | tuple[Part, ...] | None
    ) -> float | tuple[Part, ...] | None:
        if isinstance(x, float) and isinstance(y, float):
            return _NUMBERS[op](x, y)
        if op in ("add", "sub"):
            right = _scaled(y, 1.0 if op == "add" else -1.0)
            if x is None or right is None:
                return None
            return (*_sum(x), *_sum(right))
        if isinstance(y, float):
            return _scaled(x, y if op == "mul" else _NUMBERS["div"](1.0, y))
        return _scaled(y, x) if isinstance(x, float) and op == "mul" else None

    def _bounded(self, t: Term) -> float | tuple[Part, ...] | None:
        """A term that bounds a sum by a number, on one side or both."""
        bounds = {"clip": ABOVE | BELOW, "min": ABOVE, "max": BELOW}.get(t.op, 0)
        if not bounds or len(t.args) != 2:
            return None
        x, y = map(self.of, t.args)
        if isinstance(x, float) and t.op != "clip":
            x, y = y, x
        if not isinstance(x, tuple) or not isinstance(y, float):
            return None
        return tuple(p._replace(bounds=p.bounds | bounds) for p in x)


def _sum(x: float | tuple[Part, ...]) -> tuple[Part, ...]:
    """A number that is added moves a sum and is no part of it."""
    return () if isinstance(x, float) else x


def _scaled(x: float | tuple[Part, ...] | None, factor: float) -> float | tuple[Part, ...] | None:
    if x is None or isinstance(x, float):
        return None if x is None else x * factor
    return tuple(p._replace(factor=p.factor * factor) for p in x)

"""Which values of an op are complex: found by tracing its formula, never declared."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from .errors import DTypeError, built_at
from .expr import Node
from .facts import title
from .opdef import OpDef
from .prims import PAIR
from .shapes import formula_inputs, switches
from .trace import trace

Structural = tuple[tuple[str, Any], ...]


def complex_outputs(
    node: Node, op: OpDef, part: OpDef, given: frozenset[str], symbols: Collection[str]
) -> frozenset[str]:
    """The outputs of `part`, what an op does to one of its tensors, that are complex when the inputs `given` are.

    A state is real unless a complex value comes into it. `symbols`: attributes that are no plain numbers.
    DTypeError naming the node if the formula has no meaning for complex values.
    """
    flags = [(n, node.attrs.get(n, part.attrs[n].default)) for n in part.structural]
    structural = tuple((n, False if part.attrs[n].kind == "axis" else value) for n, value in flags)
    try:
        return _found(part, structural, switches(part, node, symbols), given)
    except DTypeError as error:
        raise DTypeError(f"{title(node, op)}: {error}{built_at(node.where)}") from None


@cache
def _found(
    op: OpDef, structural: Structural, on: tuple[tuple[str, bool], ...], given: frozenset[str]
) -> frozenset[str]:
    """The least fixed point: all states are real at first, and those that come out complex become so."""
    found = given
    while True:
        inputs = formula_inputs(op, dict.fromkeys(found, "complex64"))
        _, outputs = trace(op, inputs, dict(structural), dict(on), {})
        made = frozenset(name for name, node in outputs.items() if node.op == PAIR)
        more = made.intersection(op.states) - found
        if not more:
            return made | (found & frozenset(op.states))
        found |= more

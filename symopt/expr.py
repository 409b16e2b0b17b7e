"""The one node class. Symbols are graphs of ops, formulas are graphs of primitives; both are made of these.

A node is never changed after it was made. A node stands for its output 0; output k of an op with several is
another node, `pick(node, k)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from .errors import GraphError, Where

VARIABLE = "null"  # MXNet's name for a node without op
PICK = "_pick"


class Extent(IntEnum):
    """What one value of a primitive belongs to. The extent of a result is the widest of its inputs'."""

    HOST = 0  # known before the step starts: attributes, numbers, schedules of them; always float64
    TENSOR = 1  # one value per tensor, on the device
    ROW = 2  # one value per row
    ELEMENT = 3


class Type(NamedTuple):
    """Type of a primitive's value: a dtype's name (or "bool"), an extent, and in a formula on matrices the grid of its
    elements (grids.py)."""

    dtype: str
    extent: Extent
    grid: str = "rc"


class Node:
    """An op of a user's graph (`type` is None) or a primitive of a formula (`type` is set)."""

    __slots__ = ("attrs", "inputs", "name", "op", "type", "where")

    def __init__(
        self,
        op: str,
        inputs: tuple[Node, ...] = (),
        attrs: Mapping[str, Any] | None = None,
        name: str = "",
        where: Where | None = None,
        type: Type | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs: Mapping[str, Any] = attrs if attrs is not None else {}
        self.name = name
        self.where = where
        self.type = type

    def __repr__(self) -> str:
        return f"<{self.op} {self.name}>" if self.name else f"<{self.op}>"

    @property
    def is_variable(self) -> bool:
        return self.op == VARIABLE


def pick(node: Node, index: int) -> Node:
    """Output `index` of a node; output 0 is the node itself."""
    return node if index == 0 else Node(PICK, (node,), {"index": index}, node.name, node.where)


def origin(node: Node) -> tuple[Node, int]:
    """The op node behind a possible pick, and the output index."""
    return (node.inputs[0], node.attrs["index"]) if node.op == PICK else (node, 0)


def children(node: Node) -> tuple[Node, ...]:
    """The inputs of a node of a user's graph, then the variables that `out=` writes it into."""
    if not node.inputs:
        return ()
    out = node.attrs.get("__out__")
    return node.inputs if out is None else (*node.inputs, *out)


def toposort(roots: Iterable[Node], children: Callable[[Node], Iterable[Node]] | None = None) -> list[Node]:
    """Every node under `roots`, inputs first, in the order of first visit (depth first). GraphError on a cycle."""
    done: set[int] = set()
    open_: set[int] = set()
    order: list[Node] = []
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, leaving = stack.pop()
        key = id(node)
        if leaving:
            open_.discard(key)
            done.add(key)
            order.append(node)
        elif key not in done:
            below = children(node) if children else node.inputs
            if not below:
                done.add(key)
                order.append(node)
                continue
            if key in open_:
                raise GraphError(f"the graph has a cycle through {node!r}")
            open_.add(key)
            stack.append((node, True))
            stack.extend([(child, False) for child in reversed(tuple(below)) if id(child) not in done])
    return order

"""A graph again with some attributes changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import (
    AttributeValueError,
    GraphError,
    UnknownArgumentError,
    UnknownAttributeError,
    built_at,
    near,
)
from .expr import PICK, Node, children, toposort
from .forms import op_of
from .opdef import OpDef

Changes = Mapping[str, Mapping[str, Any]]


def parse_changes(roots: Sequence[Node], name: str, attrs: Mapping[str, Any]) -> tuple[Node, dict[str, Any]]:
    """The op node called `name`, and the attributes as its op has them; errors name what is unknown or wrong."""
    ops = [n for n in toposort(roots, children) if not n.is_variable and n.op != PICK]
    found = [n for n in ops if n.name == name]
    if not found:
        raise UnknownArgumentError(f"set_attr: no node is called {name!r}{near(name, {n.name for n in ops})}")
    if len(found) > 1:
        raise GraphError(
            f"set_attr: {len(found)} nodes are called {name!r}; give each a name of its own"
            f"{''.join(built_at(n.where) for n in found)}"
        )
    node = found[0]
    op = op_of(node)
    return node, {key: _parse(op, node, key, value) for key, value in attrs.items()}


def switches(node: Node, before: Mapping[str, Any], attrs: Mapping[str, Any]) -> bool:
    """Whether new attributes change what is computed, not only with which numbers: flags, clips on or off."""
    op = op_of(node)
    for key, value in attrs.items():
        attr = op.attrs[key]
        old = before.get(key, attr.default)
        if not attr.is_numeric or (attr.switch and (old >= 0) != (value >= 0)):
            return True
    return False


def changed(roots: Sequence[Node], changes: Changes) -> list[Node]:
    """The roots with attributes of some op nodes, by name, replaced."""
    made: dict[int, Node] = {}
    for old in toposort(roots, children):
        inputs = tuple(made[id(x)] for x in old.inputs)
        attrs = {} if old.is_variable or old.op == PICK else changes.get(old.name, {})
        if attrs or any(a is not b for a, b in zip(inputs, old.inputs, strict=True)):
            made[id(old)] = Node(old.op, inputs, {**old.attrs, **attrs}, old.name, old.where)
        else:
            made[id(old)] = old
    return [made[id(root)] for root in roots]


def _parse(op: OpDef, node: Node, key: str, value: Any) -> Any:
    attr = op.attrs.get(key)
    if attr is None:
        raise UnknownAttributeError(
            f"{op.name} {node.name!r} has no attribute {key!r}: it has {', '.join(op.attrs)}{near(key, op.attrs)}"
            f"{built_at(node.where)}"
        )
    if key in (op.count, "kahan"):
        raise AttributeValueError(
            f"{op.name} {node.name!r}: {key} decides which inputs there are: build the symbol anew"
            f"{built_at(node.where)}"
        )
    if key in node.attrs.get("__scalars__", ()):
        raise AttributeValueError(
            f"{op.name} {node.name!r}: {key} was given as a Symbol; give its value to forward{built_at(node.where)}"
        )
    try:
        return attr.parse(value)
    except (ValueError, TypeError) as error:
        raise AttributeValueError(f"{op.name} {node.name!r}: {key} {error}{built_at(node.where)}") from None

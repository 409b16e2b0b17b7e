"""A graph again with some attributes changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import AttributeValueError, UnknownArgumentError, UnknownAttributeError, built_at, near
from .expr import Node, children, toposort
from .opdef import OpDef, get_op

Overrides = dict[tuple[int, str], float]


def with_attrs(
    roots: Sequence[Node], name: str, attrs: Mapping[str, Any]
) -> tuple[Sequence[Node], Overrides | None]:
    """The roots with attributes of the op node called `name` changed.

    When only numbers change and every clip stays on or off, the graph is the same and the second result says which
    numbers to use instead; otherwise it is None and the graph is new.
    """
    order = toposort(roots, children)
    ops = {n.name: n for n in order if not n.is_variable and n.op != "_pick"}
    node = ops.get(name)
    if node is None:
        raise UnknownArgumentError(f"set_attr: no node is called {name!r}{near(name, ops)}")
    op = get_op(node.op)
    parsed = {key: _parse(op, node, key, value) for key, value in attrs.items()}
    if all(op.attrs[key].is_numeric and not _switches(op, node, key, value) for key, value in parsed.items()):
        return roots, {(id(node), key): value for key, value in parsed.items()}
    return _replaced(order, roots, node, parsed), None


def _parse(op: OpDef, node: Node, key: str, value: Any) -> Any:
    attr = op.attrs.get(key)
    if attr is None:
        raise UnknownAttributeError(
            f"{op.name} {node.name!r} has no attribute {key!r}: it has {', '.join(op.attrs)}{near(key, op.attrs)}"
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


def _switches(op: OpDef, node: Node, key: str, value: float) -> bool:
    attr = op.attrs[key]
    old = node.attrs.get(key, attr.default)
    return attr.switch and (old >= 0) != (value >= 0)


def _replaced(order: Sequence[Node], roots: Sequence[Node], node: Node, attrs: Mapping[str, Any]) -> list[Node]:
    made: dict[int, Node] = {}
    for old in order:
        inputs = tuple(made[id(x)] for x in old.inputs)
        if old is node:
            made[id(old)] = Node(old.op, inputs, {**old.attrs, **attrs}, old.name, old.where)
        elif any(a is not b for a, b in zip(inputs, old.inputs, strict=True)):
            made[id(old)] = Node(old.op, inputs, old.attrs, old.name, old.where)
        else:
            made[id(old)] = old
    return [made[id(root)] for root in roots]

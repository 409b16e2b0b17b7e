"""Rewrites that keep every bit (the payload of a NaN apart). One rule, one line, its law beside it."""

from __future__ import annotations

from typing import Any

from ..build import Builder
from ..expr import Node, toposort
from ..prims import CAST

# A string stands for any value, the same one wherever it appears twice; a number for that constant.
RULES: tuple[tuple[Any, Any], ...] = (
    (("mul", "x", 1.0), "x"),  # exact
    (("mul", 1.0, "x"), "x"),
    (("div", "x", 1.0), "x"),
    (("mul", "x", -1.0), ("neg", "x")),  # flips the sign, as the product does
    (("mul", -1.0, "x"), ("neg", "x")),
    (("div", "x", -1.0), ("neg", "x")),
    (("sub", "x", 0.0), "x"),  # exact for -0.0 too; x + 0 is not: -0.0 + 0 is +0.0
    (("neg", ("neg", "x")), "x"),
    (("abs", ("neg", "x")), ("abs", "x")),
    (("abs", ("abs", "x")), ("abs", "x")),
    (("add", "x", ("neg", "y")), ("sub", "x", "y")),  # IEEE defines x - y so
    (("sub", "x", ("neg", "y")), ("add", "x", "y")),
    (("where", "c", "x", "x"), "x"),
    (("and", "c", "c"), "c"),
    (("or", "c", "c"), "c"),
    # Not here: x + 0, x * 0, (a + b) - b, a / b -> a * (1 / b), sqrt(x) ** 2: each changes a bit for some x.
    # Not here: cast(cast(x, float16), float32): it rounds. The widening round trip is in `_narrow_back`.
)


def simplify(builder: Builder, roots: list[Node], replaced: dict[int, Node] | None = None) -> list[Node]:
    """The roots rebuilt in `builder`, inputs first, each node rewritten while a rule fits.

    `replaced` (by id) says what some nodes become; common subexpressions merge because `builder` makes each once.
    """
    done: dict[int, Node] = dict(replaced or {})
    for node in toposort(roots, lambda n: () if id(n) in done else n.inputs):
        if id(node) not in done:
            made = builder.remake(node, tuple(done[id(x)] for x in node.inputs))
            done[id(node)] = _rewrite(builder, made)
    return [done[id(root)] for root in roots]


def _rewrite(builder: Builder, node: Node) -> Node:
    while True:
        better = _narrow_back(node) if node.op == CAST else _by_rule(builder, node)
        if better is node:
            return node
        node = better


def _narrow_back(node: Node) -> Node:
    """cast(cast(x, wider), dtype of x) -> x: widening loses nothing. Also cast(x, dtype of x) -> x."""
    (inner,) = node.inputs
    assert node.type is not None and inner.type is not None
    if inner.type.dtype == node.type.dtype:
        return inner
    if inner.op == CAST:
        (x,) = inner.inputs
        assert x.type is not None
        if x.type.dtype == node.type.dtype and _is_wider(inner.type.dtype, x.type.dtype):
            return x
    return node


def _is_wider(dtype: str, than: str) -> bool:
    order = {"float16": 0, "bfloat16": 0, "float32": 1, "float64": 2}
    return order[dtype] > order[than]


def _by_rule(builder: Builder, node: Node) -> Node:
    for pattern, result in RULES:
        if pattern[0] == node.op:
            bound: dict[str, Node] = {}
            if _matches(pattern, node, bound):
                made = _make(builder, result, bound)
                if made.type is not None and node.type is not None and made.type.dtype == node.type.dtype:
                    return made
    return node


def _matches(pattern: Any, node: Node, bound: dict[str, Node]) -> bool:
    if isinstance(pattern, str):
        return bound.setdefault(pattern, node) is node
    if isinstance(pattern, float):
        inner = node.inputs[0] if node.op == CAST else node
        value = inner.attrs.get("value") if inner.op == "const" else None
        return value == pattern and str(value) == str(pattern)  # 0.0 is not -0.0
    return (
        node.op == pattern[0]
        and len(node.inputs) == len(pattern) - 1
        and all(_matches(p, x, bound) for p, x in zip(pattern[1:], node.inputs, strict=True))
    )


def _make(builder: Builder, result: Any, bound: dict[str, Node]) -> Node:
    if isinstance(result, str):
        return bound[result]
    return builder.make(result[0], *(_make(builder, r, bound) for r in result[1:]))

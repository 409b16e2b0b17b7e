"""Primitives to C expressions: one statement each, in the order they are computed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...expr import Node
from ...hostmath import constant_value
from ...prims import CAST, PAIR, PRIMS
from ..nodes import dtype_of, is_literal, narrow_bits, place

TYPES = {
    "index": "i64",
    "float16": "u16",
    "bfloat16": "u16",
    "float32": "float",
    "float64": "double",
    "complex64": "complex64",
    "complex128": "complex128",
    "bool": "bool",
}
WIDEN = {
    "float16": "half_to_float({})",
    "bfloat16": "bfloat_to_float({})",
    "float32": "{}",
    "float64": "{}",
}
NARROW = {"float16": "float_to_half({})", "bfloat16": "float_to_bfloat({})"}


def literal(value: float, dtype: str) -> str:
    """A number as its bits, so that no compiler rounds it, and beside them as people read it."""
    if dtype in NARROW:
        return f"(u16)0x{narrow_bits(value, dtype):04x}u"
    if dtype == "float32":
        with np.errstate(over="ignore"):
            bits = int(np.float32(value).view(np.uint32))
        return f"float_of(0x{bits:08x}u /* {value:.9g} */)"
    return f"double_of(0x{int(np.float64(value).view(np.uint64)):016x}ull /* {value:.17g} */)"


def converted(text: str, source: str, target: str) -> str:
    """A value in another dtype, rounded to nearest even."""
    if source == target:
        return text
    text = WIDEN[source].format(text)
    if target in NARROW:
        return NARROW[target].format(text)
    return f"({TYPES[target]})({text})" if source == "float64" or target == "float64" else text


def stored_type(root: Node) -> str:
    """The C type of a value as it is stored."""
    if root.op == PAIR:
        return "complex64" if dtype_of(root.inputs[0]) == "float32" else "complex128"
    return TYPES[dtype_of(root)]


class Scope:
    """The statements of one place in a function, and the names of the values known there.

    `names`: what values of enclosing places are called. `prefix`: what names made here begin with.
    """

    def __init__(self, names: dict[int, str], prefix: str) -> None:
        self.lines: list[str] = []
        self.names = dict(names)
        self.prefix = prefix
        self._made = 0

    def __call__(self, node: Node) -> str:
        """The name of a value, or the number it is."""
        name = self.names.get(id(node))
        if name is None:
            value = constant_value(node)
            assert value is not None, f"{node!r} was not computed"
            return literal(value, dtype_of(node))
        return name

    def let(self, node: Node, text: str) -> None:
        """Give the value of a node a name."""
        name = f"{self.prefix}{self._made}"
        self._made += 1
        where = place(node)
        self.lines.append(f"const {TYPES[dtype_of(node)]} {name} = {text};{f'  // {where}' if where else ''}")
        self.names[id(node)] = name

    def compute(self, nodes: Iterable[Node]) -> None:
        """Statements for primitives, inputs first; leaves and reductions must have names already."""
        for node in nodes:
            if id(node) in self.names or is_literal(node) or node.op == PAIR:
                continue
            operands = [self(x) for x in node.inputs]
            if node.op == CAST:
                self.let(node, converted(operands[0], dtype_of(node.inputs[0]), dtype_of(node)))
            else:
                suffix = "f" if dtype_of(node.inputs[-1]) == "float32" else ""
                self.let(node, PRIMS[node.op].cuda.format(*operands, f=suffix))

    def assign(self, target: str, root: Node) -> list[str]:
        """Statements that put a stored value, or both its parts, in a variable."""
        if root.op != PAIR:
            return [f"{target} = {self(root)};"]
        return [f"{target}.x[{k}] = {self(x)};" for k, x in enumerate(root.inputs)]


def part(text: str, node: Node) -> str:
    """What a load reads of an element: all of it, or one part of a complex number."""
    k = node.attrs.get("part")
    return text if k is None else f"{text}.x[{k}]"

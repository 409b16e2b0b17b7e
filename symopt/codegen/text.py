"""A kernel as text for people: the formula that is left after simplification, with its places in the source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..build import is_number, kernel_inputs
from ..expr import Extent, Node, toposort
from ..hostmath import constant_value
from ..passes.ir import Buffer, Kernel, puts_back
from ..prims import CAST, PAIR, PRIMS, REDUCTIONS
from ..routines import ROUTINES
from .nodes import dtype_of

ATOM = 9  # names, numbers and calls need no brackets
BINDS = {
    "where": 0, "or": 1, "and": 2, "lt": 3, "le": 3, "eq": 3, "ne": 3, "add": 4, "sub": 4, "mul": 5, "div": 5, "neg": 6,
    "pow": 7,
}  # fmt: skip
PARTS = ("real", "imag")
PER = {Extent.ROW: ", one per row", Extent.TENSOR: ", one per tensor"}
DOMAINS = {
    "dense": "each element",
    "listed": "each row in the sparse gradient",
    "standard": "each row; the gradient is 0 where it has none",
    "reduce": "each block of 8192 elements",
    "library": "whole matrices, a call of a library",
}


def kernel_text(kernel: Kernel) -> str:
    """Buffers, numbers and one line per primitive; a line names the place in the formula it comes from."""
    over = "each row" if kernel.mode == "dense" and kernel.rows else DOMAINS[kernel.mode]
    lines = [f"kernel {kernel.name}: for {over}"]
    for b in kernel.buffers:
        if b.read or b.write:
            use = "in place" if b.read and b.write else "read" if b.read else "written"
            lines.append(f"  array  {b.name}: {b.dtype}, {use}{PER.get(b.extent, '')}")
    return "\n".join([*lines, *formula_lines(kernel)])


def formula_lines(kernel: Kernel) -> list[str]:
    """The numbers and one line per primitive, without the arrays."""
    lines: list[str] = []
    names = _numbers(kernel, lines)
    lines += _statements(kernel, kernel.stores, names)
    if kernel.absent:
        lines.append("  in rows without gradient:")
        lines += _statements(kernel, kernel.absent, names)
    return lines


def _numbers(kernel: Kernel, lines: list[str]) -> dict[int, str]:
    """Names for the numbers: an attribute's own where it has one to itself, else s0, s1, ..., each with its line."""
    texts = [_expression(scalar, {}) for scalar in kernel.scalars]
    names: dict[int, str] = {}
    for k, (scalar, text) in enumerate(zip(kernel.scalars, texts, strict=True)):
        own = text.isidentifier() and texts.count(text) == 1 and text not in {b.name for b in kernel.buffers}
        names[id(scalar)] = text if own else f"s{k}"
        lines.append(f"  number {text}" if own else f"  number s{k} = {text}")
    return names


def _statements(kernel: Kernel, stores: tuple[tuple[Node, int], ...], numbers: dict[int, str]) -> list[str]:
    """One line for each value that is stored or used more than once. `new x` is what buffer x will hold."""
    lines: list[str] = []
    names = dict(numbers)
    order = toposort([root for root, _ in stores], kernel_inputs)
    uses = Counter(id(x) for node in order for x in node.inputs)
    parts = [part for root, b in stores if not puts_back(root, b) for part in _parts(root, kernel.buffers[b])]
    targets = {id(root): f"new {name}" for root, name in reversed(parts)}
    count = 0
    for node in order:
        if id(node) in names or is_number(node) or node.op in ("load", "index", "column", "touched", PAIR):
            continue
        if id(node) in targets or uses[id(node)] > 1 or node.op in REDUCTIONS:
            name = targets.get(id(node)) or f"t{count}"
            count += id(node) not in targets
            lines.append(_line(name, node, names))
            names[id(node)] = name
    for root, name in parts:
        if names.get(id(root)) != f"new {name}":
            lines.append(_line(f"new {name}", root, names))
    return lines


def _parts(root: Node, buffer: Buffer) -> list[tuple[Node, str]]:
    """What is stored in a buffer, and its name: of a complex one, both parts."""
    if root.op != PAIR:
        return [(root, buffer.name)]
    return [(x, f"{buffer.name}.{part}") for x, part in zip(root.inputs, PARTS, strict=True)]


def _line(target: str, node: Node, names: dict[int, str]) -> str:
    text = f"  {target} = {_expression(node, names)}"
    where = node.where
    return f"{text:<76}  # {Path(where.file).name}:{where.line}" if where else text


def _expression(node: Node, names: dict[int, str]) -> str:
    return _bound(node, names)[0]


def _bound(node: Node, names: dict[int, str]) -> tuple[str, int]:
    """A node as an expression, down to named values and leaves, and how tightly it binds. Formulas are shallow: the
    recursion is bounded by them."""
    if id(node) in names:
        return names[id(node)], ATOM
    if node.op == "load":
        part = node.attrs.get("part")
        return str(node.attrs["name"]) + (f".{PARTS[part]}" if part is not None else ""), ATOM
    if node.op in ("index", "column", "touched"):  # touched: whether the gradient lists the row
        return node.op, ATOM
    if node.op == "scalar":
        name = node.attrs["name"]
        return str(name[1] if isinstance(name, tuple) else name), ATOM
    value = constant_value(node) if is_number(node) else None
    if value is not None:
        return f"{value:g}", ATOM if value >= 0 else BINDS["neg"]
    if node.op == CAST:
        inner, binds = _bound(node.inputs[0], names)
        return (inner, binds) if is_number(node) else (f"{dtype_of(node)}({inner})", ATOM)
    if node.op in REDUCTIONS or node.op in ROUTINES:
        return f"{node.op}({', '.join(_expression(x, names) for x in node.inputs)})", ATOM
    binds = BINDS.get(node.op, ATOM)
    texts = []
    for k, x in enumerate(node.inputs):
        text, inner_binds = _bound(x, names)
        # a - (b - c) and a / (b / c) keep their brackets; so does every choice inside another expression.
        loose = inner_binds < binds or (inner_binds == binds and (k > 0 or node.op == "where"))
        texts.append(f"({text})" if binds < ATOM and loose else text)
    return PRIMS[node.op].text.format(*texts), binds

"""A kernel as text for people: the formula that is left after simplification, with its places in the source."""

from __future__ import annotations

from pathlib import Path

from ..build import is_number
from ..expr import Extent, Node, toposort
from ..hostmath import constant_value
from ..passes.ir import Kernel
from ..prims import CAST, PRIMS, REDUCTIONS

DOMAINS = {
    "dense": "each element",
    "listed": "each row in the sparse gradient",
    "standard": "each row; the gradient is 0 where it has none",
    "reduce": "each block of 8192 elements",
}


def kernel_text(kernel: Kernel) -> str:
    """Buffers, numbers and one line per primitive; a line names the place in the formula it comes from."""
    over = "each row" if kernel.mode == "dense" and kernel.rows else DOMAINS[kernel.mode]
    lines = [f"kernel {kernel.name}: for {over}"]
    for b in kernel.buffers:
        if b.read or b.write:
            use = "in place" if b.read and b.write else "read" if b.read else "written"
            per = {Extent.ROW: ", one per row", Extent.TENSOR: ", one per tensor"}.get(b.extent, "")
            lines.append(f"  array  {b.name}: {b.dtype}, {use}{per}")
    names: dict[int, str] = {}
    for k, scalar in enumerate(kernel.scalars):
        names[id(scalar)] = f"s{k}"
        lines.append(f"  number s{k} = {_expression(scalar, {})}")
    lines += _statements(kernel, kernel.stores, names)
    if kernel.absent:
        lines.append("  in rows without gradient:")
        lines += _statements(kernel, kernel.absent, names)
    return "\n".join(lines)


def _statements(kernel: Kernel, stores: tuple[tuple[Node, int], ...], names: dict[int, str]) -> list[str]:
    lines: list[str] = []
    names = dict(names)
    count = 0
    order = toposort([root for root, _ in stores])
    uses: dict[int, int] = {}
    for node in order:
        for x in node.inputs:
            uses[id(x)] = uses.get(id(x), 0) + 1
    for node in order:
        if id(node) in names or is_number(node) or node.op == "load":
            continue
        if uses.get(id(node), 0) > 1 or node.op in REDUCTIONS:
            name = f"t{count}"
            count += 1
            lines.append(_line(name, node, names))
            names[id(node)] = name
    for root, b in stores:
        if root.op == "load" and root.attrs["index"] == b:
            continue
        lines.append(_line(kernel.buffers[b].name, root, names))
    return lines


def _line(target: str, node: Node, names: dict[int, str]) -> str:
    text = f"  {target} = {_expression(node, names)}"
    where = node.where
    return f"{text:<76}  # {Path(where.file).name}:{where.line}" if where else text


def _expression(node: Node, names: dict[int, str]) -> str:
    """A node as an expression, down to named values and leaves. Formulas are shallow: recursion is bounded by them."""
    if id(node) in names:
        return names[id(node)]
    if node.op == "load":
        return str(node.attrs["name"])
    if node.op == "scalar":
        name = node.attrs["name"]
        return str(name[1] if isinstance(name, tuple) else name)
    value = constant_value(node) if is_number(node) else None
    if value is not None:
        return f"{value:g}"
    inner = [_expression(x, names) for x in node.inputs]
    if node.op == CAST:
        return inner[0] if is_number(node) else f"{node.type.dtype if node.type else ''}({inner[0]})"
    if node.op in REDUCTIONS:
        return f"{node.op}({inner[0]})"
    return PRIMS[node.op].text.format(*(f"({x})" if " " in x else x for x in inner))

"""The nodes of a graph as a table, and what a step does as another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from .. import config
from ..backends.scratch import scratch_bytes
from ..dtypes import ITEMSIZE
from ..expr import PICK, Node
from ..listing import reference
from ..passes.calls import size_of
from ..passes.ir import Program
from ..planned import Planned
from .kernels import kernel_items
from .model import Item, KernelItem
from .plain import counted, safe, shape_text, shortened, size_text, where_text
from .symbols import symbol_items
from .text import Lines, Table, Text

T = TypeVar("T")
NODE_COLUMNS = ("name", "op", "inputs", "shape", "dtype", "stype", "bytes", "kernel", "line")
MOST_ALIKE = 3  # so many rows alike are shown, of more only the first
MOST_ROWS = 400
WIDEST_INPUTS = 40  # columns


def node_table(planned: Planned, full: bool = False) -> Text:
    """A row for each variable and op node, then the kernels that the rows give by number.

    Rows that differ in names only are folded, and no more than MOST_ROWS made, unless `full`.
    """
    items, _ = symbol_items(planned)
    nodes = [node for node in planned.types.order if node.op != PICK]
    pairs = list(zip(nodes, items, strict=True))
    rows: list[tuple[str, ...]] = []
    for first, alike in _folded(pairs, lambda pair: _alike(pair[1]), full):
        rows.append(_node_row(*first, full))
        if alike:
            names = [safe(item.name) for _, item in alike]
            extent = names[0] + (f" to {names[-1]}" if len(names) > 1 else "")
            rows.append((f"... and {len(names):,} more like it: {extent}",))
    if len(rows) > MOST_ROWS and not full:
        rows[MOST_ROWS:] = [(f"... and {len(rows) - MOST_ROWS:,} more rows: table(full=True) shows all",)]
    table = Table(NODE_COLUMNS, rows, notes=_totals(items))
    if planned.program is None or not planned.program.launches:
        return Text.of(table)
    return Text.of(table, kernel_table(kernel_items(planned)))


def kernel_table(kernels: Sequence[KernelItem]) -> Table:
    """A row for each launch."""
    rows = [
        (str(k.number), safe(k.name), k.over, f"{k.tensors:,}", f"{k.elements:,}", size_text(k.bytes))
        for k in kernels
    ]
    return Table(("kernel", "computes", "for", "tensors", "elements", "bytes"), rows)


def _node_row(node: Node, item: Item, full: bool) -> tuple[str, ...]:
    inputs = ", ".join(safe(reference(x)) for x in node.inputs)
    return (
        safe(item.name),
        safe(item.op) if item.kind == "op" else item.kind,
        inputs if full else shortened(inputs, WIDEST_INPUTS),
        shape_text(item.shape),
        item.dtype or "?",
        item.stype or "?",
        size_text(item.bytes),
        ", ".join(map(str, item.kernels)),
        where_text(item.where),
    )


def _alike(item: Item) -> Hashable:
    return (item.kind, item.op, item.shape, item.dtype, item.stype, item.bytes, item.kernels, item.where)


def _folded(found: Iterable[T], key: Callable[[T], Hashable], full: bool) -> Iterable[tuple[T, Sequence[T]]]:
    """Each one with those that it stands for; those alike come together, where the first of them is."""
    if full:
        return [(one, ()) for one in found]
    groups: dict[Hashable, list[T]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    shown: list[tuple[T, Sequence[T]]] = []
    for group in groups.values():
        if len(group) > MOST_ALIKE:
            shown.append((group[0], group[1:]))
        else:
            shown += [(one, ()) for one in group]
    return shown


def _totals(items: Sequence[Item]) -> list[str]:
    """How many variables and states there are, and their bytes."""
    parts = [counted(sum(item.kind == "op" for item in items), "op node")]
    for kind, what in (("variable", "variable"), ("state", "state"), ("number", "number")):
        found = [item for item in items if item.kind == kind]
        if found:
            sizes = [item.bytes for item in found if item.bytes is not None]
            whole = f" ({size_text(sum(sizes))})" if sizes and len(sizes) == len(found) else ""
            parts.append(counted(len(found), what) + whole)
    return [", ".join(parts)]


# ---- a step


def summary(planned: Planned, n_strided: int = 0, place: str = "") -> Text:
    """What a step does: nodes, kernels, bytes moved, the executor's own buffers and scratch.

    `n_strided`: how many arguments are strided views; `place`: where it runs, for the last line.
    """
    program, order = planned.needed(), planned.types.order
    n_variables = sum(1 for node in order if node.is_variable)
    n_ops = sum(1 for node in order if not node.is_variable and node.op != PICK)
    kernels = kernel_items(planned)
    head = f"{counted(n_ops, 'node')} on {counted(n_variables, 'variable')}, {counted(len(kernels), 'launch', 'es')}"
    lines = [f"bytes moved per step: {size_text(sum(kernel.bytes for kernel in kernels))}"]
    lines.append(
        f"buffers of the executor: {size_text(_buffers(program))}; scratch: {size_text(_scratch(planned))}"
    )
    if program.lowered.host_calls:
        lines.append(f"numbers computed on the host: {len(program.lowered.host_calls):,}")
    for value, name in program.copies:
        size = size_text(size_of(value.shape) * ITEMSIZE[value.dtype])
        lines.append(f"copied at the end, not written in place: {safe(name)} ({size})")
    if n_strided:
        what = counted(n_strided, "argument")
        lines.append(f"copied before each step, because they are strided views: {what}")
    return Text.of(Lines([head]), kernel_table(kernels), Lines([*lines, *([place] if place else [])]))


def _buffers(program: Program) -> int:
    return sum(size_of(shape) * ITEMSIZE[dtype] for dtype, shape in program.buffers)


def _scratch(planned: Planned) -> int:
    """Bytes that the engine takes beside arrays and buffers."""
    on_device, threads = planned.ctx.device_type == "gpu", config.num_threads()
    total = 0
    for launch in planned.needed().launches:
        domains = [instance.domain for instance in launch.instances]
        listed = [planned.rows_of(launch.kernel, instance) for instance in launch.instances]
        total += scratch_bytes(launch.kernel, domains, listed, threads, on_device)
    return total

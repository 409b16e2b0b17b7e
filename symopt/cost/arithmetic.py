"""How much arithmetic a kernel does: its primitives, each counted as often as it is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache

from ..build import is_number, kernel_inputs
from ..codegen.nodes import dtype_of, level_of
from ..expr import Extent, Node, toposort
from ..grids import sizes
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, LISTED, STANDARD, Kernel, Shape
from ..passes.traffic import NOTHING, Listed, Stores
from ..prims import CAST, LEAVES, PAIR, REDUCTIONS

# What is counted: a primitive and the dtype it computes in; of a conversion, "float32 to float16".
Operation = tuple[str, str]


def operations(kernel: Kernel, domain: Shape, listed: Listed = NOTHING) -> Counter[Operation]:
    """How often an instance over `domain` computes each primitive in a step. Numbers of the host are not counted."""
    if kernel.mode == LIBRARY:
        return _of_routine(kernel, domain)
    n_rows, n_columns = domain[0] if domain else 1, size_of(domain[1:])
    total: Counter[Operation] = Counter()
    every = listed.distinct if kernel.mode in (LISTED, STANDARD) else n_rows
    _add(total, _per_extent(kernel.stores), every, n_columns)
    if kernel.mode == STANDARD:
        _add(total, _per_extent(kernel.absent), n_rows - listed.distinct, n_columns)
    repeated = (listed.entries - listed.distinct) * n_columns
    if kernel.sparse >= 0 and repeated:  # rows listed more than once are added up
        total["add", kernel.buffers[kernel.sparse].dtype] += repeated
    return +total


def by_kind(counts: Mapping[Operation, int]) -> dict[str, int]:
    """The same, whatever the dtype: most frequent first."""
    found: Counter[str] = Counter()
    for (op, _), count in counts.items():
        found[op] += count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _add(
    total: Counter[Operation], counted: Mapping[tuple[Extent, Operation], int], rows: int, columns: int
) -> None:
    often = {Extent.TENSOR: min(rows, 1), Extent.ROW: rows, Extent.ELEMENT: rows * columns}
    for (extent, operation), count in counted.items():
        total[operation] += count * often[extent]


@cache
def _per_extent(stores: Stores) -> Mapping[tuple[Extent, Operation], int]:
    """How many primitives of each kind a formula has, by what they are computed for."""
    found: Counter[tuple[Extent, Operation]] = Counter()
    for node in toposort([root for root, _ in stores], kernel_inputs):
        if is_number(node) or node.op in LEAVES or node.op == PAIR:
            continue
        if node.op in REDUCTIONS:  # one step for each value that is folded
            found[Extent.ELEMENT, (REDUCTIONS[node.op].combine, dtype_of(node))] += 1
        else:
            found[level_of(node), (node.op, _detail(node))] += 1
    return found


def _detail(node: Node) -> str:
    """The dtype that a primitive computes in: of a comparison, that of what is compared."""
    if node.op == CAST:
        return f"{dtype_of(node.inputs[0])} to {dtype_of(node)}"
    dtype = dtype_of(node)
    if dtype != "bool":
        return dtype
    return next((d for x in node.inputs if (d := dtype_of(x)) not in ("bool", "index")), dtype)


def _of_routine(kernel: Kernel, domain: Shape) -> Counter[Operation]:
    """A product of matrices multiplies and adds; a sum of columns adds; the others only move numbers."""
    ((root, _),) = kernel.stores
    found: Counter[Operation] = Counter()
    assert root.type is not None
    dtype = root.type.dtype
    first = root.inputs[0].type
    assert first is not None
    size = size_of(sizes(first.grid, domain))
    if root.op == "matmul":
        n_sums = sizes(first.grid, domain)[2]
        products = size_of(sizes(root.type.grid, domain)) * n_sums
        found["mul", dtype] = products
        found["add", dtype] = products if n_sums > 1 else 0
    elif root.op == "column_sum":
        found["add", dtype] = size
    return +found

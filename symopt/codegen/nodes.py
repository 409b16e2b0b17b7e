"""What the printers of kernels ask of a formula's nodes: dtypes, where a value is computed, what is written out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..build import is_host, is_number
from ..dtypes import ITEMSIZE, to_numpy
from ..expr import Extent, Node
from ..hostmath import constant_value
from ..prims import CAST, REDUCTIONS

SIZES = ITEMSIZE


def dtype_of(node: Node) -> str:
    assert node.type is not None
    return node.type.dtype


def level_of(node: Node) -> Extent:
    """Where a value is computed: what the host does not pass as a number is at least per tensor."""
    assert node.type is not None
    return max(node.type.extent, Extent.TENSOR) if not is_number(node) else Extent.HOST


def is_shallow(node: Node) -> bool:
    """Whether a value is computed once per row or tensor, outside the loop over elements."""
    return not is_number(node) and level_of(node) < Extent.ELEMENT


def is_literal(node: Node) -> bool:
    """Whether a node is a number of the formula itself: no argument, no instruction."""
    stored = node.op == CAST and is_number(node.inputs[0])
    return (is_number(node) or (stored and is_host(node))) and constant_value(node) is not None


def depths(order: Sequence[Node]) -> dict[int, int]:
    """How many reductions lie below each node: what must be complete before it can be computed. `order`: inputs
    first."""
    depth: dict[int, int] = {}
    for node in order:
        below = max((depth.get(id(x), 0) for x in node.inputs), default=0)
        depth[id(node)] = below + (node.op in REDUCTIONS)
    return depth


def narrow_bits(value: float, dtype: str) -> int:
    """A number as 16 bits."""
    return int(np.asarray(np.float32(value)).astype(to_numpy(dtype)).view(np.uint16))


def place(node: Node) -> str:
    """The file and line a node comes from, or "", in printable ASCII: names of users' files get no further than
    comments of generated code."""
    text = f"{Path(node.where.file).name}:{node.where.line}" if node.where else ""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)


def safe(name: str) -> str:
    """A user's name as an identifier of generated code."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)

"""How many bytes a kernel moves: each array once in each direction, whatever engine runs it.

This is the one place that knows; engines share out work by it, and everything shown to people comes from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from ..build import kernel_inputs
from ..dtypes import ITEMSIZE
from ..expr import Extent, Node, toposort
from ..grids import sizes
from .calls import size_of
from .ir import LIBRARY, LISTED, STANDARD, Kernel, Shape, puts_back

INDEX = 8  # bytes of a row's number
Stores = tuple[tuple[Node, int], ...]


class Listed(NamedTuple):
    """What a row_sparse gradient lists: how many `entries`, of how many `distinct` rows. `ordered`: each row is above
    the one before, so that nothing has to be sorted or summed."""

    entries: int = 0
    distinct: int = 0
    ordered: bool = True

    @property
    def index_bytes(self) -> int:
        """Bytes of row numbers that a kernel reads: the rows, and where the entries of each are if they were sorted."""
        if self.ordered:
            return INDEX * self.entries
        return INDEX * (2 * self.distinct + 1 + self.entries)


NOTHING = Listed()


class Moved(NamedTuple):
    """Bytes of one buffer of a kernel on one tensor. `by_row`: in so many rows, which lie anywhere in the array; of a
    gradient, one after the other."""

    buffer: int
    read: int
    written: int
    by_row: int = 0


def bytes_moved(kernel: Kernel, domain: Shape, listed: Listed = NOTHING) -> int:
    """Bytes that an instance over `domain` reads and writes."""
    return sum(m.read + m.written for m in moved(kernel, domain, listed))


def moved(kernel: Kernel, domain: Shape, listed: Listed = NOTHING) -> Iterator[Moved]:
    """What an instance over `domain`, the whole tensor's shape, moves: an entry for each of its buffers that it uses.
    The numbers of listed rows belong to the buffer of the gradient."""
    if kernel.mode == LIBRARY:
        for k, b in enumerate(kernel.buffers):
            n_bytes = size_of(sizes(b.grid, domain)) * ITEMSIZE[b.dtype]
            yield Moved(k, n_bytes * b.read, n_bytes * b.write)
        return
    n_rows, n_columns = domain[0] if domain else 1, size_of(domain[1:])
    reads, writes = used(kernel.stores)
    if kernel.mode == LISTED:
        every, other = listed.distinct, 0
    elif kernel.mode == STANDARD:
        every, other = listed.distinct, max(n_rows - listed.distinct, 0)
    else:
        every, other = n_rows, 0
    other_reads, other_writes = used(kernel.absent) if other else (frozenset[int](), frozenset[int]())
    for k, b in enumerate(kernel.buffers):
        each = ITEMSIZE[b.dtype] * (n_columns if b.extent == Extent.ELEMENT else 1)
        if k == kernel.sparse:
            read = each * listed.entries * (k in reads) + listed.index_bytes
            yield Moved(k, read, 0, listed.entries if kernel.mode == LISTED else 0)
        elif b.extent == Extent.TENSOR:
            yield Moved(k, each * (k in reads | other_reads), each * (k in writes | other_writes))
        elif k in reads | writes | other_reads | other_writes:
            read = each * (every * (k in reads) + other * (k in other_reads))
            write = each * (every * (k in writes) + other * (k in other_writes))
            yield Moved(k, read, write, every if kernel.mode == LISTED else 0)


@cache
def used(stores: Stores) -> tuple[frozenset[int], frozenset[int]]:
    """The buffers that a formula reads, and those that it writes: putting back what was read there is nothing."""
    real = [(root, b) for root, b in stores if not puts_back(root, b)]
    order = toposort([root for root, _ in real], kernel_inputs)
    reads = frozenset(n.attrs["index"] for n in order if n.op == "load")
    return reads, frozenset(b for _, b in real)

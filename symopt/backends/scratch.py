"""The memory that engines take beside the arrays of a step: partial sums, sorted row numbers, room to add up rows.

Tables of pointers and numbers are not counted: some hundred bytes for each tensor and chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..canonical import BLOCK
from ..dtypes import COMPLEX, ITEMSIZE
from ..expr import Extent
from ..passes.calls import size_of
from ..passes.ir import LISTED, REDUCE, STANDARD, Kernel, Shape
from ..passes.traffic import INDEX, Listed
from ..places import HOST
from ..sparse import RowSparseArray

SLOT = 4  # bytes, on a device, that say where in a gradient a row is


def scratch_bytes(
    kernel: Kernel, domains: Sequence[Shape], listed: Sequence[Listed], threads: int, on_device: bool = False
) -> int:
    """Bytes of scratch of a launch on tensors of these shapes, whose sparse gradients list so much."""
    if kernel.mode == REDUCE:
        return _partial_sums(kernel, domains, on_device)
    if kernel.mode not in (LISTED, STANDARD):
        return 0
    if on_device:
        slots = sum(SLOT * max(d[0], 1) for d in domains) if kernel.mode == STANDARD else 0
        return slots + sum(2 * INDEX * x.entries for x in listed if not x.ordered)
    width = max([size_of(d[1:]) for d in domains], default=1)
    parts = 2 if kernel.buffers[kernel.sparse].dtype in COMPLEX else 1
    grouped = sum(INDEX * (2 * x.distinct + 1 + x.entries) for x in listed if not x.ordered)
    return threads * max(width, 1) * parts * ITEMSIZE["float64"] + grouped


class Listings(Mapping[str, Listed]):
    """What row_sparse arrays list, by name: looked at when asked for."""

    def __init__(self, arrays: Mapping[str, RowSparseArray]) -> None:
        self._arrays = arrays
        self._found: dict[str, Listed] = {}

    def __getitem__(self, name: str) -> Listed:
        if name not in self._found:
            self._found[name] = listed_in(self._arrays[name])
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def listed_in(array: RowSparseArray) -> Listed:
    """What a row_sparse array lists now. Indices on a GPU are waited for, and sorted there unless their order is
    promised; on the host they are looked at."""
    indices = array.place.to_host(array.indices)
    count = len(indices)
    on_host = array.place is HOST
    if count < 2 or (bool((indices[1:] > indices[:-1]).all()) if on_host else array.canonical):
        return Listed(count, count)
    return Listed(count, len(np.unique(indices)), ordered=False)


def _partial_sums(kernel: Kernel, domains: Sequence[Shape], on_device: bool) -> int:
    """A number for each block of each tensor; on a device an array for all tensors, which is not empty."""
    each = sum(ITEMSIZE[b.dtype] for b in kernel.buffers if b.write and b.extent == Extent.TENSOR)
    blocks = [-(-size_of(domain) // BLOCK) for domain in domains]
    return each * (max(sum(blocks), 1) if on_device else sum(max(n, 1) for n in blocks))

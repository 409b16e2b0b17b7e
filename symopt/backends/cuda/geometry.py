"""How the work of a launch is cut: chunks of tensors for blocks of threads, and threads for rows."""

from __future__ import annotations

import numpy as np

from ...canonical import BLOCK, LANES
from ...codegen.cuda.layout import THREADS
from ...codegen.cuda.piece import width_of
from ...passes.ir import LISTED, REDUCE, STANDARD, Kernel
from .device import HostArray

CHUNK = 16384  # elements: enough to hide a block's start, and with less of them one block more would not help
PER_MULTIPROCESSOR = 8  # blocks in flight: as many threads as fit


def by_rows(kernel: Kernel) -> bool:
    """Whether teams of threads take rows, or blocks of threads runs of elements."""
    return kernel.rows or kernel.mode in (REDUCE, LISTED, STANDARD)


def shifts(kernel: Kernel, cols: HostArray) -> HostArray:
    """log2 of the threads of a row, for rows of `cols` elements: as many as hold the 64 lanes of a sum, fewer for short
    rows, the whole block of threads where a row has several blocks of elements."""
    width = width_of(kernel)
    team = LANES // width
    if kernel.mode == REDUCE:
        return np.full(len(cols), team.bit_length() - 1)
    vectors = np.clip(-(-cols // width), 1, team)
    found: HostArray = np.ceil(np.log2(vectors)).astype(np.int64)
    found[cols > BLOCK] = THREADS.bit_length() - 1
    return found


class Chunks:
    """Which chunk is of which tensor, and where it starts and ends, in elements, rows, blocks or entries.

    `units`: how many of those each tensor has; `cols`: elements of one of them.
    """

    def __init__(self, kernel: Kernel, units: HostArray, cols: HostArray, multiprocessors: int) -> None:
        if by_rows(kernel):
            per_unit = np.full(len(cols), BLOCK) if kernel.mode == REDUCE else np.maximum(cols, 1)
            step = THREADS >> shifts(kernel, cols)  # rows that a block of threads takes at once
        else:
            per_unit = np.ones(len(cols), np.int64)
            step = np.full(len(cols), THREADS * width_of(kernel))
        wanted = int((units * per_unit).sum()) // (multiprocessors * PER_MULTIPROCESSOR)
        size = np.clip(wanted, 1, CHUNK) // per_unit
        per = np.maximum(-(-size // step) * step, step)
        counts = -(-units // per)
        self.tensor = np.repeat(np.arange(len(units)), counts)
        nth = np.arange(len(self.tensor)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.start = nth * per[self.tensor]
        self.count = np.minimum(per[self.tensor], units[self.tensor] - self.start)

    def __len__(self) -> int:
        return len(self.tensor)

    def grid(self, multiprocessors: int) -> int:
        """Blocks of threads that run them: each takes every so many-th chunk."""
        return min(len(self), multiprocessors * PER_MULTIPROCESSOR)

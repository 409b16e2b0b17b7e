"""One launch of a routine of a library: called on each instance's matrices, in order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..grids import sizes
from ..passes.ir import Launch, Program
from ..routines import call_routine
from .base import Array, Memory


class RoutineLaunch:
    """Looks its arrays up at every step, and sees them as (matrices, rows, columns)."""

    def __init__(self, launch: Launch, program: Program, memory: Memory) -> None:
        self.kernel = launch.kernel
        self.memory = memory
        buffers = self.kernel.buffers
        self.places = [
            [
                (program.storage[id(v)], sizes(b.grid, i.domain))
                for b, v in zip(buffers, i.values, strict=True)
            ]
            for i in launch.instances
        ]

    def arrays(self) -> Iterator[list[Array]]:
        """Those of each instance."""
        stored = self.memory.arrays
        for places in self.places:
            yield [stored[key].reshape(size) for key, size in places]

    def run(self) -> None:
        ((root, out),) = self.kernel.stores
        with np.errstate(all="ignore"):
            for arrays in self.arrays():
                call_routine(root, arrays, arrays[out])

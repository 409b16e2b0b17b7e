"""One launch of a function of a library: called on each instance's matrices, in order."""

from __future__ import annotations

from ..grids import sizes
from ..library import call
from ..passes.ir import Instance, Launch, Program
from .base import Array, Memory


class LibraryLaunch:
    """Looks its arrays up at every step: there are no tables to keep."""

    def __init__(self, launch: Launch, program: Program, memory: Memory) -> None:
        self.launch = launch
        self.kernel = launch.kernel
        self.storage = program.storage
        self.memory = memory

    def run(self) -> None:
        ((root, out),) = self.kernel.stores
        for instance in self.launch.instances:
            arrays = self._matrices(instance)
            call(root, arrays, arrays[out])

    def _matrices(self, instance: Instance) -> list[Array]:
        """The instance's arrays as (matrices, rows, columns)."""
        buffers = zip(self.kernel.buffers, instance.values, strict=True)
        return [
            self.memory.arrays[self.storage[id(value)]].reshape(sizes(b.grid, instance.domain))
            for b, value in buffers
        ]

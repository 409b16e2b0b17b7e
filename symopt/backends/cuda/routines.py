"""Routines of libraries on a device's arrays: NumPy's functions are CuPy's there; one has a kernel of its own."""

from __future__ import annotations

import numpy as np

from ...passes.ir import Launch, Program
from ...routines import call_routine
from ..base import Memory
from ..routinelaunch import RoutineLaunch
from .device import Code, Device, DeviceArray
from .geometry import PER_MULTIPROCESSOR


class DeviceRoutines(RoutineLaunch):
    """One launch of a routine. The sum of columns, whose order is canonical, is a kernel of `code`."""

    def __init__(self, launch: Launch, program: Program, memory: Memory, device: Device, code: Code) -> None:
        super().__init__(launch, program, memory)
        self.device = device
        self.code = code

    def run(self) -> None:
        ((root, out),) = self.kernel.stores
        with np.errstate(all="ignore"):  # of the emulator's arrays
            for arrays in self.arrays():
                if root.op == "column_sum":
                    self._column_sum(arrays[root.inputs[0].attrs["index"]], arrays[out])
                else:
                    call_routine(root, arrays, arrays[out])

    def _column_sum(self, x: DeviceArray, out: DeviceArray) -> None:
        n_matrices, n_rows, n_columns = x.shape
        tiles = n_matrices * -(-n_columns // 32)
        if tiles:
            at = self.device.address
            places = (np.uint64(at(x)), np.uint64(at(out)))
            sizes = (np.int64(n_matrices), np.int64(n_rows), np.int64(n_columns))
            grid = min(tiles, self.device.multiprocessors * PER_MULTIPROCESSOR)
            self.device.launch(self.code[f"column_sum_{x.dtype.name}"], grid, (*places, *sizes))

"""The seam between the CUDA engine and what runs its text: a GPU through CuPy, or the emulator on the processor.

Everything above this protocol is shared by both. Work is done in the order of the caller's current stream, and no
method but `download` and `synchronize` waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

HostArray = npt.NDArray[Any]
# cupy.ndarray, or a NumPy array of the emulator: what is used of it is what both have.
DeviceArray = Any


class Source(NamedTuple):
    """CUDA C text and the names of the kernels in it, which are extern "C"."""

    text: str
    kernels: tuple[str, ...]


Function = Any  # a loaded kernel, opaque to the engine
Code = Mapping[str, Function]
# A kernel's argument, passed by value: np.uint64 for a pointer, np.int32 or np.int64 for a count, an array of one
# element for a struct.
Argument = np.generic | HostArray


class Device(Protocol):
    """One device. `multiprocessors` is what the grid of a launch is sized by."""

    multiprocessors: int

    def current(self) -> AbstractContextManager[Any]:
        """Makes this the device of allocations and launches inside."""

    def zeros(self, shape: int | Sequence[int], dtype: Any) -> DeviceArray:
        """A new array in the device's memory. DeviceMemoryError when there is no room."""

    def address(self, array: DeviceArray) -> int:
        """Where its first element lies in the device's memory."""

    def upload(self, target: DeviceArray, source: HostArray) -> None:
        """Copy to an array of the same shape and dtype; `source` may be changed as soon as this returns."""

    def download(self, source: DeviceArray) -> HostArray:
        """A copy on the host; waits for the work before it."""

    def watch(self, source: DeviceArray) -> Callable[[], HostArray]:
        """Begin to copy a small array to the host. The function returned gives the values of the last copy that has
        arrived, without waiting, and zeros before the first has; each call of `watch` on one array begins a copy of
        it anew."""

    def sort(self, keys: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        """int64 keys, ascending, and where each was; equal ones stay in order."""

    def load(self, sources: Sequence[Source]) -> list[Code]:
        """The kernels of each source, compiled in parallel where they are not cached."""

    def launch(self, function: Function, grid: int, arguments: Sequence[Argument]) -> None:
        """Run a kernel on `grid` blocks of THREADS threads."""

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """A function that does again, on the stream current when it is called, the launches that `run` makes.

        `run` is called once, and may do nothing here but launch kernels that have been loaded and launched before.
        They get the same arguments each time; what changes from step to step they must read from arrays. The caller
        keeps those arrays.
        """

    def synchronize(self) -> None:
        """Wait until all work is done."""

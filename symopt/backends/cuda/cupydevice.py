"""A GPU through CuPy. Few lines, since only tests on a GPU reach them; what can be done without one is done elsewhere.

Every method makes its device current for as long as it runs, and works on CuPy's current stream of that device.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ...codegen.cuda.layout import THREADS
from ...cupyarrays import check_present, import_cupy, new_array
from .cubins import cubins
from .device import Argument, Code, Device, DeviceArray, Function, HostArray, Source
from .nvrtc import Compiled, architecture_for, load_nvrtc, supported

_lock = threading.Lock()
_devices: dict[int, CupyDevice] = {}


def cupy_device(device_id: int) -> Device:
    """The device of so.gpu(device_id). DependencyError without CuPy or NVRTC; DeviceError if no such GPU answers."""
    with _lock:
        if device_id not in _devices:
            cupy = import_cupy()
            check_present(cupy, device_id)
            load_nvrtc()
            _devices[device_id] = CupyDevice(cupy, device_id)
        return _devices[device_id]


class CupyDevice:
    """A `Device`. Made by `cupy_device`, which looks whether it is there."""

    def __init__(self, cupy: Any, device_id: int) -> None:
        self._cupy = cupy
        self._device = cupy.cuda.Device(device_id)
        self._architecture = architecture_for(self._device.compute_capability, supported())
        self._lock = threading.Lock()
        self._loaded: dict[Source, Code] = {}
        self._in_flight = _Copies(np.zeros(0))  # all there are, watched by somebody or not
        self._watched: dict[int, tuple[weakref.ref[Any], _Copies]] = {}
        self.multiprocessors: int = self._device.attributes["MultiProcessorCount"]

    def current(self) -> AbstractContextManager[Any]:
        # One object serves all threads: CuPy keeps the devices to return to in the thread.
        device: AbstractContextManager[Any] = self._device
        return device

    def zeros(self, shape: int | Sequence[int], dtype: Any) -> DeviceArray:
        lengths = (shape,) if isinstance(shape, int) else tuple(shape)
        return new_array(self._device, self._cupy.zeros, lengths, dtype)

    def address(self, array: DeviceArray) -> int:
        return int(array.data.ptr)

    def upload(self, target: DeviceArray, source: HostArray) -> None:
        with self._device:
            staged = self._pinned(source.shape, source.dtype)
            staged[...] = source
            target.set(staged)  # returns before the copy is done, since the memory is pinned
            self._in_flight.add(self._event(), staged)

    def download(self, source: DeviceArray) -> HostArray:
        with self._device:
            host: HostArray = source.get(out=np.empty(source.shape, source.dtype))
        return host

    def watch(self, source: DeviceArray) -> Callable[[], HostArray]:
        copies = self._copies_of(source)
        with self._device:
            host = source.get(out=self._pinned(source.shape, source.dtype), blocking=False)
            event = self._event()
            copies.add(event, host)
            self._in_flight.add(event, host)
        return copies.latest

    def sort(self, keys: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        with self._device:
            order = self._cupy.argsort(keys)  # CuPy has stable sorts only
            return keys[order], order

    def load(self, sources: Sequence[Source]) -> list[Code]:
        missing = [source for source in dict.fromkeys(sources) if source not in self._loaded]
        compiled = cubins.compile_all([source.text for source in missing], *self._architecture)
        with self._lock, self._device:
            for source, one in zip(missing, compiled, strict=True):
                if source not in self._loaded:
                    self._loaded[source] = self._functions(source, one)
            return [self._loaded[source] for source in sources]

    def launch(self, function: Function, grid: int, arguments: Sequence[Argument]) -> None:
        # CuPy passes NumPy scalars and arrays of one element by value, as their bytes are.
        with self._device:
            function((grid,), (THREADS,), arguments)

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        with self._device, self._cupy.cuda.Stream(non_blocking=True) as stream:
            stream.begin_capture()
            try:
                run()
            finally:
                graph = stream.end_capture()

        def replay() -> None:
            with self._device:
                graph.launch()

        return replay

    def synchronize(self) -> None:
        with self._device:
            self._cupy.cuda.get_current_stream().synchronize()

    def _functions(self, source: Source, compiled: Compiled) -> Code:
        module = self._cupy.cuda.Module()
        module.load(compiled.image)
        return {name: module.get_function(name) for name in source.kernels}

    def _pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> HostArray:
        """An array in memory that copies need not wait for; from CuPy's pool, and back to it when collected."""
        memory = self._cupy.cuda.alloc_pinned_memory(math.prod(shape) * dtype.itemsize)
        return np.ndarray(shape, dtype, memory)

    def _event(self) -> Any:
        """Done when all is that the current stream has been given so far."""
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record()
        return event

    def _copies_of(self, array: DeviceArray) -> _Copies:
        """The copies of an array that is watched; they go when the array does, before its id can be another's."""
        key = id(array)
        with self._lock:
            if key not in self._watched:
                copies = _Copies(np.zeros(array.shape, array.dtype))
                self._watched[key] = weakref.ref(array, lambda _: self._watched.pop(key, None)), copies
            return self._watched[key][1]


class _Copies:
    """Arrays on the host that copies read or write, oldest first, each kept until the event says that its copy is done.
    `latest` is the last whose copy is."""

    def __init__(self, before: HostArray) -> None:
        self._lock = threading.Lock()
        self._latest = before
        self._pending: deque[tuple[Any, HostArray]] = deque()

    def add(self, event: Any, array: HostArray) -> None:
        with self._lock:
            self._drain()
            self._pending.append((event, array))

    def latest(self) -> HostArray:
        with self._lock:
            self._drain()
            return self._latest

    def _drain(self) -> None:
        while self._pending and self._pending[0][0].done:
            self._latest = self._pending.popleft()[1]

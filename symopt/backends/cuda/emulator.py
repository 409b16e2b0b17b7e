"""A device that is the processor: kernels built by a C++ compiler, run thread by thread in orders drawn from a seed.

It is slow, and it checks: what CUDA leaves undefined is an error, and what depends on the order of threads shows.
Arrays are NumPy's. emulator.h is what CUDA C text finds there, emulator.cpp what runs it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ...codegen.cuda.layout import THREADS
from ...errors import DeviceMemoryError, ShapeError, SymoptError
from . import guarded, hostcompiler
from .device import Argument, Code, DeviceArray, HostArray, Source

ERROR_BYTES = 1000
KINDS = {"p": ("u", "a pointer"), "i": ("iu", "an integer"), "f": ("f", "a float"), "s": ("V", "a struct")}

_lock = threading.RLock()  # of the runtime, which runs one launch at a time, and of the loaded kernels
_loaded: dict[tuple[Source, bool], Code] = {}
_emulated: set[tuple[str, str]] = set()

# The child would inherit a launch half done.
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class EmulationError(SymoptError, RuntimeError):
    """A kernel does what CUDA does not define, writes beside its arrays, or gets arguments that are not its own."""


class _Parameter(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_uint32), ("bytes", ctypes.c_uint32))


class _Kernel(ctypes.Structure):
    """As emulator.h has it."""

    _fields_ = (
        *(
            ("call", ctypes.c_void_p),
            ("parameters", ctypes.POINTER(_Parameter)),
            ("n_parameters", ctypes.c_uint64),
        ),
        *(("shared", ctypes.c_void_p), ("shared_end", ctypes.c_void_p), ("runtime", ctypes.c_void_p)),
    )


class _Launch(ctypes.Structure):
    """As emulator.cpp has it."""

    _fields_ = (
        *(("kernel", ctypes.POINTER(_Kernel)), ("name", ctypes.c_char_p), ("arguments", ctypes.c_void_p)),
        *(("grid", ctypes.c_uint64), ("threads", ctypes.c_uint64), ("seed", ctypes.c_uint64)),
        *(("regions", ctypes.c_void_p), ("n_regions", ctypes.c_uint64)),
        *(("error", ctypes.c_void_p), ("error_bytes", ctypes.c_uint64), ("fault", ctypes.c_uint64)),
    )


class _Function(NamedTuple):
    name: str
    text: str
    kernel: _Kernel

    def parameters(self) -> list[tuple[str, int]]:
        """The kind and the bytes of each."""
        kernel = self.kernel
        return [(chr(p.kind), p.bytes) for p in kernel.parameters[: kernel.n_parameters]]


class Emulator:
    """The processor as a `Device`.

    seed: which order threads and blocks run in. 0: theirs; even: random, all threads getting on at one pace; odd:
        some warps (1, 5, ...) or single threads (3, 7, ...) run as far ahead of others as barriers let them.
    multiprocessors: how many it claims to have.
    guard: whether `zeros` surrounds arrays with memory that may not be written to, which every launch checks.
    begin_at_page: whether guarded arrays begin at a page that nobody may touch; else they end at one.
    watch_memory: whether every access to memory is looked at. Errors then are also races between threads (found in any
        order of threads), reads of shared memory that has not been written, and reads beside guarded arrays.
    """

    def __init__(
        self,
        seed: int = 0,
        multiprocessors: int = 2,
        guard: bool = True,
        begin_at_page: bool = False,
        watch_memory: bool = True,
    ) -> None:
        self.seed = seed
        self.multiprocessors = multiprocessors
        self.guard = guard
        self.begin_at_page = begin_at_page
        self.watch_memory = watch_memory
        self._recorded: list[tuple[_Function, int, list[HostArray], int]] | None = None  # while it captures

    def current(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def zeros(self, shape: int | Sequence[int], dtype: Any) -> DeviceArray:
        try:
            return self._guarded(shape, dtype) if self.guard else np.zeros(shape, dtype)
        except (MemoryError, OSError) as error:
            raise DeviceMemoryError(f"no memory for an array of shape {shape} and dtype {dtype}") from error

    def guarded(self, array: HostArray, offset: int = 0) -> DeviceArray:
        """A guarded copy; its first byte is `offset` bytes after a multiple of 16."""
        copy = self._guarded(array.shape, array.dtype, offset)
        copy[...] = array
        return copy

    def _guarded(self, shape: int | Sequence[int], dtype: Any, offset: int = 0) -> DeviceArray:
        return guarded.zeros(shape, dtype, offset, self.begin_at_page)

    def check_guards(self) -> None:
        """EmulationError that says which guarded array of the process has been written beside, and where."""
        with _lock:
            damage = guarded.damage()
        if damage:
            raise EmulationError(f"something was written {damage}")

    def address(self, array: DeviceArray) -> int:
        return int(array.ctypes.data)

    def upload(self, target: DeviceArray, source: HostArray) -> None:
        if target.shape != source.shape:
            raise ShapeError(f"an array of shape {target.shape} cannot take one of shape {source.shape}")
        np.copyto(target, source, casting="no")

    def download(self, source: DeviceArray) -> HostArray:
        return np.array(source)

    def watch(self, source: DeviceArray) -> Callable[[], HostArray]:
        copy = self.download(source)
        return lambda: copy

    def sort(self, keys: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        order = np.argsort(keys, kind="stable")
        return (self.guarded(keys[order]), self.guarded(order)) if self.guard else (keys[order], order)

    def synchronize(self) -> None:
        pass

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        recorded: list[tuple[_Function, int, list[HostArray], int]] = []
        self._recorded = recorded
        try:
            run()
        finally:
            self._recorded = None

        def replay() -> None:
            for call in recorded:
                self.launch(*call)

        return replay

    def load(self, sources: Sequence[Source]) -> list[Code]:
        """The kernels of each source.

        DependencyError without a C++ compiler; CompilationError with the compiler's first lines.
        """
        watch = self.watch_memory
        with _lock:
            new = [source for source in dict.fromkeys(sources) if (source, watch) not in _loaded]
            flags = hostcompiler.REPORT_ACCESSES if watch else ()
            libraries = hostcompiler.load([_library_text(source) for source in new], flags)
            for source, library in zip(new, libraries, strict=True):
                _loaded[source, watch] = _code(source, library)
            return [_loaded[source, watch] for source in sources]

    def launch(
        self, function: _Function, grid: int, arguments: Sequence[Argument], threads: int = THREADS
    ) -> None:
        """Run a kernel on `grid` blocks of `threads` threads, at most 1024. EmulationError says what went wrong."""
        values = _checked(function, arguments)
        if self._recorded is not None:
            self._recorded.append((function, grid, [value.copy() for value in values], threads))
            return
        if grid < 1 or not 1 <= threads <= 1024:
            raise EmulationError(f"kernel {function.name}: no launch has {grid} blocks of {threads} threads")
        with _lock:
            _emulated.add((function.text, function.name))
            said = _run(function, grid, threads, self.seed, values)
            damage = guarded.damage() if self.guard else None
        if said:
            raise EmulationError(said)
        if damage:
            raise EmulationError(f"kernel {function.name}: writes {damage}")


def _run(function: _Function, grid: int, threads: int, seed: int, values: Sequence[HostArray]) -> str:
    """What is wrong with the launch, or nothing."""
    pointers = np.array([value.ctypes.data for value in values], np.uint64)
    regions = guarded.regions()
    error = ctypes.create_string_buffer(ERROR_BYTES)
    launch = _Launch(
        *(ctypes.pointer(function.kernel), function.name.encode(), pointers.ctypes.data, grid, threads, seed),
        *(regions.ctypes.data, len(regions), ctypes.addressof(error), ERROR_BYTES),
    )
    _runtime().symopt_emulator_launch(ctypes.byref(launch))
    place = guarded.place_of(launch.fault)
    return error.value.decode() + (f"; that is {place}" if place else "")


def emulated_kernels() -> int:
    """How many different kernels this process has run."""
    return len(_emulated)


def _checked(function: _Function, arguments: Sequence[Argument]) -> list[HostArray]:
    """The arguments as arrays; EmulationError unless they are what the kernel takes, to the byte."""
    parameters = function.parameters()
    if len(arguments) != len(parameters):
        raise EmulationError(
            f"kernel {function.name} takes {len(parameters)} arguments, got {len(arguments)}"
        )
    values = [np.ascontiguousarray(argument) for argument in arguments]
    for i, (value, (kind, size)) in enumerate(zip(values, parameters, strict=True)):
        kinds, words = KINDS[kind]
        if value.size != 1 or value.nbytes != size or value.dtype.kind not in kinds:
            raise EmulationError(
                f"kernel {function.name}: argument {i} must be {words} of {size} bytes, "
                f"got {value.size} {value.dtype} of {value.nbytes} bytes"
            )
    return values


def _library_text(source: Source) -> str:
    entries = [f"SYMOPT_KERNEL({name})" for name in source.kernels]
    parts = ('#include "emulator.h"', '#line 1 "kernels.cu"', source.text, "SYMOPT_LIBRARY", *entries, "")
    return "\n".join(parts)


def _code(source: Source, library: ctypes.CDLL) -> Code:
    ctypes.c_void_p.in_dll(library, "symopt_runtime").value = _runtime().symopt_emulator_runtime()
    return {
        name: _Function(name, source.text, _Kernel.in_dll(library, f"symopt_kernel_{name}"))
        for name in source.kernels
    }


@cache
def _runtime() -> ctypes.CDLL:
    """emulator.cpp, compiled and loaded."""
    (library,) = hostcompiler.load([(hostcompiler.HERE / "emulator.cpp").read_text()], ["-O2"])
    library.symopt_emulator_runtime.restype = ctypes.c_void_p
    library.symopt_emulator_launch.restype = None
    return library

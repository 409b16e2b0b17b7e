"""Where the benchmark's arrays live and how its steps are timed: a GPU, or the emulator for a rehearsal without one."""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any, Protocol

import numpy as np

import symopt as so
from symopt.dtypes import to_numpy
from symopt.emulatedarrays import emulated_gpus

Step = Callable[[int], Any]  # does step number t = 1, 2, ...
IN_A_ROW = 10  # steps between one pair of events, when launches need not be waited for


@dataclass
class Times:
    """Milliseconds of a step, medians. `alone`: between events around one step, so that the wait for its launches
    counts. `in_a_row`: of many steps enqueued at once. `host`: to enqueue one. `spread`: (p90 - p10) / median of
    `alone`."""

    alone: float
    in_a_row: float
    host: float
    spread: float


class Machine(Protocol):
    xp: Any  # NumPy or CuPy

    def random(self, shape: Any, dtype: str = "float32", scale: float = 1.0) -> Any:
        """Normally distributed numbers."""

    def get(self, array: Any) -> np.ndarray:
        """An array of the host."""

    def bind(
        self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any
    ) -> Any: ...

    def timed(self, step: Step, reps: int) -> Times: ...

    def synchronize(self) -> None: ...

    def free(self) -> None:
        """Give unused memory back, so that every contender finds the same."""


class Gpu:
    """so.gpu(0). Everything runs on the default stream, which torch's default stream is too."""

    def __init__(self) -> None:
        import cupy

        self.xp = cupy
        self._random = cupy.random.default_rng(1)

    def random(self, shape: Any, dtype: str = "float32", scale: float = 1.0) -> Any:
        made = self._random.standard_normal(shape, dtype=np.float32)
        made *= np.float32(scale)
        return made if dtype == "float32" else made.astype(to_numpy(dtype))

    def get(self, array: Any) -> np.ndarray:
        return array.get()

    def tensor(self, array: Any) -> Any:
        import torch

        return torch.from_dlpack(array)

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        return symbol.bind(so.gpu(0), args=args, aux_states=states, **options)

    def timed(self, step: Step, reps: int) -> Times:
        cuda = self.xp.cuda
        alone, host = [], []
        for t in range(1, 4):
            step(t)
        for t in range(reps):
            start, stop = cuda.Event(), cuda.Event()
            self.synchronize()
            before = time.perf_counter()
            start.record()
            step(t + 4)
            stop.record()
            host.append((time.perf_counter() - before) * 1e3)
            stop.synchronize()
            alone.append(cuda.get_elapsed_time(start, stop))
        self.synchronize()
        start, stop = cuda.Event(), cuda.Event()
        start.record()
        for t in range(IN_A_ROW):
            step(reps + 4 + t)
        stop.record()
        stop.synchronize()
        return summed_up(alone, cuda.get_elapsed_time(start, stop) / IN_A_ROW, host)

    def synchronize(self) -> None:
        self.xp.cuda.Device().synchronize()

    def free(self) -> None:
        self.xp.get_default_memory_pool().free_all_blocks()
        if util.find_spec("torch"):
            import torch

            torch.cuda.empty_cache()


class Emulated:
    """An emulated so.gpu(0): shows that a case runs and is right. Its times mean nothing."""

    def __init__(self) -> None:
        self._emulated = emulated_gpus(1)
        (place,) = self._emulated.__enter__()  # for as long as this object lives
        self.xp: Any = place.xp
        self._random = np.random.default_rng(1)

    def random(self, shape: Any, dtype: str = "float32", scale: float = 1.0) -> Any:
        made = self._random.standard_normal(shape, np.float32) * np.float32(scale)
        return self.xp.asarray(made.astype(to_numpy(dtype)))

    def get(self, array: Any) -> np.ndarray:
        return array.get()

    def tensor(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(array.view(np.ndarray))

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        return symbol.bind(so.gpu(0), args=args, aux_states=states, **options)

    def timed(self, step: Step, reps: int) -> Times:
        found = []
        for t in range(reps):
            before = time.perf_counter()
            step(t + 4)
            found.append((time.perf_counter() - before) * 1e3)
        return summed_up(found, statistics.median(found), found)

    def synchronize(self) -> None:
        pass

    def free(self) -> None:
        pass


def summed_up(alone: list[float], in_a_row: float, host: list[float]) -> Times:
    """Medians of single measurements."""
    median, ordered = statistics.median(alone), sorted(alone)
    low, high = (ordered[int(share * (len(ordered) - 1))] for share in (0.1, 0.9))
    return Times(median, in_a_row, statistics.median(host), (high - low) / max(median, 1e-9))


def versions(machine: Machine) -> dict[str, str]:
    """Device, driver and versions, and the day."""
    names = {"cupy": "cupy-cuda13x", "torch": "torch", "numpy": "numpy", "ml_dtypes": "ml_dtypes"}
    found = {"date": datetime.date.today().isoformat(), "python": platform.python_version()}
    found["symopt"] = so.__version__
    for name, package in names.items():
        if util.find_spec(name):
            found[name] = _version(name, package)
    found["device"] = "the emulator: times mean nothing"
    if isinstance(machine, Gpu):
        cuda = machine.xp.cuda
        properties = cuda.runtime.getDeviceProperties(0)
        found["device"] = properties["name"].decode()
        found["multiprocessors"] = str(properties["multiProcessorCount"])
        found["driver takes CUDA"] = str(cuda.runtime.driverGetVersion())
        found["NVRTC"] = ".".join(map(str, cuda.nvrtc.getVersion()))
        found["driver"] = _driver()
    return found


def _version(module: str, package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # CuPy for another CUDA
        return str(getattr(__import__(module), "__version__", "unknown"))


def _driver() -> str:
    """The driver's version, from the file where Linux has it."""
    try:
        with open("/proc/driver/nvidia/version") as file:
            return file.readline().strip()
    except OSError:
        return "unknown"

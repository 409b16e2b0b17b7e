"""CuPy's arrays on one GPU as a place. Few lines, since only tests on a GPU reach them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from .arrays import CUDA, MANAGED, Array, check_tensor, misplaced
from .context import Context, gpu
from .errors import DependencyError, DeviceError, DeviceMemoryError, DTypeError, StorageError
from .places import check_usable

INSTALL = "pip install symopt[cuda12] or symopt[cuda13], as the driver's CUDA version is"


def context_at(x: Any) -> Context:
    """The GPU of an array that has nothing but `__cuda_array_interface__`."""
    return gpu(int(import_cupy().asarray(x).device.id))


class CupyPlace:
    """The memory of GPU `device_id`. DependencyError without CuPy, DeviceError if no such GPU answers."""

    def __init__(self, device_id: int) -> None:
        self.context = gpu(device_id)
        self.xp = import_cupy()
        check_present(self.xp, device_id)
        self._device = self.xp.cuda.Device(device_id)

    def __repr__(self) -> str:
        return f"the memory of {self.context!r}"

    def current(self) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = self._device
        return device

    def view(self, x: Any, what: str) -> Array:
        array = x if isinstance(x, self.xp.ndarray) else self._seen(x, what)
        if array.device.id != self.context.device_id:
            raise misplaced(what, array, self.context)
        return array  # type: ignore[no-any-return]

    def as_array(self, x: Any, what: str, *, mutable: bool) -> Array:
        return check_usable(self.view(x, what), what, mutable)

    def _seen(self, x: Any, what: str) -> Any:
        """A CuPy array on the memory of x, which is of another library."""
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(x, torch.Tensor):
            check_tensor(torch, x, what)
        if getattr(x, "stype", "default") != "default":
            raise StorageError(f"{what} is a {x.stype} array where a dense one is needed: give .todense()")
        with self._device:
            try:
                # First DLPack: it orders what its library and CuPy do, and carries bfloat16.
                if hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] in (CUDA, MANAGED):
                    return self.xp.from_dlpack(x)
                if hasattr(x, "__cuda_array_interface__"):
                    return self.xp.asarray(x)
            except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
                raise DTypeError(f"{what} cannot be viewed as a CuPy array: {error}") from error
        if isinstance(x, (np.ndarray, np.generic)) or hasattr(x, "__dlpack__"):
            raise misplaced(what, x, self.context)
        raise DTypeError(f"{what} must be an array, got {type(x).__name__}: give cupy.asarray(x)")

    def zeros(self, shape: Sequence[int], dtype: Any) -> Array:
        return new_array(self._device, self.xp.zeros, shape, dtype)  # type: ignore[no-any-return]

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        return new_array(self._device, self.xp.empty, shape, dtype)  # type: ignore[no-any-return]

    def upload(self, target: Array, source: Array) -> None:
        with self._device:
            target.set(source)  # type: ignore[attr-defined]

    def to_host(self, source: Array) -> Array:
        with self._device:
            return source.get()  # type: ignore[attr-defined, no-any-return]


def import_cupy() -> Any:
    """The package `cupy`. DependencyError without it."""
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        what = "" if missing else f", which cannot be imported ({str(error).strip()})"
        raise DependencyError(f"so.gpu() and CUDA code need CuPy{what}: {INSTALL}") from error
    return cupy


def check_present(cupy: Any, device_id: int) -> None:
    """DeviceError if no such GPU answers."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"so.gpu({device_id}) needs an NVIDIA GPU and its driver, and none answers ({error}); so.cpu() needs none"
        ) from error
    if device_id >= count:
        raise DeviceError(
            f"so.gpu({device_id}) is not here: this machine has {count} GPU(s), numbered from 0"
        )


def new_array(device: Any, make: Any, shape: Sequence[int], dtype: Any) -> Any:
    """make(shape, dtype), a function of CuPy, on a device of CuPy's. DeviceMemoryError when there is no room."""
    shape = tuple(shape)
    with device:
        try:
            return make(shape, dtype)
        except import_cupy().cuda.memory.OutOfMemoryError as error:
            wanted = math.prod(shape) * np.dtype(dtype).itemsize
            free, total = device.mem_info
            raise DeviceMemoryError(
                f"no room in the memory of gpu({device.id}) for an array of shape {shape} and dtype "
                f"{np.dtype(dtype)}: {wanted:,} bytes, where {free:,} of {total:,} are free"
            ) from error

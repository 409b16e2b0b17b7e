"""Arrays of any library seen as NumPy arrays without a copy."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np

from .context import Context, cpu, gpu
from .dtypes import DTYPES, to_numpy
from .errors import ArrayError, DeviceError, DTypeError, StorageError

Array = np.ndarray[Any, np.dtype[Any]]

# DLPack's device types whose memory the processor can read: CPU, CUDA pinned, ROCm pinned, CUDA managed.
HOST_DEVICES = frozenset({1, 3, 11, 13})
CUDA, MANAGED = 2, 13


def as_array(x: Any, what: str, *, mutable: bool) -> Array:
    """A NumPy array on the memory of x: never a copy. `what` names x in errors ("argument 'w'").

    Takes NumPy arrays, CPU torch tensors and everything with `__array_interface__` or `__dlpack__`, of dtype
    float16, bfloat16, float32, float64, complex64 or complex128. `mutable`: it will be updated in place, so it must
    be writeable and C-contiguous; otherwise views with strides and read-only arrays pass.
    DTypeError, DeviceError, StorageError or ArrayError say what does not fit, and what to give instead.
    """
    array = x if type(x) is np.ndarray else view(x, what)
    check_dtype(array.dtype, what)
    if mutable and not array.flags.carray:
        raise ArrayError(_not_updatable(array, what))
    return array


def view(x: Any, what: str) -> Array:
    """A NumPy array of any dtype on the memory of x; see `as_array`."""
    if isinstance(x, np.ma.MaskedArray):
        raise ArrayError(f"{what} is a masked array, and masks are not obeyed: give .data or .filled()")
    if isinstance(x, np.ndarray):
        if type(x) is np.ndarray:
            return x
        if context_of(x) != cpu():
            raise misplaced(what, x, cpu())
        return x.view(np.ndarray)
    if isinstance(x, np.generic):
        return np.broadcast_to(x, ())  # read-only: it has no memory of its own to update
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(torch, x, what)
    if getattr(x, "stype", "default") != "default":
        raise StorageError(f"{what} is a {x.stype} array where a dense one is needed: give .todense()")
    if hasattr(x, "__cuda_array_interface__"):
        raise misplaced(what, x, cpu())
    if hasattr(x, "__array_interface__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return _from_dlpack(x, what)
    raise DTypeError(f"{what} must be an array, got {type(x).__name__}{_remedy(x)}")


def context_of(x: Any) -> Context | None:
    """The device whose memory an array lies in, as far as the array says: by DLPack."""
    if type(x) is np.ndarray:
        return cpu()
    try:
        kind, number = x.__dlpack_device__()
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):
        return None
    if kind == CUDA or (kind == MANAGED and hasattr(x, "__cuda_array_interface__")):
        return gpu(int(number))
    return cpu() if kind in HOST_DEVICES else None


def misplaced(what: str, x: Any, expected: Context) -> DeviceError:
    """The error for an array in another memory than that of `expected`."""
    found = context_of(x)
    if expected.device_type == "cpu":
        where = f"GPU memory{'' if found is None else f', that of {found!r}'}"
        bind = f"so.{found!r}" if found is not None else "so.gpu()"
        return DeviceError(
            f"{what} is in {where}: expected the host's; give cupy.asnumpy(x), or bind on {bind}"
        )
    where = "memory that is no GPU's" if found is None else f"the memory of {found!r}"
    current = f", with cupy.cuda.Device({expected.device_id}) current" if expected.device_id else ""
    return DeviceError(f"{what} is in {where}: expected {expected!r}; give cupy.asarray(x){current}")


def check_dtype(dtype: np.dtype[Any], what: str) -> None:
    """DTypeError for a dtype that no op stores."""
    if not _is_supported(dtype):
        raise DTypeError(_dtype_refused(dtype, what))


@lru_cache(maxsize=64)
def _is_supported(dtype: np.dtype[Any]) -> bool:
    return dtype.isnative and dtype.name in DTYPES


def _dtype_refused(dtype: np.dtype[Any], what: str) -> str:
    if dtype.name in DTYPES:
        return f"{what} is not in this machine's byte order: give x.astype('{dtype.name}')"
    return f"{what} has dtype {dtype.name}: use one of {', '.join(DTYPES)}"


def _not_updatable(array: Array, what: str) -> str:
    if not array.flags.writeable:
        return f"{what} is read-only and would be updated in place: give a writeable array, such as x.copy()"
    fault = "not aligned" if array.flags.c_contiguous else "not C-contiguous"
    return f"{what} is {fault} and would be updated in place: give np.ascontiguousarray(x) or x.copy()"


def _remedy(x: Any) -> str:
    if isinstance(x, (list, tuple)) or hasattr(x, "__array__"):
        return ": give np.asarray(x, dtype='float32')"
    return ": give a NumPy array, or anything with __dlpack__ or __array_interface__"


def _from_torch(torch: Any, x: Any, what: str) -> Array:
    if x.device.type != "cpu":
        raise DeviceError(f"{what} is a torch tensor on {x.device}: give x.cpu()")
    check_tensor(torch, x, what)
    if x.dtype == torch.bfloat16:  # NumPy has no such dtype: the same bits go over as integers
        bits: Array = x.view(torch.int16).numpy()
        return bits.view(to_numpy("bfloat16"))
    try:
        array: Array = x.numpy()
    except (RuntimeError, TypeError) as error:  # a lazy conjugate, a quantised dtype
        raise DTypeError(f"{what} is a torch tensor that NumPy cannot view: {error}") from None
    return array


def check_tensor(torch: Any, x: Any, what: str) -> None:
    """Errors for torch tensors whose memory is not simply theirs, on any device."""
    if x.requires_grad:
        raise ArrayError(
            f"{what} is a torch tensor that requires grad: give x.detach(), which has its memory"
        )
    if x.layout != torch.strided:
        raise StorageError(f"{what} is a torch tensor of layout {x.layout}: give x.to_dense()")


def _from_dlpack(x: Any, what: str) -> Array:
    if x.__dlpack_device__()[0] not in HOST_DEVICES:
        raise misplaced(what, x, cpu())
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError) as error:
        raise DTypeError(f"{what} cannot be viewed through DLPack: {error}") from None

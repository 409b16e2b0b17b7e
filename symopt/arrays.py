"""Arrays of any library seen as NumPy arrays without a copy, and checks before one is updated in place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .dtypes import DTYPES, to_numpy
from .errors import ArrayError, DeviceError, DTypeError, StorageError

Array = np.ndarray[Any, np.dtype[Any]]
Entry = tuple[str, Array, bool]

# DLPack's device types whose memory the processor can read: CPU, CUDA pinned, ROCm pinned, CUDA managed.
HOST_DEVICES = frozenset({1, 3, 11, 13})


def as_array(x: Any, what: str, *, mutable: bool) -> Array:
    """A NumPy array on the memory of x: never a copy. `what` names x in errors ("argument 'w'").

    Takes NumPy arrays, CPU torch tensors and everything with `__array_interface__` or `__dlpack__`, of dtype
    float16, bfloat16, float32, float64, complex64 or complex128. `mutable`: it will be updated in place, so it must
    be writeable and C-contiguous; otherwise views with strides and read-only arrays pass.
    DTypeError, DeviceError, StorageError or ArrayError say what does not fit, and what to give instead.
    """
    array = x if type(x) is np.ndarray else view(x, what)
    if not _is_supported(array.dtype):
        raise DTypeError(_dtype_refused(array.dtype, what))
    if mutable and not array.flags.carray:
        raise ArrayError(_not_updatable(array, what))
    return array


def view(x: Any, what: str) -> Array:
    """A NumPy array of any dtype on the memory of x; see `as_array`."""
    if isinstance(x, np.ma.MaskedArray):
        raise ArrayError(f"{what} is a masked array, and masks are not obeyed: give .data or .filled()")
    if isinstance(x, np.ndarray):
        return x if type(x) is np.ndarray else x.view(np.ndarray)
    if isinstance(x, np.generic):
        return np.broadcast_to(x, ())  # read-only: it has no memory of its own to update
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _from_torch(torch, x, what)
    if getattr(x, "stype", "default") != "default":
        raise StorageError(f"{what} is a {x.stype} array where a dense one is needed: give .todense()")
    if hasattr(x, "__cuda_array_interface__"):
        raise DeviceError(f"{what} is in GPU memory: copy it to the host first")
    if hasattr(x, "__array_interface__"):
        return np.asarray(x)
    if hasattr(x, "__dlpack__"):
        return _from_dlpack(x, what)
    raise DTypeError(f"{what} must be an array, got {type(x).__name__}{_remedy(x)}")


def addresses(arrays: Sequence[Array]) -> Array:
    """Where the first element of each array lies in memory, as int64."""
    return np.array([a.__array_interface__["data"][0] for a in arrays], np.int64)


def check_overlap(entries: Sequence[Entry]) -> None:
    """ArrayError when an array that will be updated in place shares memory with any other one.

    `entries`: (name for the error, array, whether it is updated). Arrays that are only read may share.
    """
    entries = [e for e in entries if e[1].size]
    if len(entries) < 2:
        return
    low, high = _bounds([e[1] for e in entries])
    order = np.argsort(low, kind="stable")
    low, high = low[order], high[order]
    mutable = np.fromiter((e[2] for e in entries), np.bool_, len(entries))[order]
    for i in _candidates(low, high, mutable):
        before = np.flatnonzero((high[:i] > low[i]) & (mutable[:i] | mutable[i]))
        for j in before:
            _check_pair(entries[order[j]], entries[order[i]])


def _candidates(low: Array, high: Array, mutable: Array) -> Array:
    """Places in ascending `low` whose range meets an earlier one, one of the two being mutable."""
    nothing = low[0]
    reach = np.maximum.accumulate(high)[:-1]
    reach_mutable = np.maximum.accumulate(np.where(mutable, high, nothing))[:-1]
    return 1 + np.flatnonzero(low[1:] < np.where(mutable[1:], reach, reach_mutable))


def _bounds(arrays: list[Array]) -> tuple[Array, Array]:
    """First byte, and the byte after the last, of arrays that are not empty."""
    low = addresses(arrays)
    high = low + np.array([a.nbytes for a in arrays], np.int64)
    for i, array in enumerate(arrays):
        if not array.flags.c_contiguous:
            low[i], high[i] = np.lib.array_utils.byte_bounds(array)
    return low, high


def _check_pair(a: Entry, b: Entry) -> None:
    if not np.shares_memory(a[1], b[1]):
        return
    updated, other = (a, b) if a[2] else (b, a)
    raise ArrayError(
        f"{updated[0]} is updated in place and shares memory with {other[0]}: give one of them a copy"
    )


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
    if x.requires_grad:
        raise ArrayError(
            f"{what} is a torch tensor that requires grad: give x.detach(), which has its memory"
        )
    if x.layout != torch.strided:
        raise StorageError(f"{what} is a torch tensor of layout {x.layout}: give x.to_dense()")
    if x.dtype == torch.bfloat16:  # NumPy has no such dtype: the same bits go over as integers
        bits: Array = x.view(torch.int16).numpy()
        return bits.view(to_numpy("bfloat16"))
    try:
        array: Array = x.numpy()
    except (RuntimeError, TypeError) as error:  # a lazy conjugate, a quantised dtype
        raise DTypeError(f"{what} is a torch tensor that NumPy cannot view: {error}") from None
    return array


def _from_dlpack(x: Any, what: str) -> Array:
    if x.__dlpack_device__()[0] not in HOST_DEVICES:
        raise DeviceError(f"{what} is not in the host's memory: copy it to the host first")
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError) as error:
        raise DTypeError(f"{what} cannot be viewed through DLPack: {error}") from None

"""Places: where the arrays of a step live, and how they are made, seen and copied there.

Everything that holds arrays goes through a place, so that nothing else knows NumPy's arrays from CuPy's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Protocol

import numpy as np

from . import arrays
from .arrays import Array, check_dtype, context_of
from .context import Context, cpu
from .errors import ArrayError
from .overlap import address


class Place(Protocol):
    """The memory of one device.

    `context`: the device. `xp`: NumPy, or what has its functions for arrays there; `xp.ndarray` is their type.
    """

    context: Context
    xp: Any

    def current(self) -> AbstractContextManager[Any]:
        """Inside it, functions of `xp` and operators on arrays work on this device."""

    def view(self, x: Any, what: str) -> Array:
        """An array of any dtype on the memory of x, never a copy. DeviceError if that is elsewhere; for other errors
        see `arrays.as_array`."""

    def as_array(self, x: Any, what: str, *, mutable: bool) -> Array:
        """An array that ops can read, and write if it is `mutable`; see `arrays.as_array`."""

    def zeros(self, shape: Sequence[int], dtype: Any) -> Array:
        """A new array. DeviceMemoryError when a device has no room."""

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """A new array of whatever the memory holds."""

    def upload(self, target: Array, source: Array) -> None:
        """Copy a host's array into a contiguous one that lies here, of the same shape and dtype."""

    def to_host(self, source: Array) -> Array:
        """A copy on the host; waits for the work before it."""


class HostPlace:
    """The host's memory, and NumPy."""

    context = cpu()
    xp: Any = np
    view = staticmethod(arrays.view)
    as_array = staticmethod(arrays.as_array)

    def current(self) -> AbstractContextManager[Any]:
        return _NOTHING

    def zeros(self, shape: Sequence[int], dtype: Any) -> Array:
        return np.zeros(shape, dtype)

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        return np.empty(shape, dtype)

    def upload(self, target: Array, source: Array) -> None:
        np.copyto(target, source, casting="no")

    def to_host(self, source: Array) -> Array:
        return source.copy()

    def __repr__(self) -> str:
        return "HOST"


_NOTHING: AbstractContextManager[Any] = nullcontext()
HOST: Place = HostPlace()


_lock = threading.Lock()  # two threads get one place, since places are told apart by identity


@cache
def _gpu(device_id: int) -> Place:
    from .cupyarrays import CupyPlace

    return CupyPlace(device_id)


# What makes the place of a GPU, by its number. The last one counts; `emulated_gpus` adds one.
makers: list[Callable[[int], Place]] = [_gpu]


def place_of(context: Context) -> Place:
    """The place of a context. For a GPU: DependencyError without CuPy, DeviceError if there is no such one."""
    if context.device_type == "cpu":
        return HOST
    with _lock:
        return makers[-1](context.device_id)


def place_of_array(x: Any) -> Place:
    """The place that the memory of an array is in, and HOST for what is no array."""
    if type(x) is np.ndarray:
        return HOST
    if getattr(x, "stype", "default") == "row_sparse":
        return place_of_array(x.data)
    found = context_of(x)
    if found is None and hasattr(x, "__cuda_array_interface__"):  # which does not say which GPU
        from .cupyarrays import context_at

        found = context_at(x)
    return HOST if found is None else place_of(found)


def from_host(place: Place, source: Array) -> Array:
    """A copy of a host's array, contiguous, in `place`."""
    made = place.empty(source.shape, source.dtype)
    place.upload(made, source)
    return made


def moved(array: Array, source: Place, target: Place) -> Array:
    """A copy of an array of one place, contiguous, in another."""
    return from_host(target, source.to_host(array))


def check_usable(array: Array, what: str, mutable: bool) -> Array:
    """An array of a device, if kernels can read it, and write it if it is `mutable`."""
    check_dtype(array.dtype, what)
    if mutable and not array.flags.c_contiguous:
        raise ArrayError(
            f"{what} is not C-contiguous and would be updated in place: give cupy.ascontiguousarray(x) or x.copy()"
        )
    if address(array) % array.dtype.alignment:
        raise ArrayError(f"{what} does not lie at a multiple of its elements' size: give x.copy()")
    return array

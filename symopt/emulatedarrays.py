"""GPUs that are not there: arrays that lie on the host and behave as if they did not.

For trying code that is meant for GPUs, and for tests: these arrays are refused where the host's are needed, the host's
where these are, and both refuse to mix, as CuPy's do. On such a GPU, steps run CUDA text on the processor, slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import arrays, places
from .arrays import CUDA, Array, context_of, misplaced
from .context import gpu
from .errors import DeviceError, DTypeError
from .places import Place, check_usable


class Device(NamedTuple):
    """A GPU that is not there."""

    id: int


class EmulatedArray(np.ndarray[Any, np.dtype[Any]]):
    """An array of an emulated GPU. Has what CuPy's arrays have: `device`, `get`, `set`."""

    _number: int | None = None

    def __array_finalize__(self, obj: Any) -> None:
        self._number = getattr(obj, "_number", None)

    @property
    def device(self) -> Any:
        return Device(self._number) if self._number is not None else None

    def get(self) -> Array:
        """A copy on the host."""
        return np.array(self)

    def set(self, source: Array) -> None:
        """Copy a host's array of the same shape and dtype."""
        if source.shape != self.shape or source.dtype != self.dtype:
            raise ValueError(f"{source.dtype} {source.shape} cannot be set to {self.dtype} {self.shape}")
        np.copyto(self.view(np.ndarray), source)

    def __dlpack_device__(self) -> Any:
        return CUDA, self._number

    def __dlpack__(self, **options: Any) -> Any:
        raise BufferError("an emulated array has no memory on a GPU")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        outs = kwargs.pop("out", ())
        number = _number_of((*inputs, *outs), ufunc.__name__)
        if outs:
            kwargs["out"] = tuple(_plain(x) for x in outs)
        result = getattr(ufunc, method)(*map(_plain, inputs), **kwargs)
        return outs[0] if len(outs) == 1 else _placed(result, number)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if not all(issubclass(t, EmulatedArray) for t in types):
            raise TypeError(f"{function.__name__} mixes arrays of the host and of a GPU")
        return _placed(function(*_plain_in(args), **_plain_in(kwargs)), self._number)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            _number_of((self, value), "assignment")
        super().__setitem__(key, value)

    def __getitem__(self, key: Any) -> Any:
        return _placed(super().__getitem__(key), self._number)


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, EmulatedArray) else x


def _plain_in(x: Any) -> Any:
    """Arguments of a function with every array among them as the host's."""
    if isinstance(x, dict):
        return {key: _plain_in(each) for key, each in x.items()}
    return type(x)(map(_plain_in, x)) if isinstance(x, (tuple, list)) else _plain(x)


def _placed(x: Any, number: int | None) -> Any:
    """A result as an array of the GPU: numbers too, which CuPy's functions do not return."""
    if isinstance(x, (tuple, list)):
        return type(x)(_placed(each, number) for each in x)
    if isinstance(x, (np.ndarray, np.generic)):
        x = np.asarray(x).view(EmulatedArray)
        x._number = number
    return x


def _number_of(operands: Sequence[Any], what: str) -> int | None:
    """The one GPU that the arrays among some operands are on."""
    found = {
        x._number if isinstance(x, EmulatedArray) else None for x in operands if isinstance(x, np.ndarray)
    }
    if len(found) != 1:
        raise TypeError(f"{what} mixes arrays of several devices")
    return found.pop()


class _Functions:
    """NumPy's functions, whose results lie on an emulated GPU."""

    ndarray = EmulatedArray

    def __init__(self, number: int) -> None:
        self._number = number

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(np, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            return _placed(function(*args, **kwargs), self._number)

        return run


class EmulatedPlace:
    """The memory of an emulated GPU. DeviceMemoryError comes from the host's."""

    def __init__(self, device_id: int) -> None:
        self.context = gpu(device_id)
        self.xp: Any = _Functions(device_id)

    def __repr__(self) -> str:
        return f"the memory of the emulated {self.context!r}"

    def current(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def view(self, x: Any, what: str) -> Array:
        if isinstance(x, EmulatedArray) and x._number == self.context.device_id:
            return x
        if isinstance(x, np.generic) or context_of(x) is not None:
            raise misplaced(what, x, self.context)
        arrays.view(x, what)  # says what is wrong with it, if it is no array at all
        raise DTypeError(f"{what} must be an emulated array, got {type(x).__name__}")

    def as_array(self, x: Any, what: str, *, mutable: bool) -> Array:
        return check_usable(self.view(x, what), what, mutable)

    def zeros(self, shape: Sequence[int], dtype: Any) -> Array:
        return self.xp.zeros(shape, dtype)  # type: ignore[no-any-return]

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        return self.xp.empty(shape, dtype)  # type: ignore[no-any-return]

    def upload(self, target: Array, source: Array) -> None:
        assert isinstance(target, EmulatedArray)
        target.set(source)

    def to_host(self, source: Array) -> Array:
        return np.array(source)


@cache
def _gpu(device_id: int) -> Place:
    return EmulatedPlace(device_id)


@contextmanager
def emulated_gpus(count: int = 2) -> Iterator[list[Place]]:
    """Inside it, so.gpu(0), ..., so.gpu(count - 1) are emulated, and there are no others. Gives their places."""
    found = [_gpu(k) for k in range(count)]

    def make(device_id: int) -> Place:
        if device_id >= count:
            raise DeviceError(f"so.gpu({device_id}) is not here: {count} GPUs are emulated, numbered from 0")
        return found[device_id]

    places.makers.append(make)
    try:
        yield found
    finally:
        places.makers.remove(make)

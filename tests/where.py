"""Where a test runs a graph: on the processor, on an emulated device, on a GPU. One body of a test serves all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol
from unittest import mock

import numpy as np

import symopt as so
from symopt.backends import choose
from symopt.backends.cuda.cupydevice import cupy_device
from symopt.backends.cuda.device import Device
from symopt.backends.cuda.emulator import Emulator
from symopt.emulatedarrays import EmulatedArray
from symopt.sparse import RowSparseArray


class Where(Protocol):
    """A place for arrays, and the engine that runs there."""

    @property
    def is_gpu(self) -> bool: ...

    def dense(self, array: np.ndarray, beside: int) -> Any:
        """A copy there, `beside` elements after a multiple of 16 bytes."""

    def get(self, array: Any) -> np.ndarray:
        """A dense array as it is on the host."""

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        """`symbol.bind` to arrays that are there."""

    def check(self) -> None:
        """Fail if anything was written beside an array, where that can be known."""


@dataclass(frozen=True)
class Host:
    """The processor, with one of its engines and a number of threads."""

    engine: str = "reference"
    threads: int | None = None
    is_gpu: ClassVar[bool] = False

    def dense(self, array: np.ndarray, beside: int) -> Any:
        return array.copy()

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        so.set_num_threads(self.threads)
        return symbol.bind(so.cpu(), args=args, aux_states=states, engine=self.engine, **options)

    def check(self) -> None:
        pass


@dataclass(frozen=True)
class Emulated:
    """The emulated so.gpu(0), inside `emulated_gpus`: arrays are guarded, threads run in the order of `seed`."""

    seed: int = 0
    multiprocessors: int = 2
    is_gpu: ClassVar[bool] = False

    @cached_property
    def device(self) -> Emulator:
        return Emulator(self.seed, self.multiprocessors)

    def dense(self, array: np.ndarray, beside: int) -> Any:
        made = self.device.guarded(array, beside * array.itemsize).view(EmulatedArray)
        made._number = 0
        return made

    def get(self, array: Any) -> np.ndarray:
        return np.array(array)

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        with mock.patch.object(choose, "emulator", lambda: self.device):
            return symbol.bind(so.gpu(0), args=args, aux_states=states, **options)

    def check(self) -> None:
        self.device.check_guards()


@dataclass(frozen=True)
class OnGpu:
    """so.gpu(0), with CuPy's arrays."""

    is_gpu: ClassVar[bool] = True

    @cached_property
    def device(self) -> Device:
        return cupy_device(0)

    def dense(self, array: np.ndarray, beside: int) -> Any:
        import cupy

        whole = cupy.empty(array.size + beside, array.dtype)
        view = whole[beside:].reshape(array.shape)
        view.set(np.array(array, order="C"))
        return view

    def get(self, array: Any) -> np.ndarray:
        found: np.ndarray = array.get() if hasattr(array, "get") else np.asarray(array)
        return found

    def bind(self, symbol: Any, args: Mapping[str, Any], states: Mapping[str, Any], **options: Any) -> Any:
        return symbol.bind(so.gpu(0), args=args, aux_states=states, **options)

    def check(self) -> None:
        pass


def put(where: Where, value: Any, beside: int = 0) -> Any:
    """A copy of a dense or row_sparse array at a place; numbers as they are."""
    if isinstance(value, RowSparseArray):
        data, indices = (where.dense(x, beside) for x in (value.data, value.indices))
        return RowSparseArray(data, indices, value.shape, value.canonical)
    return where.dense(value, beside) if isinstance(value, np.ndarray) else value


def put_all(where: Where, values: Mapping[str, Any], beside: int = 0) -> dict[str, Any]:
    return {name: put(where, value, beside) for name, value in values.items()}

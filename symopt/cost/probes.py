"""Kernels of next to no arithmetic, to measure a machine with: made by the passes and run by the engines of steps."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..backends.base import Engine, Memory
from ..backends.choose import make_engine
from ..dtypes import to_numpy
from ..expr import Node
from ..lang import State, Tensor, Updated, sqrt, sum_of, updated
from ..opdef import STORAGE_ATTRS, OpDef
from ..passes.calls import Operands, device_calls
from ..passes.ir import DENSE, LISTED, Lowered, Program, Value
from ..passes.partition import partition
from ..passes.plan import plan
from ..passes.schedule import schedule
from ..places import Place, from_host
from ..sparse import RowSparseArray
from .arithmetic import Operation, operations

Formula = Callable[..., Any]


# ---- formulas that move bytes


def read(weight: Tensor) -> Tensor:
    """Reads one array."""
    return sum_of(weight)


def read_two(weight: Tensor, grad: Tensor) -> Tensor:
    """Reads two."""
    return sum_of(weight + grad)


def copy(weight: Tensor, grad: Tensor) -> Tensor:
    """Reads one array, writes another."""
    return grad + grad


def add(weight: Tensor, grad: Tensor, other: Tensor) -> Tensor:
    """Reads two arrays, writes a third."""
    return grad + other


def double(weight: Tensor) -> Tensor:
    """Updates one array in place."""
    return weight + weight


def update(weight: Tensor, grad: Tensor) -> Tensor:
    """Reads one array and updates one: what plain SGD moves."""
    return weight + grad


def update_two(weight: Tensor, grad: Tensor, mean: State) -> Updated:
    """Reads one array and updates two: what momentum moves."""
    return updated(weight + grad, mean=mean + grad)


def update_three(weight: Tensor, grad: Tensor, mean: State, var: State) -> Updated:
    """Reads one array and updates three: what Adam moves."""
    return updated(weight + grad, mean=mean + grad, var=var + grad)


def normalize(weight: Tensor, grad: Tensor, mean: State, var: State) -> Updated:
    """update_three with a root and a quotient."""
    mean, var = mean + grad, var + grad
    return updated(weight + mean / sqrt(var), mean=mean, var=var)


def update_and_copy(weight: Tensor, grad: Tensor, mean: State) -> Updated:
    """Reads one array, updates one, writes one: what plain SGD moves on a copy in float32."""
    return updated(mean + grad, mean=mean + grad)


# How many arrays of a formula are only read, updated in place, only written.
MIXES: dict[Formula, tuple[int, int, int]] = {
    read: (1, 0, 0), read_two: (2, 0, 0), copy: (1, 0, 1), add: (2, 0, 1), double: (0, 1, 0), update: (1, 1, 0),
    update_two: (1, 2, 0), update_three: (1, 3, 0), update_and_copy: (1, 1, 1),
}  # fmt: skip


# ---- a formula as a step


class Probe:
    """A formula on arrays of near one, which it takes from a `pool` if there are such. `listed`: the gradient has only
    these rows. `tensors`: how many of that shape. `attrs`: how results are stored."""

    def __init__(
        self,
        formula: Formula,
        shape: Sequence[int],
        place: Place,
        dtype: str = "float32",
        *,
        listed: Array | None = None,
        tensors: int = 1,
        pool: Pool | None = None,
        **attrs: Any,
    ) -> None:
        self.program = _program(formula, tuple(shape), dtype, listed is not None, tensors, attrs)
        self.memory = Memory()
        pool = Pool(place) if pool is None else pool
        for name, value in self.program.lowered.variables.items():
            if value.sparse:
                assert listed is not None
                data = pool.take(name, (len(listed), *shape[1:]), dtype)
                self.memory.sparse[name] = RowSparseArray(data, from_host(place, listed), shape)
            else:
                self.memory.arrays[name] = pool.take(name, value.shape, value.dtype)
        for k, (buffer_dtype, buffer_shape) in enumerate(self.program.buffers):
            self.memory.arrays[k] = place.zeros(buffer_shape, to_numpy(buffer_dtype))
        self.engine: Engine = make_engine("auto", self.program, self.memory, place=place)
        self._place = place

    def operations(self) -> Counter[Operation]:
        """What a step computes."""
        found: Counter[Operation] = Counter()
        for launch in self.program.launches:
            for instance in launch.instances:
                found += operations(launch.kernel, instance.domain)
        return found

    def list_rows(self, rows: Array) -> None:
        """Let the gradient be of these rows, as many as before."""
        for array in self.memory.sparse.values():
            array.indices = from_host(self._place, rows)

    def seconds(self, steps: int = 1) -> float:
        """Seconds of a step, without what the host prepares, over some steps in a row."""
        engine = self.engine
        engine.prepare()
        engine.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            engine.run()
        engine.synchronize()
        return (time.perf_counter() - start) / steps

    def preparing(self) -> float:
        """Seconds that the host prepares a step."""
        start = time.perf_counter()
        self.engine.prepare()
        self.engine.synchronize()
        return time.perf_counter() - start


class Pool:
    """Arrays that probes share, so that measuring takes the memory of the largest probe and not of all: a new shape is
    a view of the array of before."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._bytes: dict[str, Any] = {}

    def take(self, name: str, shape: Sequence[int], dtype: str) -> Any:
        """An array of numbers a little above 1."""
        size, numpy_dtype = math.prod(shape), to_numpy(dtype)
        if name not in self._bytes or self._bytes[name].nbytes < size * numpy_dtype.itemsize:
            self._bytes[name] = self._place.empty((size * numpy_dtype.itemsize,), np.uint8)
        with self._place.current():
            array = self._bytes[name][: size * numpy_dtype.itemsize].view(numpy_dtype).reshape(tuple(shape))
            array[...] = 1 + 2.0**-7
        return array


def _program(
    formula: Formula, shape: tuple[int, ...], dtype: str, listed: bool, tensors: int, given: Mapping[str, Any]
) -> Program:
    """The program of a formula as an op of its own, which is in no registry."""
    op = OpDef(formula, is_update=True)
    for attr in STORAGE_ATTRS:
        op.attrs.setdefault(attr.name, attr)
    attrs = tuple((name, given.get(name, op.attrs[name].default)) for name in op.structural)
    lowered = Lowered([], [], {}, {}, {}, ())
    for t in range(tensors):
        inputs = [
            Value(f"{spec.name}{t}", shape, dtype, variable=f"{spec.name}{t}", sparse=listed and k == 1)
            for k, spec in enumerate(op.inputs)
        ]
        is_sum = MIXES.get(formula, (0, 1, 0))[1:] == (0, 0)
        results = [Value("output", (1,) if is_sum else shape, dtype)]
        results += [Value(f"new {inputs[k].name}", shape, dtype) for k in op.state_positions]
        operands = Operands(Node("probe", name=f"probe{t}"), op, list(inputs), {}, attrs)
        mode = LISTED if listed else DENSE
        lowered.calls += device_calls(operands, tuple(results), shape, mode, 1 if listed else -1)
        lowered.variables.update({v.name: v for v in inputs})
        states = zip(op.state_positions, results[1:], strict=True)
        lowered.writes.update({inputs[k].name: result for k, result in states})
        if not is_sum:
            lowered.writes[inputs[0].name] = results[0]
        lowered.heads += (results[0],)
    return plan(lowered, schedule(lowered, partition(lowered)))


def rows_apart(n_rows: int, count: int, seed: int) -> Array:
    """`count` different rows of a table, ascending, anywhere in it."""
    chosen = np.random.default_rng(seed).choice(n_rows, size=count, replace=False)
    return np.sort(chosen).astype(np.int64)

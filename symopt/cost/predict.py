"""Seconds of launches on a machine that was measured: what they move, from which cache, and what they compute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ..backends.launch import CHUNK, threads_for
from ..canonical import BLOCK
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, LISTED, REDUCE, Instance, Kernel, Launch, Program
from ..passes.traffic import Moved, moved
from ..planned import Planned
from .arithmetic import Operation
from .bandwidth import Calibration, Stream

Use = tuple[int, int, int]  # launch, tensor in it, buffer
Array = str | int  # a variable's name, the number of a buffer


class Timeline:
    """Which bytes steps touch one after the other: how much lies between two uses of an array decides whether it is
    still in a cache. Steps are taken to follow each other."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self._apart: dict[Use, float] | None = None

    def seconds(
        self,
        number: int,
        launch: Launch,
        found: Sequence[tuple[int, Moved]],
        counts: Mapping[Operation, int],
        calibration: Calibration,
    ) -> tuple[float, float]:
        """Predicted seconds of a launch that moves and computes so much, and those that memory alone would take."""
        if self._apart is None:
            self._apart = _distances(self.planned)
        kernel = launch.kernel
        streams = [
            Stream(
                m.read,
                m.written,
                self._apart.get((number, t, m.buffer), math.inf),
                m.by_row,
                m.buffer == kernel.sparse,
            )
            for t, m in found
        ]
        threads = _threads(kernel, launch, found, self.planned)
        if kernel.mode == LIBRARY:
            counts = _as_products(kernel, counts)
        return calibration.seconds(streams, counts, threads, len(launch.instances))


def step_seconds(planned: Planned, calibration: Calibration, copied: int) -> float:
    """Predicted seconds of a step beside its launches: what the host does, and arrays copied before and after."""
    speed = calibration.speed(1)
    seconds = calibration.step + copied * (speed.read + speed.written)
    for name in planned.listed:
        rows = planned.gradients.get(name)
        entries = planned.listed[name]
        seconds += entries * (calibration.index + (0.0 if rows is None or rows.ordered else calibration.sort))
    return seconds


def _threads(kernel: Kernel, launch: Launch, found: Sequence[tuple[int, Moved]], planned: Planned) -> int:
    """How many threads share the launch, on the host. A library has threads of its own, or one."""
    if kernel.mode == LIBRARY:
        return 1
    n_bytes = sum(m.read + m.written for _, m in found)
    chunks = sum(_chunks(kernel, planned, instance) for instance in launch.instances)
    return max(threads_for(kernel.mode, n_bytes, chunks), 1)


def _chunks(kernel: Kernel, planned: Planned, instance: Instance) -> int:
    domain = instance.domain
    size = size_of(domain)
    if kernel.mode == REDUCE:
        return -(-size // (CHUNK // BLOCK * BLOCK))
    if not kernel.rows and kernel.mode != LISTED:
        return -(-size // CHUNK)
    n_rows = planned.rows_of(kernel, instance).distinct if kernel.mode == LISTED else (domain or (1,))[0]
    return -(-n_rows // max(CHUNK // max(size_of(domain[1:]), 1), 1))


def _as_products(kernel: Kernel, counts: Mapping[Operation, int]) -> Mapping[Operation, int]:
    """Products of matrices are faster than their additions and multiplications one by one."""
    ((root, _),) = kernel.stores
    if root.op != "matmul":
        return counts
    return {("matmul", dtype): count for (op, dtype), count in counts.items() if op == "mul"}


def _distances(planned: Planned) -> dict[Use, float]:
    """Bytes touched since an array was last used, for each use in a step; from one step to the next too."""
    position = 0
    last: dict[Array, int] = {}
    first: dict[Array, tuple[Use, int]] = {}
    found: dict[Use, float] = {}
    for use, array, size in _uses(planned):
        if array in last:
            found[use] = position - last[array]
        else:
            first[array] = use, position
        position += size
        last[array] = position - size
    for array, (use, at) in first.items():
        found[use] = position - last[array] + at
    return found


def _uses(planned: Planned) -> Iterator[tuple[Use, Array, int]]:
    """Every use of an array in a step, in order, and its bytes."""
    program = planned.needed()
    for number, launch in enumerate(program.launches):
        for t, instance in enumerate(launch.instances):
            for m in moved(launch.kernel, instance.domain, planned.rows_of(launch.kernel, instance)):
                array = _array(program, instance, m.buffer)
                if array is not None:
                    yield (number, t, m.buffer), array, max(m.read, m.written)


def _array(program: Program, instance: Instance, buffer: int) -> Array | None:
    value = instance.values[buffer]
    return program.storage.get(id(value.whole), value.variable)

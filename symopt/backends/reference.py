"""The NumPy interpreter of the lowered graph: the definition of what every op means. Slow and obvious.

It runs the calls one by one, before any fusion, keeps every value in an array of its own, and stores into the user's
arrays at the very end.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..dtypes import to_numpy
from ..expr import Extent
from ..grids import sizes
from ..passes.ir import LIBRARY, Call, Program, Value
from ..routines import call_routine
from .base import Array, Key, Memory, Numbers
from .interpret import Window, interpret, whole
from .watched import Found, NanGuard, found_in_numbers, listed_rows, look, watched_values


class ReferenceEngine:
    """Interprets a program's lowered graph. `monitor(name, array)` sees every op's output, and the variables too if
    `variables` is set."""

    def __init__(
        self,
        program: Program,
        memory: Memory,
        monitor: Callable[[str, Array], None] | None = None,
        variables: bool = False,
        guard: NanGuard = None,
    ) -> None:
        self.program = program
        self.memory = memory
        self.numbers = Numbers(program, memory)
        self.monitor = monitor
        self.shows_variables = variables
        self.guard = guard
        self.found: list[Found] = []
        self.left_out = 1  # of a step that has found something
        self._watched = watched_values(program) if guard else []
        self.stale = True  # numbers are evaluated at every step

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Arrays are looked up at every step."""

    def prepare(self) -> None:
        self.found = []
        for name, array in self.memory.sparse.items():
            array.check_indices(f"argument {name!r}")
        self.numbers.evaluate()

    def synchronize(self) -> None:
        """Steps are done when `run` returns."""

    def run(self) -> None:
        made: dict[int, Array] = {}
        if self.monitor is not None and self.shows_variables:
            for name, array in self.memory.arrays.items():
                if isinstance(name, str):
                    self.monitor(name, array.copy())
        with np.errstate(all="ignore"):
            for call in self.program.lowered.calls:
                for value, array in zip(call.outputs, self._call(call, made), strict=True):
                    self._keep(value, array, made)
        if self.guard:
            self.found = self._look(made)
        if self.guard != "skip" or not self.found:
            self._store(made)
            self.numbers.commit()

    def _look(self, made: dict[int, Array]) -> list[Found]:
        """What is about to be stored that is not finite."""
        found = found_in_numbers(self.program, self.numbers)
        for w in self._watched:
            rows = listed_rows(w, self.memory)
            bad = look(made[id(w.value)].reshape(w.value.shape), rows)
            found += [Found(w, bad)] if bad else []
        return found

    def _keep(self, value: Value, array: Array, made: dict[int, Array]) -> None:
        if value.base is not None:
            whole, index = value.base
            made.setdefault(id(whole), np.empty(whole.shape, to_numpy(whole.dtype)))[index] = array.reshape(
                ()
            )
        made[id(value)] = array
        if self.monitor is not None:
            self.monitor(f"{value.name}_output", array)

    def _store(self, made: dict[int, Array]) -> None:
        lowered = self.program.lowered
        for name, value in lowered.writes.items():
            if not value.host:
                self.memory.arrays[name][...] = made[id(value)].reshape(value.shape)
        for value in lowered.heads:
            key = self.program.storage.get(id(value))
            if isinstance(key, int):
                self.memory.arrays[key][...] = made[id(value)].reshape(value.shape)

    def _array(self, value: Value, made: dict[int, Array]) -> Array:
        if id(value) in made:
            return made[id(value)]
        if value.base is not None:
            return self._array(value.base[0], made)[value.base[1]]  # type: ignore[no-any-return]
        return self.memory.arrays[value.variable]  # type: ignore[index]

    # ---- one call

    def _call(self, call: Call, made: dict[int, Array]) -> list[Array]:
        if call.body.mode == LIBRARY:
            return [library(call, lambda value: self._array(value, made))]
        results = interpret(call, whole(call.domain), _Whole(self, made), range(len(call.outputs)))
        return [array.reshape(value.shape) for array, value in zip(results, call.outputs, strict=True)]


class _Whole:
    """What calls read of a step under way: arrays from end to end."""

    def __init__(self, engine: ReferenceEngine, made: dict[int, Array]) -> None:
        self.engine = engine
        self.made = made
        self.number = engine.numbers.number

    def array(self, value: Value, extent: Extent, window: Window) -> Array:
        array, (n_rows, n_columns) = self.engine._array(value, self.made), window.shape
        if extent == Extent.TENSOR:
            return array.reshape(())
        return array.reshape(n_rows, 1 if extent == Extent.ROW else n_columns)

    def entries(self, value: Value, window: Window) -> tuple[Array, Array]:
        sparse = self.engine.memory.sparse[value.variable]  # type: ignore[index]
        return sparse.indices, sparse.data.reshape(len(sparse.indices), window.width)


def library(call: Call, array: Callable[[Value], Array]) -> Array:
    """A function of a library on whole matrices."""
    body, value = call.body, call.outputs[0]
    arrays = [
        array(v).reshape(sizes(p.grid, call.domain)) for p, v in zip(body.params, call.inputs, strict=True)
    ]
    out = np.empty(sizes(body.outputs[0].grid, call.domain), to_numpy(value.dtype))
    call_routine(body.roots[0], arrays, out)
    return out.reshape(value.shape)

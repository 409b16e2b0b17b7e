"""The arrays of a step as they are now, or as they were: read in parts, wherever they lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.base import Array, Memory
from ..backends.interpret import Window
from ..passes.calls import size_of
from ..places import HOST, Place
from ..segments import check_indices
from ..sparse import RowSparseArray
from ..step import Step


@dataclass(frozen=True, eq=False)
class State:
    """Everything a step reads. `arrays` by name, dense ones in any strides; `memory` has the numbers alone."""

    place: Place
    arrays: Mapping[str, Any]
    sparse: Mapping[str, RowSparseArray]
    memory: Memory

    def read(self, name: str, start: int, stop: int) -> Array:
        """Elements [start, stop) of a variable, counted flat, in the host's memory."""
        array = self.arrays[name]
        with self.place.current():
            if array.flags.c_contiguous:
                return self.place.to_host(array.reshape(-1)[start:stop])
            width = max(size_of(array.shape[1:]), 1)
            first, last = start // width, -(-stop // width)
            rows = array[first:last].copy().reshape(-1)
            return self.place.to_host(rows[start - first * width : stop - first * width])

    def entries(self, name: str, window: Window) -> tuple[Array, Array]:
        """The rows in a window that a row_sparse variable lists, counted from its first, and their data."""
        sparse, rows = self.sparse[name], window.rows
        sparse.check_lengths(f"argument {name!r}")
        with self.place.current():
            indices = self.place.to_host(sparse.indices)
            check_indices(indices, sparse.shape[0], f"argument {name!r}")
            found = np.flatnonzero((indices >= rows.start) & (indices < rows.stop))
            data = sparse.data.reshape(len(indices), window.width)
            columns = slice(window.columns.start, window.columns.stop)
            if self.place is HOST:
                return indices[found] - rows.start, data[found, columns]
            parts = [self.place.to_host(data[k : k + 1, columns].copy()) for k in found.tolist()]
            empty = np.zeros((0, len(window.columns)), sparse.dtype)
            return indices[found] - rows.start, np.concatenate([empty, *parts])

    def rows(self, name: str) -> int:
        """How many different rows a row_sparse variable lists."""
        with self.place.current():
            return len(np.unique(self.place.to_host(self.sparse[name].indices)))

    def listed(self, name: str, row: int) -> list[int]:
        """The entries of a row_sparse variable that are of one row, in their order."""
        with self.place.current():
            found: list[int] = np.flatnonzero(self.place.to_host(self.sparse[name].indices) == row).tolist()
        return found


def now(step: Step) -> State:
    """The arrays of a step as they are. Waits for the steps so far."""
    step.synchronize()
    bound, variables = step.bound, step.program.lowered.variables
    arrays = {n: b.user_array() for n, b in bound.items() if b.array is not None and not variables[n].host}
    return State(step.place, arrays, step.memory.sparse, _numbers(step))


def _numbers(step: Step) -> Memory:
    """The numbers of the next step; those held in arrays are read from there, as it would."""
    numbers = dict(step.memory.numbers)
    numbers |= {name: b.read_number() for name, b in step.held}
    return Memory(numbers=numbers, overrides=dict(step.memory.overrides))


def copied(step: Step, names: Collection[str] | None = None) -> State:
    """Copies in the host's memory of what the next step reads: of all variables, or of those in `names`."""
    state = now(step)
    arrays = {n: step.place.to_host(a) for n, a in state.arrays.items() if names is None or n in names}
    sparse = {n: a.copy_to(HOST) for n, a in state.sparse.items() if names is None or n in names}
    return State(HOST, arrays, sparse, state.memory)

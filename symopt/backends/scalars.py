"""The numbers of a launch, for every instance of its kernel: evaluated when some number changed, by any engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..hostmath import Column, HostProgram
from ..passes.ir import Launch, Source, Value
from .base import Memory, Numbers

_PROGRAMS: dict[int, tuple[Any, HostProgram]] = {}  # by kernel, which is kept alive


class Scalars:
    """What the numbers of one launch are made of, and those that only depend on attributes."""

    def __init__(self, launch: Launch, memory: Memory) -> None:
        self.launch = launch
        self.kernel = launch.kernel
        self.memory = memory
        found = _PROGRAMS.get(id(self.kernel))
        if found is None:
            found = _PROGRAMS[id(self.kernel)] = (self.kernel, HostProgram(self.kernel.scalars))
        self._program = found[1]
        self._fixed: list[Column | None] = []
        self._fixed_at = -1
        self._shared: dict[int, Source | None] = {}  # by leaf: where its number comes from, if from one place

    def take(self, numbers: Numbers) -> list[Column] | None:
        """The column of each scalar of the kernel, a float where all instances have one number; None if none can have
        changed since the last call."""
        if not self.kernel.scalars:
            return None
        if self._fixed_at != self.memory.changes:
            self._fixed_at = self.memory.changes
            self._fixed = self._fixed_columns(numbers)
        elif all(column is not None for column in self._fixed):  # `in` would compare columns
            return None
        columns: dict[Any, Column] = {}
        for k, leaf in enumerate(self.kernel.leaves):
            fixed = self._fixed[k]
            columns[leaf] = fixed if fixed is not None else self._varying(numbers, k)
        return self._program(columns)

    def _varying(self, numbers: Numbers, k: int) -> Column:
        """The column of a leaf that may differ at each step."""
        if k not in self._shared:
            sources = self._sources(k)
            self._shared[k] = sources[0] if all(s is sources[0] for s in sources) else None
        shared = self._shared[k]
        return _column(numbers, self._sources(k)) if shared is None else numbers.number(shared)

    def _sources(self, k: int) -> list[Source]:
        return [instance.leaves[k] for instance in self.launch.instances]

    def _fixed_columns(self, numbers: Numbers) -> list[Column | None]:
        """The columns that only depend on attributes: the same until one of those is changed."""
        found: list[Column | None] = []
        for k in range(len(self.kernel.leaves)):
            sources = self._sources(k)
            varies = any(isinstance(source, Value) for source in sources)
            found.append(None if varies else _column(numbers, sources))
        return found


def _column(numbers: Numbers, sources: list[Source]) -> Column:
    """One number for each instance; a float when they are all the same."""
    found = [numbers.number(s) for s in sources]
    return found[0] if found.count(found[0]) == len(found) else np.array(found, np.float64)

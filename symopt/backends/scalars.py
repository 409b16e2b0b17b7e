"""The numbers of a launch, for every instance of its kernel: evaluated when some number changed, by any engine."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..expr import toposort
from ..hostmath import Column, HostProgram
from ..passes.ir import Kernel, Launch, Source, Value
from .base import Memory, Numbers

_PROGRAMS: dict[tuple[int, tuple[int, ...]], tuple[Kernel, HostProgram]] = {}  # a kernel is kept alive


class Scalars:
    """What the numbers of one launch are made of. `found`: the column of each scalar of the kernel, a float where all
    instances have one number."""

    def __init__(self, launch: Launch, memory: Memory) -> None:
        self.launch = launch
        self.kernel = launch.kernel
        self.memory = memory
        self.found: list[Column] = []
        self._leaves: dict[Any, Column] = {}
        self._fixed_at = -1
        self._all = tuple(range(len(self.kernel.scalars)))
        # The leaves that may differ at each step, and the scalars that depend on one of them. The others depend on
        # attributes only, and are what they are until one of those changes.
        sources = {leaf: self._sources(k) for k, leaf in enumerate(self.kernel.leaves)}
        self._varying = {x: found for x, found in sources.items() if any(isinstance(s, Value) for s in found)}
        self._moving = _depending(self.kernel, self._varying)
        self._evaluate = _program(self.kernel, self._moving)

    def take(self, numbers: Numbers) -> tuple[int, ...]:
        """Evaluate what may have changed since the last call; which of the scalars that is."""
        if self._fixed_at != self.memory.changes:
            self._fixed_at = self.memory.changes
            for k, leaf in enumerate(self.kernel.leaves):
                self._leaves[leaf] = _column(numbers, self._sources(k))
            self.found = _program(self.kernel, self._all)(self._leaves)
            return self._all
        if self._moving:
            for leaf, sources in self._varying.items():
                self._leaves[leaf] = _column(numbers, sources)
            for k, column in zip(self._moving, self._evaluate(self._leaves), strict=True):
                self.found[k] = column
        return self._moving

    def _sources(self, k: int) -> list[Source]:
        """Where the numbers of a leaf come from: for each instance, or one for all of them."""
        found = [instance.leaves[k] for instance in self.launch.instances]
        return found[:1] if all(source is found[0] for source in found) else found


def _depending(kernel: Kernel, leaves: Collection[Any]) -> tuple[int, ...]:
    """The scalars of a kernel that depend on one of these leaves."""
    if not leaves:
        return ()
    names = [{n.attrs["name"] for n in toposort([x]) if n.op == "scalar"} for x in kernel.scalars]
    return tuple(k for k, found in enumerate(names) if not found.isdisjoint(leaves))


def _program(kernel: Kernel, scalars: tuple[int, ...]) -> HostProgram:
    """What computes some of a kernel's scalars, made once."""
    found = _PROGRAMS.get((id(kernel), scalars))
    if found is None:
        found = kernel, HostProgram([kernel.scalars[k] for k in scalars])
        _PROGRAMS[id(kernel), scalars] = found
    return found[1]


def _column(numbers: Numbers, sources: list[Source]) -> Column:
    """One number for each source; a float when they are all the same."""
    values = numbers.values
    found = [values[id(s)] if isinstance(s, Value) else numbers.number(s) for s in sources]
    return found[0] if found.count(found[0]) == len(found) else np.array(found, np.float64)

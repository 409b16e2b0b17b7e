"""The numbers of a launch, for every instance of its kernel: evaluated when some number changed, by any engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from struct import pack
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
        self._fixed_at = -1
        self._all = tuple(range(len(self.kernel.scalars)))
        instances = launch.instances
        self._leaves = {x: _Leaf([i.leaves[k] for i in instances]) for k, x in enumerate(self.kernel.leaves)}
        # The leaves that may differ at each step. Scalars that depend on none of them depend on attributes only, and
        # are what they are until one of those changes.
        self._varying = [(name, leaf) for name, leaf in self._leaves.items() if leaf.is_varying]
        self._moving: dict[tuple[Any, ...], tuple[int, ...]] = {(): ()}

    def take(self, numbers: Numbers) -> tuple[int, ...]:
        """Evaluate what has changed since the last call; which of the scalars that is."""
        if self._fixed_at != self.memory.changes:
            self._fixed_at = self.memory.changes
            for leaf in self._leaves.values():
                leaf.take(numbers)
            self.found = self._evaluate(self._all)
            return self._all
        changed = tuple([name for name, leaf in self._varying if leaf.take(numbers)])
        moving = self._moving.get(changed)
        if moving is None:
            moving = self._moving[changed] = _depending(self.kernel, changed)
        if moving:
            for k, column in zip(moving, self._evaluate(moving), strict=True):
                self.found[k] = column
        return moving

    def _evaluate(self, scalars: tuple[int, ...]) -> list[Column]:
        return _program(self.kernel, scalars)({name: leaf.column for name, leaf in self._leaves.items()})


class _Leaf:
    """Where the numbers of a leaf come from: each source once, however many instances have it.

    `column`: the numbers read last, one for each instance; a float when they are all the same.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        places: dict[int, int] = {}
        self._which = np.array([places.setdefault(id(s), len(places)) for s in sources], np.intp)
        self._sources = list({id(s): s for s in sources}.values())
        self._bits = b""
        self.is_varying = any(isinstance(s, Value) for s in self._sources)
        self.column: Column = 0.0

    def take(self, numbers: Numbers) -> bool:
        """Read the numbers. Whether one differs from the last time, in any bit."""
        values = numbers.values
        found = [values[id(s)] if isinstance(s, Value) else numbers.number(s) for s in self._sources]
        bits = pack(f"{len(found)}d", *found)
        if bits == self._bits:
            return False
        self._bits = bits
        are_same = bits == bits[:8] * len(found)
        self.column = found[0] if are_same else np.array(found, np.float64)[self._which]
        return True


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

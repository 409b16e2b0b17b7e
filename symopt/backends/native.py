"""Runs a program with compiled kernels: builds each launch's tables at bind, then one call per launch."""

from __future__ import annotations

from ..passes.ir import Program
from .base import Memory, Numbers
from .launch import NativeLaunch, address


class NativeEngine:
    """A program's launches, ready to run on a memory."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.program = program
        self.memory = memory
        self.numbers = Numbers(program, memory)
        self.launches = [NativeLaunch(launch, program, memory) for launch in program.launches]
        self._places: dict[str | int, list[tuple[NativeLaunch, int, int, int]]] | None = None
        self._has_host_writes = any(v.host for v in program.lowered.writes.values())
        self._fixed = not any(launch.sparse for launch in self.launches) and not self._has_host_writes
        self._evaluated = False
        self.stale = True  # some number changed since the tables of scalars were filled

    def rebound(self, keys: set[str | int]) -> None:
        """Point the tables at the arrays that replaced those of `keys`."""
        if self._places is None:
            self._places = {}
            for launch in self.launches:
                for key, place in launch.places():
                    self._places.setdefault(key, []).append(place)
        for key in keys:
            for launch, t, b, offset in self._places.get(key, ()) if key in self.memory.arrays else ():
                launch.point(t, b, address(self.memory.arrays[key]) + offset)

    def prepare(self) -> None:
        if self._fixed and not self.stale:
            return
        for launch in self.launches:
            if launch.sparse:
                launch.take_sparse()
        if self.stale or self._has_host_writes:
            self.numbers.evaluate()
            for launch in self.launches:
                launch.take_numbers(self.numbers)
            self.stale = False

    def run(self) -> None:
        for launch in self.launches:
            launch.run()
        for value, name in self.program.copies:
            self.memory.arrays[name][...] = self.memory.arrays[self.program.storage[id(value)]]
        if self._has_host_writes:
            self.numbers.commit()

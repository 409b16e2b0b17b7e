"""Runs a program with compiled kernels: builds each launch's tables at bind, then one call per launch."""

from __future__ import annotations

from ..passes.ir import LIBRARY, Launch, Program
from .base import Array, Key, Memory, Numbers, Pointers
from .launch import NativeLaunch
from .nativeguard import LooksAfter, Rehearses
from .routinelaunch import RoutineLaunch
from .watched import Found, NanGuard


class NativeEngine:
    """A program's launches, ready to run on a memory."""

    def __init__(self, program: Program, memory: Memory, guard: NanGuard = None) -> None:
        self.program = program
        self.memory = memory
        self.numbers = Numbers(program, memory)
        self._after = LooksAfter(program, memory, self.numbers) if guard == "raise" else None
        self.launches = [
            self._after.ready(k) if self._after else _ready(launch, program, memory)
            for k, launch in enumerate(program.launches)
        ]
        self._before = Rehearses(program, memory, self.numbers, self.launches) if guard == "skip" else None
        # What a step runs: a rehearsal has done the rest.
        self.running = [self.launches[k] for k in self._before.plan.again] if self._before else self.launches
        self._compiled = [launch for launch in self.launches if isinstance(launch, NativeLaunch)]
        self._pointers = Pointers(self._compiled, program)
        self.found: list[Found] = []
        self.left_out = 1  # of a step that has found something
        self._has_host_writes = any(v.host for v in program.lowered.writes.values())
        self._fixed = not any(launch.sparse for launch in self._compiled) and not self._has_host_writes
        self._evaluated = False
        self.stale = True  # some number changed since the tables of scalars were filled

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Point the tables at the arrays that replaced those of `keys`."""
        self._pointers.redirect(keys, addresses)
        if self._before is not None:
            self._before.rebound(keys, addresses)

    def prepare(self) -> None:
        self.found = []
        if self._fixed and not self.stale:
            return
        for launch in self._compiled:
            if launch.sparse:
                launch.take_sparse()
        if self._before is not None:
            self._before.take_sparse()
        if self.stale or self._has_host_writes:
            self.numbers.evaluate()
            for launch in self._compiled:
                launch.take_numbers(self.numbers)
            if self._before is not None:
                self._before.take_numbers()
            self.stale = False

    def synchronize(self) -> None:
        """Steps are done when `run` returns."""

    def run(self) -> None:
        if self._before is not None:
            self.found = self._before.found()
            if self.found:
                return
        for launch in self.running:
            launch.run()
        for value, name in self.program.copies:
            made = self.memory.arrays[self.program.storage[id(value)]]
            self.memory.arrays[name][...] = made.reshape(
                value.shape
            )  # a buffer may have had another shape before
        if self._has_host_writes:
            self.numbers.commit()
        if self._after is not None:
            self.found = self._after.found()


def _ready(launch: Launch, program: Program, memory: Memory) -> NativeLaunch | RoutineLaunch:
    made = RoutineLaunch if launch.kernel.mode == LIBRARY else NativeLaunch
    return made(launch, program, memory)

"""The native engine's guards: one looks after each step, one rehearses it before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..overlap import address
from ..passes.ir import LIBRARY, Launch, Program
from .base import Array, Key, Memory, Numbers, Pointers
from .jit import Compiled, compile_ir
from .launch import NativeLaunch, module_of
from .rehearsal import guard_of, rehearsal
from .routinelaunch import RoutineLaunch
from .watched import Found, Watched, found_in_numbers, listed_rows, look, part_of, watched_values

AnyLaunch = NativeLaunch | RoutineLaunch


class Flags:
    """A byte for each tensor of each launch, which kernels set."""

    def __init__(self, launches: list[Launch]) -> None:
        self.first: list[int] = []
        count = 0
        for launch in launches:
            self.first.append(count)
            count += len(launch.instances)
        self.bytes = bytearray(count)
        self._view = np.frombuffer(self.bytes, np.uint8)

    def address(self, launch: int) -> int:
        """Of the bytes of a launch."""
        return address(self._view) + self.first[launch] if self.bytes else 0

    def take(self) -> bytes | None:
        """What was set since the last call, None if nothing was."""
        if 1 not in self.bytes:
            return None
        found = bytes(self.bytes)
        self._view[:] = 0
        return found


class LooksAfter:
    """Tells after a step what it stored that is not finite."""

    def __init__(self, program: Program, memory: Memory, numbers: Numbers) -> None:
        self.program = program
        self.memory = memory
        self.numbers = numbers
        self.watched = watched_values(program)
        self.flags = Flags(program.launches)
        self._of_library = [w for w in self.watched if program.launches[w.launch].kernel.mode == LIBRARY]

    def ready(self, number: int) -> AnyLaunch:
        """Launch `number`, which sets flags."""
        launch = self.program.launches[number]
        if launch.kernel.mode == LIBRARY:
            return RoutineLaunch(launch, self.program, self.memory)
        guard = guard_of(launch, number, self.watched)
        return NativeLaunch(launch, self.program, self.memory, guard, self.flags.address(number))

    def found(self) -> list[Found]:
        flags = self.flags.take()
        suspects = list(self._of_library)
        if flags is not None:
            suspects += [w for w in self.watched if flags[self.flags.first[w.launch] + w.tensor]]
        found = list(found_in_numbers(self.program, self.numbers))
        if suspects:
            found += look_at(suspects, self.memory, self.memory.arrays)
        return found


class Rehearses:
    """Runs a step without changing anything of the user's, and tells what it would store that is not finite."""

    def __init__(self, program: Program, memory: Memory, numbers: Numbers, launches: list[AnyLaunch]) -> None:
        self.program = program
        self.memory = memory
        self.numbers = numbers
        self.launches = launches
        self.watched = watched_values(program)
        self.plan = rehearsal(program, self.watched)
        self.flags = Flags(program.launches)
        self.shadow = Memory(sparse=memory.sparse, numbers=memory.numbers, overrides=memory.overrides)
        self._shadows = {key: memory.arrays[key].copy() for key in self.plan.shadows}
        self._see_arrays()
        self.standing_in: list[NativeLaunch] = []
        self._runs = [self._ready(k) for k in range(len(launches))]
        self._pointers = Pointers(self.standing_in, program, but=self.plan.shadows)

    def _ready(self, k: int) -> Callable[[], None]:
        launch, guard = self.program.launches[k], self.plan.guards[k]
        own = self.launches[k]
        if self.plan.idle[k]:
            return _nothing
        if launch.kernel.mode == LIBRARY:
            return RoutineLaunch(launch, self.program, self.shadow).run
        flags = self.flags.address(k)
        if self.plan.stands_in[k] or self.plan.shadows & self._keys(k):
            made = NativeLaunch(launch, self.program, self.shadow, guard, flags)
            self.standing_in.append(made)
            return made.run
        assert isinstance(own, NativeLaunch)
        if guard is None:
            return own.run
        own.job[7] = flags
        code: Compiled = compile_ir(module_of(launch.kernel, guard))
        return lambda: own.run(code)

    def _keys(self, k: int) -> set[Key]:
        values = (v for instance in self.program.launches[k].instances for v in instance.values)
        return {self.program.storage[id(v.whole)] for v in values if id(v.whole) in self.program.storage}

    def _see_arrays(self) -> None:
        self.shadow.arrays = {**self.memory.arrays, **self._shadows}

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Arrays were replaced."""
        self._see_arrays()
        self._pointers.redirect(keys, addresses)

    def take_sparse(self) -> None:
        """Read the indices of sparse gradients."""
        for launch in self.standing_in:
            if launch.sparse:
                launch.take_sparse()

    def take_numbers(self) -> None:
        """Take the numbers that were evaluated."""
        self.shadow.changes = self.memory.changes
        for launch in self.standing_in:
            launch.take_numbers(self.numbers)

    def found(self) -> list[Found]:
        """What the step would leave that is not finite; nothing: then `launches` numbers `plan.again` are the step."""
        found = list(found_in_numbers(self.program, self.numbers))
        for key, array in self._shadows.items():
            array[...] = self.memory.arrays[key]
        for k, run in enumerate(self._runs):
            run()
            flags = self.flags.take()
            if flags is not None or self.program.launches[k].kernel.mode == LIBRARY:
                suspects = [w for w in self.watched if w.launch == k and self._is_suspect(w, flags)]
                found += self._look(k, suspects)
        return found

    def _is_suspect(self, watched: Watched, flags: bytes | None) -> bool:
        return flags is None or bool(flags[self.flags.first[watched.launch] + watched.tensor])

    def _look(self, k: int, suspects: list[Watched]) -> list[Found]:
        """What a launch would have stored: that is still where it stands in, else the launch is done on copies."""
        if self.plan.stands_in[k]:
            return look_at(suspects, self.memory, self._shadows)
        found = []
        for t in sorted({w.tensor for w in suspects}):
            of_tensor = [w for w in suspects if w.tensor == t]
            copies = {w.key: self.memory.arrays[w.key].copy() for w in of_tensor}
            self._do(k, t, copies)
            found += look_at(of_tensor, self.memory, copies)
        return found

    def _do(self, k: int, t: int, copies: dict[Key, Array]) -> None:
        """One tensor of a launch, which writes to copies of what is the user's."""
        launch = self.program.launches[k]
        one = Launch(launch.kernel, [launch.instances[t]])
        kept = self.plan.guards[k]
        for b, value in enumerate(launch.instances[t].values):
            key = self.program.storage.get(id(value.whole))
            if kept is not None and b in kept.dropped and key is not None and key not in copies:
                copies[key] = self.memory.arrays[key].copy()
        arrays = {**self.shadow.arrays, **copies}
        memory = Memory(arrays, self.memory.sparse, overrides=self.memory.overrides)
        made = NativeLaunch(one, self.program, memory)
        if made.sparse:
            made.take_sparse()
        made.take_numbers(self.numbers)
        made.run()


def look_at(suspects: list[Watched], memory: Memory, arrays: dict[Key, Array]) -> list[Found]:
    """What is not finite of some values."""
    found = []
    for w in suspects:
        rows = listed_rows(w, memory)
        bad = look(part_of(w, arrays[w.key]), rows)
        if bad:
            found.append(Found(w, bad))
    return found


def _nothing() -> None:
    """A launch that has nothing to do."""

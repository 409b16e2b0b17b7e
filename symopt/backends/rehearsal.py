"""How a step is rehearsed, so that it can be left out: what of each launch runs before anything of the user's changes.

Own buffers may be written in a rehearsal. What would go to a variable or an output is tested and dropped, or, where a
later launch reads it, goes to an array that stands in for the variable's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..codegen.guard import Guard
from ..passes.ir import LIBRARY, Launch, Program
from .base import Key
from .watched import Watched


@dataclass(eq=False)
class Rehearsal:
    """For each launch: `guards`, what it tests, None if nothing; `stands_in`, whether it writes to arrays that stand in
    for those of the `shadows`; `idle`, whether it has nothing to do. `again`: the launches that the step itself runs.
    """

    guards: list[Guard | None]
    stands_in: list[bool]
    idle: list[bool]
    shadows: set[Key] = field(default_factory=set)
    again: list[int] = field(default_factory=list)


def guard_of(launch: Launch, number: int, watched: list[Watched]) -> Guard | None:
    """What a launch tests: a buffer that some tensor's watched value is stored in."""
    buffers = tuple(sorted({w.buffer for w in watched if w.launch == number}))
    return Guard(buffers) if buffers and launch.kernel.mode != LIBRARY else None


def rehearsal(program: Program, watched: list[Watched]) -> Rehearsal:
    """The rehearsal of a program."""
    launches = program.launches
    heads = {program.storage.get(id(v)) for v in program.lowered.heads}
    seen = [
        [(b, key, isinstance(key, str) or key in heads) for b, key in stores(x, program)] for x in launches
    ]
    kept: list[set[Key]] = [{key for _, key, is_kept in each if is_kept} for each in seen]
    read = [set(reads(launch, program)) for launch in launches]
    later: set[Key] = set()
    shadows: set[Key] = set()
    for k in range(len(launches) - 1, -1, -1):
        mixed = {b for b, _, is_kept in seen[k] if is_kept} & {b for b, _, is_kept in seen[k] if not is_kept}
        if launches[k].kernel.mode == LIBRARY or mixed or kept[k] & later:
            shadows |= kept[k]
        later |= read[k]
    # A launch either drops all that it stores for the user or none.
    while spread := {key for keys in kept if keys & shadows for key in keys} - shadows:
        shadows |= spread
    made = Rehearsal([], [bool(keys & shadows) for keys in kept], [], shadows)
    for k, launch in enumerate(launches):
        guard = guard_of(launch, k, watched)
        dropped = set() if made.stands_in[k] else {b for b, _, is_kept in seen[k] if is_kept}
        if dropped:
            guard = Guard(guard.watched if guard else (), tuple(sorted(dropped)))
        made.guards.append(guard)
        made.idle.append(guard is not None and not guard.watched and {b for b, *_ in seen[k]} == dropped)
    made.again = _again(program, [k for k, keys in enumerate(kept) if keys], read)
    return made


def stores(launch: Launch, program: Program) -> Iterator[tuple[int, Key]]:
    """The buffers that a launch writes, and the storage that each is for some tensor."""
    for instance in launch.instances:
        for _, b in launch.kernel.stores:
            yield b, program.storage[id(instance.values[b].whole)]


def reads(launch: Launch, program: Program) -> Iterator[Key]:
    """The storages that a launch reads."""
    for instance in launch.instances:
        for b, buffer in enumerate(launch.kernel.buffers):
            if buffer.read and b != launch.kernel.sparse:
                yield program.storage[id(instance.values[b].whole)]


def _again(program: Program, storing: list[int], read: list[set[Key]]) -> list[int]:
    """The launches that write what the user sees, if what they read is still there after a rehearsal; else all."""
    writers: dict[Key, list[int]] = {}
    for k, launch in enumerate(program.launches):
        for _, key in stores(launch, program):
            if isinstance(key, int):
                writers.setdefault(key, []).append(k)
    again = set(storing)
    for k in storing:
        for key in read[k]:
            found = writers.get(key, []) if isinstance(key, int) else []
            before = {w for w in found if w < k}
            is_left = all(w < k and w not in again for w in found)
            if not (before <= again or is_left):
                return list(range(len(program.launches)))
    copied = {program.storage[id(value)] for value, _ in program.copies}
    if any(not set(writers[key]) <= again and set(writers[key]) & again for key in copied):
        return list(range(len(program.launches)))
    return sorted(again)

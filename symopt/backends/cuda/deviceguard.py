"""The guards of a device: what kernels found is in the device's memory, and the host learns of it when it next looks.

"raise": the step in which something is not finite is done to its end and then closes the gate, so that no later step
changes what there is to see. "skip": a step is rehearsed, and what that finds closes the gate for the step itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...codegen.cuda.layout import COPY_FIELDS, NONFINITE, OPEN, dtype_of_fields
from ...codegen.guard import Guard
from ...finite import WHAT, Bad
from ...passes.ir import LIBRARY, Program
from ...places import Place
from ..base import Array, Key, Memory
from ..rehearsal import Rehearsal, guard_of, rehearsal
from ..watched import Found, NanGuard, Watched, listed_rows, look, part_of, watched_values
from .device import Code, Device
from .gate import Gate
from .tables import Table

FREE = np.uint64(OPEN)  # what a slot holds while nothing was found


class DeviceGuard:
    """What a program's kernels test, where they say what they found, and how that is read.

    `code`: the kernels `decide` and `settle`, set once they are loaded.
    """

    def __init__(
        self, kind: NanGuard, program: Program, memory: Memory, device: Device, place: Place, gate: Gate
    ) -> None:
        self.kind = kind
        self.program = program
        self.memory = memory
        self.device = device
        self.place = place
        self.gate = gate
        self.code: Code = {}
        self.copy: Code = {}
        self.watched = watched_values(program)
        self.plan: Rehearsal | None = rehearsal(program, self.watched) if kind == "skip" else None
        self.guards = self.plan.guards if self.plan else self._guards()
        self.first: list[int] = []  # slot of each launch
        count = 0
        for launch, guard in zip(program.launches, self.guards, strict=True):
            self.first.append(count)
            count += len(launch.instances) * (len(guard.watched) if guard else 0)
        self._slots = device.zeros(max(count, 1), np.uint64)
        self._free()
        self.shadow = Memory(sparse=memory.sparse, numbers=memory.numbers, overrides=memory.overrides)
        with place.current():
            self.shadows = {key: self._like(memory.arrays[key]) for key in sorted(self._shadowed(), key=str)}
        self._copies = Table(device, np.zeros(len(self.shadows), dtype_of_fields(COPY_FIELDS)))
        self.rebound()
        self.of_library = [w for w in self.watched if program.launches[w.launch].kernel.mode == LIBRARY]
        self.has_routines = any(launch.kernel.mode == LIBRARY for launch in program.launches)
        again = self.plan.again if self.plan else []
        self.waits = self.plan is not None and (
            any(v.host for v in program.lowered.writes.values())
            or any(program.launches[k].kernel.mode == LIBRARY for k in again)
            or bool(self.of_library)
        )
        self._left_out_seen = 0

    def _guards(self) -> list[Guard | None]:
        return [guard_of(launch, k, self.watched) for k, launch in enumerate(self.program.launches)]

    def _shadowed(self) -> set[Key]:
        return self.plan.shadows if self.plan else set()

    def _like(self, array: Array) -> Array:
        return self.place.zeros(array.shape, array.dtype)

    def slots_of(self, launch: int) -> int:
        """The address of the slots of a launch."""
        return self.device.address(self._slots) + 8 * self.first[launch]

    def _free(self) -> None:
        self.device.upload(self._slots, np.full(len(self._slots), FREE))

    def rebound(self) -> None:
        """Arrays were replaced."""
        self.shadow.arrays = {**self.memory.arrays, **self.shadows}
        at = self.device.address
        for k, (key, shadow) in enumerate(self.shadows.items()):
            if key in self.memory.arrays:
                self._copies.host[k] = (at(shadow), at(self.memory.arrays[key]), shadow.nbytes)
        self._copies.changed = True

    # ---- each step

    def upload(self) -> None:
        """Bring to the device where the shadows and their originals are."""
        if self.shadows:
            self._copies.address()

    def begin(self) -> None:
        """Let the shadows hold what their originals do."""
        if self.shadows:
            arguments = (np.uint64(self._copies.address()), np.int32(len(self.shadows)), np.uint64(0))
            self.device.launch(self.copy["copy"], self.device.multiprocessors * 4, arguments)

    def decide(self) -> None:
        self.device.launch(self.code["decide"], 1, (np.uint64(self.gate.address),))

    def settle(self, counts: bool) -> None:
        arguments = (np.uint64(self.gate.address), np.int32(self.plan is not None), np.int32(counts))
        self.device.launch(self.code["settle"], 1, arguments)

    # ---- what was found

    def refused(self) -> list[Found]:
        """What a rehearsal found; waits for it. What it found is forgotten, so that the next one begins anew."""
        words = self.gate.words()
        found = self._look(self.of_library, self.shadows)
        if words[0] != OPEN or (words[2] == OPEN and not found):
            return []
        found += self._in_slots()
        self.device.upload(self.gate.array[2:3], np.array([OPEN], np.uint64))
        return found

    def left_out(self) -> tuple[int, list[Found]]:
        """How many steps were left out that the host had not heard of, and what they would have stored."""
        if self.gate.seen()[3] == self._left_out_seen:
            return 0, []
        found = self._in_slots()
        seen, self._left_out_seen = self._left_out_seen, self.gate.words()[3]
        return self._left_out_seen - seen, found

    def stored(self, wait: bool) -> list[Found] | None:
        """What a step stored after which the gate was closed; None if it was not. The arrays still hold it, unless the
        user replaced them."""
        if (self.gate.words() if wait else self.gate.seen())[0] != NONFINITE:
            return None
        found = []
        for w, bad in self._in_slots():
            all_of_it = w.listed is None and look(part_of(w, self.memory.arrays[w.key]), None, self.place)
            found.append(Found(w, all_of_it or bad))
        return found

    def look_at_library(self) -> list[Found]:
        """What routines stored; waits for it."""
        return self._look(self.of_library)

    def _slot(self, w: Watched, slots: Array) -> np.uint64:
        guard = self.guards[w.launch]
        if guard is None or w.buffer not in guard.watched:
            return FREE
        number = self.first[w.launch] + w.tensor * len(guard.watched) + guard.watched.index(w.buffer)
        return slots[number]  # type: ignore[no-any-return]

    def _in_slots(self) -> list[Found]:
        """What kernels found: of each value the first index; how many there are is not counted."""
        slots = self.device.download(self._slots)
        found = []
        for w in self.watched:
            slot = int(self._slot(w, slots))
            if slot != FREE:
                shape = w.value.shape
                index = tuple(int(k) for k in np.unravel_index(slot >> 2, shape)) if shape else ()
                found.append(Found(w, (Bad(WHAT[slot & 3], 0, index),)))
        self._free()
        return found

    def _look(self, suspects: Iterable[Watched], arrays: dict[Key, Array] | None = None) -> list[Found]:
        found = []
        for w in suspects:
            rows = listed_rows(w, self.memory)
            array = (self.memory.arrays if arrays is None else arrays)[w.key]
            bad = look(part_of(w, array), rows, self.place)
            found += [Found(w, bad)] if bad else []
        return found

"""The reference engine for arrays that it cannot read: it runs on copies of them on the host."""

from __future__ import annotations

from ..passes.ir import Program
from ..places import HOST, Place
from .base import Array, Key, Memory, Monitor
from .reference import ReferenceEngine
from .watched import Found, NanGuard


class MirroredReference:
    """Copies every array of a step to the host, runs the reference engine, and copies what it wrote back."""

    def __init__(
        self,
        program: Program,
        memory: Memory,
        place: Place,
        monitor: Monitor | None = None,
        variables: bool = False,
        guard: NanGuard = None,
    ) -> None:
        self.memory = memory
        self.place = place
        self.host = Memory(numbers=memory.numbers, overrides=memory.overrides)
        self.engine = ReferenceEngine(program, self.host, monitor, variables, guard)
        self.numbers = self.engine.numbers
        self.found: list[Found] = []
        self.left_out = 1  # of a step that has found something
        self.stale = True  # numbers are evaluated at every step
        self.written = {name for name, value in program.lowered.writes.items() if not value.host}

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Arrays are looked up at every step."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""

    def prepare(self) -> None:
        memory, place = self.memory, self.place
        self.host.arrays = {key: place.to_host(array) for key, array in memory.arrays.items()}
        self.host.sparse = {name: array.copy_to(HOST) for name, array in memory.sparse.items()}
        self.engine.prepare()

    def run(self) -> None:
        self.engine.run()
        self.found = self.engine.found
        for key, array in self.host.arrays.items():
            if isinstance(key, int) or key in self.written:
                self.place.upload(self.memory.arrays[key], array)

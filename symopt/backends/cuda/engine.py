"""Runs a program on a device: one launch per kernel for any number of tensors, nothing waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ...codegen.cuda.layout import COPY_FIELDS, dtype_of_fields
from ...codegen.cuda.text import cuda_text, guarding_text, service_text
from ...codegen.guard import Guard
from ...errors import AttributeValueError, RowIndexError
from ...passes.ir import LIBRARY, STANDARD, Program
from ...places import HOST, Place
from ..base import Array, Key, Memory, Numbers, Pointers
from ..rehearsal import reads
from ..watched import Found, NanGuard, found_in_numbers
from .device import Code, Device, Source
from .deviceguard import DeviceGuard
from .gate import Gate
from .gradients import Gradients
from .launch import CudaLaunch
from .routines import DeviceRoutines
from .sources import has, kernels, needs_service, nothing
from .tables import Table


class CudaEngine:
    """A program's launches, ready to run on a device's arrays. `capture`: record a step once, and replay it."""

    def __init__(
        self,
        program: Program,
        memory: Memory,
        device: Device,
        capture: bool = False,
        guard: NanGuard = None,
        place: Place = HOST,
    ) -> None:
        self.found: list[Found] = []
        self.left_out = 0
        self.program = program
        self.memory = memory
        self.device = device
        self.numbers = Numbers(program, memory)
        self.stale = True  # some number changed since the launches took them
        self._capture = capture
        self._replay: Callable[[], None] | None = None
        self._launched = False
        self._has_host_writes = any(v.host for v in program.lowered.writes.values())
        self._before: deque[tuple[int, dict[str, float]]] = deque()
        if capture and any(launch.kernel.mode == LIBRARY for launch in program.launches):
            raise AttributeValueError(
                "capture=True: this graph calls routines of libraries, which are not recorded"
            )
        with device.current():
            needs_gate = guard or any(launch.kernel.sparse >= 0 for launch in program.launches)
            self.gate = Gate(device) if needs_gate else None
            self.guard = self._guard(guard, place)
            self._load()

    def _guard(self, kind: NanGuard, place: Place) -> DeviceGuard | None:
        if not kind:
            return None
        assert self.gate is not None
        guard = DeviceGuard(kind, self.program, self.memory, self.device, place, self.gate)
        if self._capture and guard.waits:
            raise AttributeValueError(
                'capture=True: with nan_guard="skip" the host waits for each step of this graph, which writes numbers '
                "of the host, and what waits is not recorded"
            )
        return guard

    def _load(self) -> None:
        """Compile every kernel and make the tables of every launch."""
        wanted = kernels(self.program, self.guard)
        sources = [Source(*cuda_text(*each)) for each in wanted.values()]
        if self.guard is not None:
            sources.append(Source(*guarding_text()))
        if needs_service(self.program) or (self.guard is not None and self.guard.shadows):
            sources.append(Source(*service_text()))
        codes = self.device.load(sources)
        self._codes = dict(zip(wanted, codes, strict=False))
        self._service = codes[-1] if has(sources, "copy") else {}
        self.gradients = self._gradients(self._service)
        self.launches = [self._ready(k) for k in range(len(self.program.launches))]
        self.running = self.launches
        self._rehearsal: list[Callable[[], None]] = []
        self._standing_in: list[CudaLaunch] = []
        if self.guard is not None:
            self.guard.code = codes[len(wanted)]
            self.guard.copy = self._service
            if self.guard.plan is not None:
                self.running = [self.launches[k] for k in self.guard.plan.again]
                self._rehearsal = [self._rehearsed(k) for k in range(len(self.launches))]
        self._own = [launch for launch in self.launches if isinstance(launch, CudaLaunch)]
        self._pointers = Pointers(self._own, self.program)
        plan = self.guard.plan if self.guard is not None else None
        self._shadow_pointers = Pointers(self._standing_in, self.program, but=plan.shadows if plan else ())
        self._readers = [
            (launch, t, name)
            for launch in (*self._own, *self._standing_in)
            if launch.kernel.sparse >= 0
            for t, instance in enumerate(launch.launch.instances)
            if (name := instance.values[launch.kernel.sparse].variable) is not None
        ]
        self._copies = Table(self.device, np.zeros(len(self.program.copies), dtype_of_fields(COPY_FIELDS)))
        self._point_copies()

    def _gradients(self, service: Code) -> Gradients | None:
        """The row_sparse variables that kernels read."""
        names: dict[str, None] = {}
        looked_up: dict[str, int] = {}
        for launch in self.program.launches:
            for instance in launch.instances if launch.kernel.sparse >= 0 else ():
                name = instance.values[launch.kernel.sparse].variable
                assert name is not None
                names[name] = None
                if launch.kernel.mode == STANDARD:
                    looked_up[name] = instance.domain[0]
        if not names:
            return None
        assert self.gate is not None
        return Gradients(self.device, service, names, looked_up, self._has_host_writes, self.gate)

    def _ready(self, k: int) -> CudaLaunch | DeviceRoutines:
        """Launch k of the step."""
        guard = self.guard
        tests = guard.guards[k] if guard is not None and guard.plan is None else None
        return self._made(k, self.memory, tests)

    def _made(self, k: int, memory: Memory, tests: Guard | None) -> CudaLaunch | DeviceRoutines:
        launch, device = self.program.launches[k], self.device
        if launch.kernel.mode == LIBRARY:
            return DeviceRoutines(launch, self.program, memory, device, self._service)
        code = self._codes[id(launch.kernel), tests]
        gate = self.gate.address if self.gate is not None else 0
        found = self.guard.slots_of(k) if self.guard is not None else 0
        has_guard = tests is not None
        return CudaLaunch(launch, self.program, memory, device, code, gate, self._capture, found, has_guard)

    def _rehearsed(self, k: int) -> Callable[[], None]:
        """What the rehearsal does of launch k."""
        guard, own, kernel = self.guard, self.launches[k], self.program.launches[k].kernel
        assert guard is not None and guard.plan is not None
        tests, plan = guard.guards[k], guard.plan
        if plan.idle[k]:
            return nothing
        touches = set(reads(self.program.launches[k], self.program)) & plan.shadows
        if kernel.mode == LIBRARY or plan.stands_in[k] or touches:
            made = self._made(k, guard.shadow, tests)
            if isinstance(made, CudaLaunch):
                self._standing_in.append(made)
            return made.run
        assert isinstance(own, CudaLaunch)
        if tests is None:
            return own.run
        code = self._codes[id(kernel), tests]
        return lambda: own.run(code)

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Point the tables at the arrays that replaced those of `keys`."""
        self._pointers.redirect(keys, addresses)
        if self.guard is not None and self.guard.plan is not None:
            self.guard.rebound()
            self._shadow_pointers.redirect(keys, addresses)
        self._point_copies()

    def _point_copies(self) -> None:
        arrays, at = self.memory.arrays, self.device.address
        for k, (value, name) in enumerate(self.program.copies):
            source, target = arrays[self.program.storage[id(value)]], arrays.get(name)
            if target is not None:
                self._copies.host[k] = (at(target), at(source), target.nbytes)
                self._copies.changed = True

    # ---- each step

    def prepare(self) -> None:
        """Raise what an earlier step ran into; evaluate numbers. Nothing is started."""
        self.found = []
        with self.device.current():
            self._look_back()
            if self.found and self.guard is not None and self.guard.plan is None:
                return
            if self.gradients is not None:
                self.gradients.take(self.memory.sparse)
                for launch, t, name in self._readers:
                    launch.take_gradient(t, self.gradients.places[name])
            if self.stale or self._has_host_writes:
                self.numbers.evaluate()
                if self.guard is not None:
                    self.guard.shadow.changes = self.memory.changes
                for launch in (*self._own, *self._standing_in):
                    launch.take_numbers(self.numbers)
                self.stale = False

    def _look_back(self) -> None:
        """Forget what was kept of steps that passed; take back the numbers of those that did not."""
        if self.gate is None:
            return
        if self.guard is not None:
            self._hear_guard(self.guard)
        try:
            passed = self.gradients.passed() if self.gradients is not None else self.gate.seen()[1]
        except RowIndexError:
            assert self.gradients is not None
            self._take_back(self.gradients.passed_before_fault)
            raise
        while self._before and self._before[0][0] < passed:
            self._before.popleft()

    def _hear_guard(self, guard: DeviceGuard) -> None:
        """What the guard found in earlier steps."""
        assert self.gate is not None
        if guard.plan is not None:
            if not guard.waits:
                self.left_out, self.found = guard.left_out()
            return
        found = guard.stored(wait=guard.has_routines)
        if found is not None:
            self.found = found
            passed = self.gate.words()[1]
            self.gate.reopen()
            self._take_back(passed)

    def _take_back(self, passed: int) -> None:
        """Let numbers be what they were after `passed` steps."""
        for count, numbers in self._before:
            if count == passed:
                self.memory.numbers.update(numbers)
        self._before.clear()
        self.stale = True

    def run(self) -> None:
        if self.guard is not None:
            found = found_in_numbers(self.program, self.numbers)
            if found and self.guard.plan is not None:
                self.found, self.left_out = found, 1
                return
            self.found = found
        with self.device.current():
            if not self._start():
                return
            if self.gate is not None:
                self.gate.look()
            if self._has_host_writes:
                self._commit()
            if self.guard is not None and self.guard.plan is None:
                self.found += self.guard.look_at_library()

    def _start(self) -> bool:
        """Enqueue a step, or replay one; whether it is done, as far as is known."""
        changed = [launch.upload() for launch in (*self._own, *self._standing_in)]
        if self.gradients is not None:
            changed.append(self.gradients.upload())
        if self.guard is not None:
            self.guard.upload()
        copies = self._copies.address() if self.program.copies else 0
        if not self._capture or not self._launched:
            is_done = self._enqueue(copies)  # a kernel is launched once before it is recorded: that loads it
            self._launched, self._replay = True, None
            return is_done
        if self._replay is None or any(changed):
            self._replay = self.device.capture(lambda: self._enqueue(copies))  # type: ignore[arg-type]
        self._replay()
        return True

    def _enqueue(self, copies: int) -> bool:
        """Every launch of the step, in order; False if a rehearsal, waited for, showed that it is to be left out."""
        if self.gradients is not None:
            self.gradients.check()
            if len(self._own) < len(self.launches):  # routines know nothing of the gate
                self.gradients.wait()
        if self.guard is not None and self.guard.plan is not None and not self._rehearse(self.guard):
            return False
        for launch in self.running:
            launch.run()
        if copies:
            gate = self.gate.address if self.gate is not None else 0
            arguments = (np.uint64(copies), np.int32(len(self.program.copies)), np.uint64(gate))
            self.device.launch(self._service["copy"], self.device.multiprocessors * 4, arguments)
        if self.guard is not None:
            self.guard.settle(counts=self._has_host_writes and self.gradients is None)
        return True

    def _rehearse(self, guard: DeviceGuard) -> bool:
        """Whether the step may be done: True also where only the device will know."""
        guard.begin()
        for run in self._rehearsal:
            run()
        if not guard.waits:
            guard.decide()
            return True
        self.found = guard.refused()
        self.left_out = 1
        return not self.found

    def _commit(self) -> None:
        """Store the numbers of the host; keep what they were until it is known that the step passed."""
        if self.gate is not None:
            written = [name for name, value in self.program.lowered.writes.items() if value.host]
            before = {name: self.memory.numbers[name] for name in written}
            self._before.append((self.gate.started - 1, before))
        self.numbers.commit()

    def synchronize(self) -> None:
        """Wait for every step so far; raise what one of them ran into."""
        self.found = []
        with self.device.current():
            self.device.synchronize()
            self._look_back()

"""Runs a program on a device: one launch per kernel for any number of tensors, nothing waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ...codegen.cuda.layout import COPY_FIELDS, dtype_of_fields
from ...codegen.cuda.text import cuda_text, service_text
from ...errors import AttributeValueError, RowIndexError
from ...passes.ir import LIBRARY, STANDARD, Kernel, Launch, Program
from ..base import Memory, Numbers, Pointers
from ..watched import Found, NanGuard
from .device import Code, Device, Source
from .gradients import Gradients
from .launch import CudaLaunch
from .routines import DeviceRoutines
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
    ) -> None:
        self.found: list[Found] = []
        if guard:
            raise AttributeValueError("nan_guard is for the CPU's engines so far")
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
            self._load()

    def _load(self) -> None:
        """Compile every kernel and make the tables of every launch."""
        kernels = _kernels(self.program)
        sources = [Source(*cuda_text(k)) for k in kernels]
        if _needs_service(self.program):
            sources.append(Source(*service_text()))
        codes = self.device.load(sources)
        code_of = {id(k): code for k, code in zip(kernels, codes, strict=False)}
        service = codes[-1] if len(codes) > len(kernels) else {}
        self.gradients = self._gradients(service)
        self._service = service
        gate = self.gradients.address if self.gradients else 0
        self.launches = [self._ready(launch, code_of, gate) for launch in self.program.launches]
        self._own = [launch for launch in self.launches if isinstance(launch, CudaLaunch)]
        self._pointers = Pointers(self._own, self.program)
        self._readers = [
            (launch, t, name)
            for launch in self._own
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
        return Gradients(self.device, service, names, looked_up, self._has_host_writes) if names else None

    def _ready(self, launch: Launch, codes: dict[int, Code], gate: int) -> CudaLaunch | DeviceRoutines:
        if launch.kernel.mode == LIBRARY:
            return DeviceRoutines(launch, self.program, self.memory, self.device, self._service)
        code = codes[id(launch.kernel)]
        return CudaLaunch(launch, self.program, self.memory, self.device, code, gate, self._capture)

    def rebound(self, keys: set[str | int]) -> None:
        """Point the tables at the arrays that replaced those of `keys`."""
        arrays = self.memory.arrays
        self._pointers.redirect({key: self.device.address(arrays[key]) for key in keys if key in arrays})
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
        with self.device.current():
            if self.gradients is not None:
                self._look_back(self.gradients)
                self.gradients.take(self.memory.sparse)
                for launch, t, name in self._readers:
                    launch.take_gradient(t, self.gradients.places[name])
            if self.stale or self._has_host_writes:
                self.numbers.evaluate()
                for launch in self._own:
                    launch.take_numbers(self.numbers)
                self.stale = False

    def _look_back(self, gradients: Gradients) -> None:
        """Forget what was kept of steps that passed; take back the numbers of those that did not."""
        try:
            passed = gradients.passed()
        except RowIndexError:
            for count, numbers in self._before:
                if count == gradients.passed_before_fault:
                    self.memory.numbers.update(numbers)
            self._before.clear()
            self.stale = True
            raise
        while self._before and self._before[0][0] < passed:
            self._before.popleft()

    def run(self) -> None:
        with self.device.current():
            changed = [launch.upload() for launch in self._own]
            if self.gradients is not None:
                changed.append(self.gradients.upload())
            copies = self._copies.address() if self.program.copies else 0
            if not self._capture or not self._launched:
                self._enqueue(copies)  # a kernel is launched once before it is recorded: that loads it
                self._launched, self._replay = True, None
            else:
                if self._replay is None or any(changed):
                    self._replay = self.device.capture(lambda: self._enqueue(copies))
                self._replay()
            if self.gradients is not None:
                self.gradients.look()
            if self._has_host_writes:
                self._commit()

    def _enqueue(self, copies: int) -> None:
        """Every launch of the step, in order."""
        gate = 0
        if self.gradients is not None:
            self.gradients.check()
            gate = self.gradients.address
            if len(self._own) < len(self.launches):  # routines know nothing of the gate
                self.gradients.wait()
        for launch in self.launches:
            launch.run()
        if copies:
            arguments = (np.uint64(copies), np.int32(len(self.program.copies)), np.uint64(gate))
            self.device.launch(self._service["copy"], self.device.multiprocessors * 4, arguments)

    def _commit(self) -> None:
        """Store the numbers of the host; keep what they were until it is known that the step passed."""
        if self.gradients is not None:
            written = [name for name, value in self.program.lowered.writes.items() if value.host]
            before = {name: self.memory.numbers[name] for name in written}
            self._before.append((self.gradients.started - 1, before))
        self.numbers.commit()

    def synchronize(self) -> None:
        """Wait for every step so far; raise what one of them ran into."""
        with self.device.current():
            self.device.synchronize()
            if self.gradients is not None:
                self._look_back(self.gradients)


def _needs_service(program: Program) -> bool:
    """Whether a program has row_sparse gradients, copies or routines."""
    kinds = [(launch.kernel.sparse >= 0, launch.kernel.mode == LIBRARY) for launch in program.launches]
    return bool(program.copies) or any(any(kind) for kind in kinds)


def _kernels(program: Program) -> list[Kernel]:
    """The distinct kernels of a program that are compiled."""
    found: dict[int, Any] = {}
    for launch in program.launches:
        if launch.kernel.mode != LIBRARY:
            found.setdefault(id(launch.kernel), launch.kernel)
    return list(found.values())

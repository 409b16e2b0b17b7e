"""What a step costs, from its program alone: bytes, arithmetic, memory, and seconds on a machine that was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import config
from ..backends.scratch import scratch_bytes
from ..dtypes import ITEMSIZE
from ..passes.calls import size_of
from ..passes.ir import LISTED, Launch
from ..passes.traffic import Moved, moved
from ..planned import Planned
from ..view.kernels import over
from .arithmetic import Operation, by_kind, operations
from .bandwidth import Calibration
from .memory import Role, VariableCost, variables
from .predict import Timeline, step_seconds
from .store import load


@dataclass(frozen=True, slots=True)
class LaunchCost:
    """One launch: a kernel on every tensor that it runs on at once.

    `over`: what it does its formula for; `elements` it does it for in a step. `read`, `written`: bytes a step; an array
    updated in place is both. `operations`: primitives computed in a step, by kind. `scratch`: bytes that the engine
    takes for it. `seconds` a step, predicted, and `limit`, those that memory alone would take; None if this machine
    was not measured.
    """

    number: int
    name: str
    over: str
    tensors: int
    elements: int
    read: int
    written: int
    operations: Mapping[str, int]
    scratch: int
    seconds: float | None = None
    limit: float | None = None

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.read + self.written

    @property
    def arithmetic(self) -> int:
        """All operations together."""
        return sum(self.operations.values())

    @property
    def intensity(self) -> float:
        """Operations for each byte moved; 0 where nothing is moved."""
        return self.arithmetic / self.bytes if self.bytes else 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step costs. Sizes are bytes.

    `buffers`: arrays of the executor's own, its outputs among them. `copies`: arrays written at the end of a step from
    a buffer, since others read them during it, by variable. `strided`: views that are copied before each step.
    `seconds` a step, predicted for `device`; both None if this machine was not measured.
    """

    launches: tuple[LaunchCost, ...]
    variables: tuple[VariableCost, ...]
    buffers: int
    copies: Mapping[str, int] = field(default_factory=dict)
    strided: int = 0
    seconds: float | None = None
    device: str | None = None

    def total(self, role: Role) -> int:
        """Bytes of all variables of a role."""
        return sum(v.bytes for v in self.variables if v.role == role)

    @property
    def weights(self) -> int:
        """Bytes of the weights."""
        return self.total("weight")

    @property
    def gradients(self) -> int:
        """Bytes of the gradients; of row_sparse ones, what they list."""
        return self.total("gradient")

    @property
    def states(self) -> int:
        """Bytes of the optimizer's states: what it needs to keep from step to step, beside the weights."""
        return self.total("state")

    @property
    def scratch(self) -> int:
        """Bytes that the engine takes beside arrays and buffers."""
        return sum(launch.scratch for launch in self.launches)

    @property
    def memory(self) -> int:
        """All bytes held while the step is bound: variables, buffers, scratch, copies of strided views."""
        return sum(v.bytes for v in self.variables) + self.buffers + self.scratch + self.strided

    @property
    def read(self) -> int:
        """Bytes read in a step, by kernels and copies."""
        return sum(launch.read for launch in self.launches) + self._copied

    @property
    def written(self) -> int:
        """Bytes written in a step, by kernels and copies."""
        return sum(launch.written for launch in self.launches) + self._copied

    @property
    def _copied(self) -> int:
        return sum(self.copies.values()) + self.strided

    @property
    def bytes(self) -> int:
        """Bytes moved in a step: read and written."""
        return self.read + self.written

    @property
    def operations(self) -> dict[str, int]:
        """Primitives computed in a step, by kind, most frequent first."""
        found: Counter[str] = Counter()
        for launch in self.launches:
            found.update(launch.operations)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def arithmetic(self) -> int:
        """All operations together."""
        return sum(launch.arithmetic for launch in self.launches)

    def as_dict(self) -> dict[str, Any]:
        """Everything as lists, dicts, texts and numbers: what JSON takes."""
        totals = (
            "weights",
            "gradients",
            "states",
            "scratch",
            "memory",
            "read",
            "written",
            "bytes",
            "arithmetic",
        )
        return {
            **{name: getattr(self, name) for name in totals},
            "buffers": self.buffers,
            "strided": self.strided,
            "copies": dict(self.copies),
            "operations": self.operations,
            "seconds": self.seconds,
            "device": self.device,
            "launches": [
                {**asdict(launch), "operations": dict(launch.operations)} for launch in self.launches
            ],
            "variables": [{**asdict(v), "shape": list(v.shape)} for v in self.variables],
        }

    def __str__(self) -> str:
        from .text import cost_text

        return cost_text(self)


def cost(planned: Planned, calibration: Calibration | None = None) -> Cost:
    """What a step of a planned graph costs. `calibration`: of the machine to predict seconds for; by default what
    `symopt.cost.calibrate` found for `planned.ctx`, if it was run.

    MissingArgumentError if some shape is not known. Nothing is allocated, however large the shapes.
    """
    program = planned.needed()
    calibration = calibration or load(planned.ctx)
    timeline = Timeline(planned)
    on_device = planned.ctx.device_type == "gpu"
    launches = [
        _launch(k, launch, planned, on_device, calibration, timeline)
        for k, launch in enumerate(program.launches)
    ]
    copies = {name: size_of(value.shape) * ITEMSIZE[value.dtype] for value, name in program.copies}
    buffers = sum(size_of(shape) * ITEMSIZE[dtype] for dtype, shape in program.buffers)
    seconds = device = None
    if calibration is not None:
        device = calibration.device
        seconds = sum(launch.seconds or 0.0 for launch in launches)
        seconds += step_seconds(planned, calibration, sum(copies.values()) + planned.strided)
    return Cost(tuple(launches), tuple(variables(planned)), buffers, copies, planned.strided, seconds, device)


def predicted(planned: Planned) -> Planned:
    """The same with the seconds that each launch should take, None where this machine was not measured."""
    if planned.program is None:
        return planned
    return replace(planned, predicted=tuple(launch.seconds for launch in cost(planned).launches))


def _launch(
    number: int,
    launch: Launch,
    planned: Planned,
    on_device: bool,
    calibration: Calibration | None,
    timeline: Timeline,
) -> LaunchCost:
    kernel = launch.kernel
    counts: Counter[Operation] = Counter()
    elements = 0
    found: list[tuple[int, Moved]] = []
    listed = [planned.rows_of(kernel, instance) for instance in launch.instances]
    for t, instance in enumerate(launch.instances):
        rows = listed[t].distinct if kernel.mode == LISTED else None
        elements += size_of(instance.domain if rows is None else (rows, *instance.domain[1:]))
        counts += operations(kernel, instance.domain, listed[t])
        found += [(t, m) for m in moved(kernel, instance.domain, listed[t])]
    seconds = limit = None
    if calibration is not None:
        seconds, limit = timeline.seconds(number, launch, found, counts, calibration)
    return LaunchCost(
        number=number,
        name=kernel.name,
        over=over(kernel),
        tensors=len(launch.instances),
        elements=elements,
        read=sum(m.read for _, m in found),
        written=sum(m.written for _, m in found),
        operations=by_kind(counts),
        scratch=scratch_bytes(
            kernel, [i.domain for i in launch.instances], listed, config.num_threads(), on_device
        ),
        seconds=seconds,
        limit=limit,
    )

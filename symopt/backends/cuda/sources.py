"""What a program needs to have compiled, with a guard and without."""

from __future__ import annotations

from typing import Any

from ...codegen.guard import Guard
from ...passes.ir import LIBRARY, Program
from .device import Source
from .deviceguard import DeviceGuard


def nothing() -> None:
    """A launch that has nothing to do."""


def has(sources: list[Source], name: str) -> bool:
    return any(name in source.kernels for source in sources)


def needs_service(program: Program) -> bool:
    """Whether a program has row_sparse gradients, copies or routines."""
    kinds = [(launch.kernel.sparse >= 0, launch.kernel.mode == LIBRARY) for launch in program.launches]
    return bool(program.copies) or any(any(kind) for kind in kinds)


def kernels(program: Program, guard: DeviceGuard | None) -> dict[tuple[int, Guard | None], Any]:
    """The distinct kernels of a program that are compiled, each with what it tests."""
    found: dict[tuple[int, Guard | None], Any] = {}
    for k, launch in enumerate(program.launches):
        if launch.kernel.mode == LIBRARY:
            continue
        tests = guard.guards[k] if guard is not None else None
        if guard is None or guard.plan is not None:
            found.setdefault((id(launch.kernel), None), (launch.kernel, None))
        found.setdefault((id(launch.kernel), tests), (launch.kernel, tests))
    return found

"""Which engine runs a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..passes.ir import Program
from .base import Array, Engine, Memory

if TYPE_CHECKING:
    from .cuda.device import Device

ENGINES = ("auto", "native", "reference", "emulator")
Monitor = Callable[[str, Array], None]


def make_engine(
    name: str,
    program: Program,
    memory: Memory,
    monitor: Monitor | None = None,
    variables: bool = False,
    capture: bool = False,
) -> Engine:
    """The engine called `name`; the interpreter too when a monitor wants to see every value. `capture`: let a device
    record a step once and replay it."""
    if name == "reference" or monitor is not None:
        from .reference import ReferenceEngine

        return ReferenceEngine(program, memory, monitor, variables)
    if name == "emulator":
        from .cuda.engine import CudaEngine

        return CudaEngine(program, memory, emulator(), capture)
    from .native import NativeEngine

    return NativeEngine(program, memory)


def emulator() -> Device:
    """The device that runs CUDA text on the processor."""
    from .cuda.emulator import Emulator

    return Emulator()

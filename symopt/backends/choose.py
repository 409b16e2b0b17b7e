"""Which engine runs a program: by its name, and by where the arrays are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..emulatedarrays import EmulatedPlace
from ..errors import AttributeValueError
from ..passes.ir import Program
from ..places import HOST, Place
from .base import Engine, Memory, Monitor
from .mirrored import MirroredReference
from .native import NativeEngine
from .reference import ReferenceEngine

if TYPE_CHECKING:
    from .cuda.device import Device

ENGINES = {"cpu": ("auto", "native", "reference", "emulator"), "gpu": ("auto", "reference")}


def check_engine(name: str, place: Place, capture: bool) -> None:
    """AttributeValueError for an engine that arrays in `place` cannot have, or that cannot record steps."""
    known = ENGINES[place.context.device_type]
    if name not in known:
        raise AttributeValueError(f"engine {name!r} on {place.context!r} must be one of {', '.join(known)}")
    if capture and (place is HOST or name != "auto"):
        raise AttributeValueError(
            f"capture=True records the launches of a GPU, and there are none on {place.context!r} with engine={name!r}"
        )


def make_engine(
    name: str,
    place: Place,
    program: Program,
    memory: Memory,
    monitor: Monitor | None = None,
    variables: bool = False,
    capture: bool = False,
) -> Engine:
    """An engine for a program on arrays in `place`: the interpreter when it was asked for or a monitor wants to see
    every value (`variables`: those of variables too).

    `name` and `capture` have passed `check_engine`. DependencyError and others of CUDA for what it needs.
    """
    if name == "reference" or monitor is not None:
        if place is HOST:
            return ReferenceEngine(program, memory, monitor, variables)
        return MirroredReference(program, memory, place, monitor, variables)
    if place is HOST and name != "emulator":
        return NativeEngine(program, memory)
    from .cuda.engine import CudaEngine

    return CudaEngine(program, memory, device_of(place), capture)


def device_of(place: Place) -> Device:
    """What runs CUDA text on arrays in `place`."""
    if place is HOST or isinstance(place, EmulatedPlace):
        return emulator()
    from .cuda.cupydevice import cupy_device

    return cupy_device(place.context.device_id)


def emulator() -> Device:
    """The device that runs CUDA text on the processor."""
    from .cuda.emulator import Emulator

    return Emulator()

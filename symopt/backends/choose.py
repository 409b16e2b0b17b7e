"""Which engine runs a program: by its name, and by where the arrays are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..emulatedarrays import EmulatedPlace
from ..errors import AttributeValueError
from ..passes.ir import Program
from ..places import HOST, Place
from .base import Engine, Memory, Monitor
from .watched import NanGuard

if TYPE_CHECKING:
    from .cuda.device import Device

ENGINES = {"cpu": ("auto", "native", "reference", "emulator"), "gpu": ("auto", "reference")}


def check_engine(name: str, place: Place, capture: bool) -> None:
    """AttributeValueError for an engine that arrays in `place` cannot have, or that cannot record steps."""
    known = ENGINES[place.context.device_type]
    if name not in known:
        raise AttributeValueError(f"engine {name!r} on {place.context!r} must be one of {', '.join(known)}")
    if capture and (name == "reference" or (place is HOST and name != "emulator")):
        raise AttributeValueError(
            f"capture=True records launches of CUDA kernels, and engine={name!r} on {place.context!r} has none"
        )


def check_guard(guard: object) -> None:
    """AttributeValueError for what is no nan_guard."""
    if guard not in ("raise", "skip", None):
        raise AttributeValueError(f"nan_guard {guard!r} must be 'raise', 'skip' or None")


def make_engine(
    name: str,
    program: Program,
    memory: Memory,
    monitor: Monitor | None = None,
    variables: bool = False,
    capture: bool = False,
    place: Place = HOST,
    guard: NanGuard = None,
) -> Engine:
    """The engine called `name` for arrays in `place`; the interpreter too when a monitor wants to see every value.
    `capture`: let a device record a step once and replay it. `guard`: what is done about values that are not finite."""
    if name == "reference" or monitor is not None:
        from .mirrored import MirroredReference
        from .reference import ReferenceEngine

        if place is HOST:
            return ReferenceEngine(program, memory, monitor, variables, guard)
        return MirroredReference(program, memory, place, monitor, variables, guard)
    if place is not HOST or name == "emulator":
        from .cuda.engine import CudaEngine

        return CudaEngine(program, memory, device_of(place), capture, guard, place)
    from .native import NativeEngine

    return NativeEngine(program, memory, guard)


def device_of(place: Place) -> Device:
    """The device that works on arrays in `place`: on the host's and on emulated ones, the processor."""
    if place is HOST or isinstance(place, EmulatedPlace):
        return emulator()
    from .cuda.cupydevice import cupy_device

    return cupy_device(place.context.device_id)


def emulator() -> Device:
    """The device that runs CUDA text on the processor."""
    from .cuda.emulator import Emulator

    return Emulator()

"""What tells one machine from another, and how busy it is with other work than ours."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from .. import config
from ..context import Context
from ..emulatedarrays import EmulatedPlace
from ..places import place_of


def device_name(ctx: Context) -> str:
    """What tells a device from others: the processor's model and how many cores this process may use, or the GPU's
    model. DependencyError or DeviceError for a GPU that is not there."""
    place = place_of(ctx)
    if ctx.device_type == "cpu":
        return f"{_processor()}, {config.cores()} cores"
    if isinstance(place, EmulatedPlace):
        return "an emulated GPU"
    properties = place.xp.cuda.runtime.getDeviceProperties(ctx.device_id)
    return str(properties["name"].decode())


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class OthersWork:
    """The part of the processors' time, since this was made, that went to other processes or to the hypervisor."""

    def __init__(self) -> None:
        self._before = _times()

    def share(self) -> float:
        """From 0 to 1; 0 where the system does not tell."""
        now = _times()
        if now is None or self._before is None:
            return 0.0
        whole, theirs = (b - a for a, b in zip(self._before, now, strict=True))
        return min(max(theirs / whole, 0.0), 1.0) if whole > 0 else 0.0


def _times() -> tuple[float, float] | None:
    """Processor seconds since the system started: all, and those that others than this process worked."""
    try:
        ticks = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        seconds = [int(x) / os.sysconf("SC_CLK_TCK") for x in ticks]
    except (OSError, ValueError, IndexError):
        return None
    return sum(seconds), sum(seconds) - seconds[3] - seconds[4] - sum(os.times()[:4])

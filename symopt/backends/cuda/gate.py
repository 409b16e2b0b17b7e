"""The gate: a word in a device's memory that kernels read before they do anything. Closed, they do nothing.

What closes it is found on the device, and the host learns of it at a later call, without waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...codegen.cuda.layout import OPEN
from .device import Device, HostArray

WORDS = 4  # the fault, steps that passed, OPEN unless something was not finite, steps left out


class Gate:
    """`started`: steps since the gate was opened."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.array = device.zeros(WORDS, np.uint64)
        self.started = 0
        self._seen: Callable[[], Any] | None = None
        self.open()

    def open(self, left_out: int = 0) -> None:
        self.device.upload(self.array, np.array([OPEN, 0, OPEN, left_out], np.uint64))
        self.started = 0

    @property
    def address(self) -> int:
        return self.device.address(self.array)

    def look(self) -> None:
        """Have what the step found brought to the host, whenever it is done."""
        self._seen = self.device.watch(self.array)
        self.started += 1

    def seen(self) -> tuple[int, ...]:
        """The words as they last came to the host; zeros if none have."""
        return tuple(int(x) for x in self._seen()) if self._seen is not None else (0,) * WORDS

    def words(self) -> tuple[int, ...]:
        """The words as they are now; waits for the steps so far."""
        found: HostArray = self.device.download(self.array)
        return tuple(int(x) for x in found)

    def reopen(self) -> None:
        """Open it, and forget what was on its way to the host."""
        self.open(self.words()[3])
        self._seen = self.device.watch(self.array)
        self.device.synchronize()  # from here on no old word is seen

"""Tables that kernels read: made on the host, copied to the device when they change."""

from __future__ import annotations

import numpy as np

from .device import Device, DeviceArray, HostArray


class Table:
    """Rows on the host and their copy on the device. Set `changed` after writing to `host`."""

    def __init__(self, device: Device, rows: HostArray) -> None:
        self.device = device
        self.host = rows
        self.changed = True
        self._there: DeviceArray | None = None

    def address(self) -> int:
        """Where the copy is, made anew if the rows changed."""
        raw = self.host.reshape(-1).view(np.uint8)
        if self._there is None or self._there.nbytes < raw.nbytes:
            self._there = self.device.zeros(max(raw.nbytes, 16), np.uint8)
            self.changed = True
        if self.changed and raw.nbytes:
            self.device.upload(self._there[: raw.nbytes], raw)
        self.changed = False
        return self.device.address(self._there)

"""Row-sparse gradients on a device: their indices checked there before anything is written, and sorted if need be.

Nothing here waits for the device. A wrong index closes the gate: no kernel of that step or of a later one writes, until
the host has seen it and raised the error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...codegen.cuda.layout import ENTRY_BITS, LISTING_FIELDS, NONFINITE, OPEN, THREADS, dtype_of_fields
from ...errors import RowIndexError, StorageError
from ...sparse import RowSparseArray
from .device import Code, Device, DeviceArray
from .gate import Gate
from .geometry import PER_MULTIPROCESSOR
from .tables import Table


class Gradient(NamedTuple):
    """Where a row_sparse gradient lies: see codegen.cuda.layout.chunk_fields. `order` is 0 if the entries are read as
    they lie."""

    data: int
    rows: int
    order: int
    slots: int
    listed: int


class Gradients:
    """The row_sparse variables of a program. `looked_up`: those of which kernels look up the entry of each row."""

    def __init__(
        self,
        device: Device,
        code: Code,
        names: Collection[str],
        looked_up: Mapping[str, int],
        counts: bool,
        gate: Gate,
    ) -> None:
        self.device = device
        self.gate = gate
        self.code = code
        self.names = list(names)
        self.counts = counts  # whether the host needs to know how many steps passed
        self.passed_before_fault = 0
        self.slots = {name: device.zeros(max(n, 1), np.int32) for name, n in looked_up.items()}
        self.places: dict[str, Gradient] = {}
        self._listings = Table(device, np.zeros(len(self.names), dtype_of_fields(LISTING_FIELDS)))
        self._keep: list[Any] = []  # arrays that a running step reads
        self._checked: dict[str, DeviceArray] = {}
        self._call = (0, 0)  # the grid of `check`, and where its table is

    def take(self, arrays: Mapping[str, RowSparseArray]) -> None:
        """Read where the gradients are, and sort those that are not promised to be sorted."""
        self._keep = []
        for k, name in enumerate(self.names):
            array = arrays[name]
            indices, n = array.indices, len(array.indices)
            if n >= 2**31:
                raise StorageError(
                    f"argument {name!r}: a device takes fewer than 2**31 rows at once, got {n}"
                )
            rows, order = indices, None
            if not array.canonical and n > 1:
                rows, order = self.device.sort(indices)
            self._keep += [array.data, indices, rows, order]
            self._checked[name] = indices
            at = self.device.address
            slots = at(self.slots[name]) if name in self.slots else 0
            self.places[name] = Gradient(
                at(array.data), at(rows), 0 if order is None else at(order), slots, n
            )
            given = (at(indices), at(rows), slots, n, array.shape[0], array.canonical)
            if self._listings.host[k].item() != given:
                self._listings.host[k] = given
                self._listings.changed = True

    def upload(self) -> bool:
        """Bring to the device where the gradients are; whether `check` has other arguments than before."""
        entries = max([g.listed for g in self.places.values()] + [len(s) for s in self.slots.values()])
        grid = max(1, min(-(-entries // THREADS), self.device.multiprocessors * PER_MULTIPROCESSOR))
        call = (grid, self._listings.address())
        changed, self._call = call != self._call, call
        return changed

    def check(self) -> None:
        """Check the indices on the device; kernels launched after this write nothing if one is wrong."""
        grid, listings = self._call
        arguments = (np.uint64(listings), np.int32(len(self.names)), np.uint64(self.gate.address))
        self.device.launch(self.code["check"], grid, arguments)
        if self.slots or self.counts:
            self.device.launch(self.code["mark"], grid, arguments)

    def wait(self) -> None:
        """Raise at once what `check` finds."""
        fault = self.gate.words()[0]
        if fault not in (OPEN, NONFINITE):
            self.passed_before_fault = self.gate.started
            self.gate.reopen()
            raise self._error(fault)

    def passed(self) -> int:
        """How many steps since the gate was opened are known to have passed. RowIndexError if one has not: then the
        gate is open again, and `passed_before_fault` says how many had."""
        fault, count = self.gate.seen()[:2]
        if fault in (0, OPEN, NONFINITE):  # 0: no word of it has come back yet
            return count
        fault, self.passed_before_fault = self.gate.words()[:2]
        self.gate.reopen()
        raise self._error(fault)

    def _error(self, fault: int) -> RowIndexError:
        """What to tell of a fault. Another gradient may have come since: then which index it was is not known."""
        k, position = (fault >> ENTRY_BITS) - 1, fault & ((1 << ENTRY_BITS) - 1)
        name, n_rows = self.names[k], int(self._listings.host[k]["n_rows"])
        entries = self.device.download(self._checked[name][max(position - 1, 0) : position + 1]).tolist()
        before, found = (entries[0], entries[-1]) if entries else (0, 0)
        place = f"argument {name!r}: indices[{position}]"
        if not 0 <= found < n_rows:
            what = f"{place} = {found} is not a row of {n_rows}"
        elif self._listings.host[k]["ascending"] and len(entries) == 2 and before >= found:
            what = (
                f"argument {name!r}: canonical=True promises ascending indices, each once, and "
                f"indices[{position}] = {found} is not above the one before"
            )
        else:
            what = f"{place} of an earlier step was not a row of {n_rows}, or broke the promise of canonical=True"
        return RowIndexError(f"{what}; neither that step nor one after it has written anything")

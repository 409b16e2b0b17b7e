"""Records in a file that is mapped into memory, and changed there only: what is in the file is the last checkpoint.

Pages that are written to are copied by the system (MAP_PRIVATE), and the copies stay in memory until a checkpoint has
put the rows that changed into the file. So no crash leaves the file half changed, no store to memory meets a full disk,
and pages that nobody changed are the system's to drop.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.disk import DISK, Disk
from ...errors import DamagedError, TooLateError
from ...overlap import address
from ...records.layout import Layout
from ..store import GROWTH, Array
from .pages import PAGE, are_in_memory, pages_of, will_need

Slots = npt.NDArray[np.int64]
_FLAGS = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000 if os.uname().sysname == "Linux" else 0)
_LEAST = 1 << 20  # bytes that a file grows to at first
_MOST = 1 << 26  # bytes that the disk promises at once beyond what is needed
_FEW = 32  # records that are not worth asking for
_WAITING = 2  # hints that may wait for the one that is being followed


class RowFile:
    """A RowStore in a file, which `attach` gives it; until then it has no room."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.file = -1
        self.path = ""
        self.is_readonly = False
        self._disk: Disk = DISK
        self._changed: list[Slots] = []
        self._n_changed = self._changed_bytes = (
            0  # since they were last counted exactly; an upper bound of pages
        )
        self._helper: ThreadPoolExecutor | None = None
        self._hints: list[Future[None]] = []
        self.is_sparse = False  # its room is no promise of the disk's
        self._mapped: mmap.mmap | None = None
        self._allocated = 0  # bytes of the file that the disk has promised
        self._take(np.zeros((0, layout.stride), np.uint8))

    def _take(self, records: npt.NDArray[np.uint8]) -> None:
        self.records = records
        self.columns: Mapping[str, Array] = self.layout.views(records)

    # ---- the file

    def attach(self, path: str, *, readonly: bool = False, disk: Disk = DISK) -> None:
        """Open the file."""
        self.path, self.is_readonly, self._disk = path, readonly, disk
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if readonly else disk.open(path)

    def map(self, n: int = 0) -> None:
        """Have its records in memory, of which `n` are in use. DamagedError if the file is shorter."""
        size = os.fstat(self.file).st_size
        if size < n * self.layout.stride:
            raise DamagedError(
                f"{self.path}: expected {n} rows of {self.layout.stride} bytes, the file has {size} bytes"
            )
        self._map(size)
        self._allocated = n * self.layout.stride

    def close(self) -> None:
        """Let the file go; there are no records any more."""
        if self._helper is not None:
            self._helper.shutdown(cancel_futures=True)
            self._helper = None
        self._take(np.zeros((0, self.layout.stride), np.uint8))
        self._mapped = None
        self._forget()
        if self.file >= 0:
            self._disk.close(self.file)
            self.file = -1

    def _map(self, size: int) -> None:
        stride = self.layout.stride
        capacity = size // stride
        if not capacity:
            return
        mapped = mmap.mmap(self.file, size, flags=_FLAGS, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_RANDOM)
        self._mapped = mapped
        self._take(np.frombuffer(mapped, np.uint8, capacity * stride).reshape(capacity, stride))

    def reserve(self, n: int) -> None:
        """Have room for `n` records. OSError or MemoryError, and nothing is changed, if there is none."""
        capacity = len(self.records)
        if self.is_readonly and n > capacity:
            raise TooLateError(
                f"{self.path}: it must become longer, and the table is open to read only: open it to write once"
            )
        self._allocate(n * self.layout.stride)
        if n <= capacity:
            return
        size = max(n, int(capacity * GROWTH)) * self.layout.stride
        size = -(-max(size, self._allocated, _LEAST) // PAGE) * PAGE
        self._disk.truncate(self.file, size)
        old, slots = self.records, self.changed()
        self._map(size)
        for begin in range(0, len(slots), _AT_ONCE):
            some = slots[begin : begin + _AT_ONCE]
            self.records[some] = old[some]

    def _allocate(self, size: int) -> None:
        """Have the disk promise so many bytes: in memory's file systems, even reading others may find no room."""
        if size <= self._allocated or self.is_readonly or self.is_sparse:
            return
        step = min(max(size // 8, _LEAST), _MOST)
        end = -(-size // step) * step
        self._disk.allocate(self.file, self._allocated, end)
        self._allocated = end

    # ---- changes

    def changing(self, slots: Slots) -> None:
        """These records are about to be written."""
        if len(slots):
            self._changed.append(slots)
            self._n_changed += len(slots)
            self._changed_bytes += len(slots) * (-(-self.layout.stride // PAGE) + 1) * PAGE

    def changed(self) -> Slots:
        """The slots that were written since the last checkpoint, ascending."""
        if len(self._changed) > 1 or self._n_changed:
            every = np.unique(np.concatenate(self._changed))
            self._changed, self._n_changed = [every], 0
            self._changed_bytes = len(pages_of(every, self.layout.stride)) * PAGE
        return self._changed[0] if self._changed else np.zeros(0, np.int64)

    def changed_bytes(self, limit: int) -> int:
        """Memory of pages that were copied; exact where an upper bound is above the limit."""
        if self._changed_bytes > limit:
            self.changed()
        return self._changed_bytes

    def drop_changes(self) -> None:
        """Give the copied pages up: records are what the file has."""
        self._forget()
        if self._mapped is not None:
            if hasattr(self._mapped, "madvise"):
                self._mapped.madvise(mmap.MADV_DONTNEED)
            else:
                self._map(os.fstat(self.file).st_size)

    def _forget(self) -> None:
        self._changed, self._n_changed, self._changed_bytes = [], 0, 0

    # ---- hints

    def fetch(self, slots: Slots) -> None:
        """Ask the drive for all of these records at once, if some are not in memory: they are needed now."""
        if len(slots) >= _FEW and not are_in_memory(address(self.records), slots, self.layout.stride):
            will_need(address(self.records), slots, self.layout.stride)

    def prefetch(self, slots: Slots) -> None:
        """Ask for these records, in a thread of its own. Where too much is being asked for, nothing is done."""
        if not len(slots):
            return
        self._hints = [hint for hint in self._hints if not hint.done()]
        if len(self._hints) > _WAITING:
            return
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, "symopt-prefetch")
        self._hints.append(self._helper.submit(_ask, self.records, slots, self.layout.stride))

    def settle_hints(self) -> None:
        """Wait until all has been asked for."""
        for hint in self._hints:
            hint.result()

    def memory_bytes(self) -> int:
        """Bytes of pages that were changed and are only in memory; the system keeps others as long as it has room."""
        self.changed()
        return self._changed_bytes + sum(slots.nbytes for slots in self._changed)


_AT_ONCE = 1 << 16  # records


def _ask(records: npt.NDArray[Any], slots: Slots, stride: int) -> None:
    """Holds the mapping while it is being asked for."""
    will_need(address(records), slots, stride)

"""The push log: every batch since the last checkpoint, in order, behind each other in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ...checkpoint.disk import Disk
from ...errors import DamagedError, FormatError
from .frames import Frame, header_of, next_good, read_frame

OPENED, BATCH = 1, 2
FORMAT, VERSION = "symopt push log", 1


class PushLog:
    """A log that is written to. `end`: bytes of it that are whole; `count`: frames; of them, `durable` are synced, and
    `batches` are batches."""

    def __init__(
        self, disk: Disk, path: str, file: int, end: int = 0, count: int = 0, batches: int = 0
    ) -> None:
        self.disk, self.path, self._file = disk, path, file
        self.end, self.count, self.durable, self.batches = end, count, 0, batches

    @classmethod
    def create(cls, disk: Disk, path: str, epoch: int) -> PushLog:
        """A new log, durable but for its name."""
        made = cls(disk, path, disk.create(path))
        try:
            made.begin(epoch)
        except BaseException:
            made.close()
            raise
        return made

    def begin(self, epoch: int) -> None:
        """Note that a process goes on from here. All before is durable then."""
        self.sync()
        said = {"format": FORMAT, "version": VERSION, "epoch": epoch, "boot": boot()}
        text = json.dumps(said).encode()
        self.append(OPENED, [memoryview(text + b" " * (-len(text) % 8))])
        self.sync()

    def append(self, kind: int, pieces: Sequence[memoryview]) -> int:
        """One frame more, whole or not at all; its bytes."""
        header = header_of(kind, self.count, self.durable, pieces)
        try:
            for piece in (memoryview(header), *pieces):
                self.disk.write(self._file, piece)
        except BaseException:
            self.disk.truncate(self._file, self.end)
            raise
        size = len(header) + sum(piece.nbytes for piece in pieces)
        self.end += size
        self.count += 1
        self.batches += kind == BATCH
        return size

    def take_back(self, size: int) -> None:
        """Cut the last frame off, a batch of so many bytes."""
        self.disk.truncate(self._file, self.end - size)
        self.end -= size
        self.count -= 1
        self.batches -= 1

    def sync(self) -> None:
        """Make all of it durable."""
        self.disk.sync(self._file)
        self.durable = self.count

    def close(self) -> None:
        """Let the file go."""
        self.disk.close(self._file)


class LogReader:
    """The frames of a log, up to the first that is damaged. After iteration: `end`, how many bytes are whole; `count`
    frames, of which so many `batches`; and `lost`, what is wrong with the bytes behind, or nothing."""

    def __init__(self, path: str, file: int, epoch: int) -> None:
        self.path, self._file, self._epoch = path, file, epoch
        self.end = self.count = self.batches = 0
        self.size = os.fstat(file).st_size
        self.lost = ""
        self._boot: Any = None

    def __iter__(self) -> Iterator[Frame]:
        """The frames that are batches. DamagedError for damage that no crash can have made."""
        while self.end < self.size:
            frame = read_frame(self._file, self.end, self.size)
            if isinstance(frame, Frame) and frame.number != self.count:
                frame = f"it is number {frame.number}"
            if isinstance(frame, str):
                self._judge(frame)
                break
            if frame.kind == OPENED:
                self._opened(frame)
            else:
                yield frame
                self.batches += 1
            self.end, self.count = frame.end, self.count + 1
        if not self.count:
            raise DamagedError(f"{self.path}: its first record, which was durable, is not there; {self.lost}")

    def _opened(self, frame: Frame) -> None:
        said = json.loads(bytes(frame.content))
        if said.get("format") != FORMAT or said.get("version") != VERSION:
            raise FormatError(f"{self.path}: expected a {FORMAT} of version {VERSION}, got {str(said)[:100]}")
        if said.get("epoch") != self._epoch:
            raise DamagedError(
                f"{self.path}: it belongs to epoch {said.get('epoch')}, expected {self._epoch}"
            )
        self._boot = said.get("boot")

    def _judge(self, reason: str) -> None:
        """What a process that dies, or a machine that stops, may leave is a tail to cut; all else is damage."""
        later = next_good(self._file, self.end, self.size, self.count)
        where = f"{self.path}: record {self.count}, at byte {self.end}: {reason}"
        is_same_boot = self._boot is not None and self._boot == boot()
        if later is not None and (later.durable > self.count or is_same_boot):
            raise DamagedError(
                f"{where}; record {later.number} behind it is whole, so that this is no batch that was being "
                "written: the file was damaged later. Restore it from a copy"
            )
        self.lost = (
            f"{where}; this and what is behind it, {self.size - self.end} bytes, is cut off. That is the batch that "
            "was being written when the process ended"
        ) + (
            "" if is_same_boot else ", or, if the machine stopped, also earlier ones that had not been synced"
        )


def boot() -> str | None:
    """What tells this start of the machine from all others, where the system says it."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None

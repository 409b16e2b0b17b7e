"""Rows that go into the file of rows: first all of them into a file of their own, so that a crash leaves no mixture.

The file has frames of some rows each, and one at the end that says how many there were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...checkpoint.disk import Disk
from ...errors import DamagedError
from .frames import Frame, header_of, read_frame

Slots = npt.NDArray[np.int64]
Records = npt.NDArray[np.uint8]
_ROWS, _END = 3, 4
_AT_ONCE = 1 << 20  # bytes of rows in a frame


def write_redo(disk: Disk, path: str, slots: Slots, records: Records) -> None:
    """Copies of the records of these slots, durable but for the file's name."""
    file = disk.create(path)
    try:
        number, step = 0, max(1, _AT_ONCE // records.shape[1])
        for number, begin in enumerate(range(0, len(slots), step)):
            some = np.ascontiguousarray(slots[begin : begin + step])
            _write(disk, file, _ROWS, number, [some, records[some]])
        last = -(-len(slots) // step)
        _write(disk, file, _END, last, [np.array([len(slots)])])
        disk.sync(file)
    finally:
        disk.close(file)


def _write(disk: Disk, file: int, kind: int, number: int, arrays: list[npt.NDArray[Any]]) -> None:
    pieces = [a.reshape(-1).view(np.uint8).data for a in arrays]
    for piece in (memoryview(header_of(kind, number, 0, pieces)), *pieces):
        disk.write(file, piece)


def read_redo(path: str, stride: int) -> Iterator[tuple[Slots, Records]]:
    """What `write_redo` wrote, some rows at a time. DamagedError, as soon as it is seen, if it is not all there."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at = number = total = 0
        size = os.fstat(file).st_size
        while True:
            frame = read_frame(file, at, size)
            if isinstance(frame, str) or frame.number != number:
                reason = frame if isinstance(frame, str) else f"it is number {frame.number}"
                raise DamagedError(f"{path}: record {number}, at byte {at}: {reason}")
            if frame.kind == _END:
                _check_end(path, frame, total, size)
                return
            n = len(frame.content) // (8 + stride)
            slots = np.frombuffer(frame.content[: 8 * n], np.int64)
            yield slots, np.frombuffer(frame.content[8 * n :], np.uint8).reshape(n, stride)
            at, number, total = frame.end, number + 1, total + n
    finally:
        os.close(file)


def _check_end(path: str, frame: Frame, total: int, size: int) -> None:
    expected = int.from_bytes(frame.content, "little")
    if expected != total or frame.end != size:
        raise DamagedError(f"{path}: expected {expected} rows and nothing else, got {total}")


def put_rows(disk: Disk, file: int, slots: Slots, records: Records) -> None:
    """Write records to their places in a file; `slots` ascend. Those side by side are written together."""
    stride = records.shape[1]
    bounds = np.flatnonzero(np.diff(slots) != 1) + 1
    starts, ends = [0, *bounds.tolist()], [*bounds.tolist(), len(slots)]
    data = memoryview(np.ascontiguousarray(records).reshape(-1).data)
    firsts = (slots[starts] * stride).tolist() if len(slots) else []
    for begin, end, at in zip(starts, ends, firsts):
        disk.write_at(file, data[begin * stride : end * stride], at)

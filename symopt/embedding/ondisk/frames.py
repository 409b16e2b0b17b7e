"""Frames: runs of bytes in a file, each with its length, number and checksums, so that damage is found.

A frame is a header of 40 bytes and a content whose length is a multiple of 8:

    4 bytes  "SYMF"
    uint32   kind
    uint64   length of the content in bytes
    uint64   number: frames of a file count from 0
    uint64   how many frames of the file were durable when this one was written
    uint32   CRC-32C of the content
    uint32   CRC-32C of the 36 bytes before
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

from ...checkpoint.checksum import combine, crc32c

MAGIC = b"SYMF"
_HEADER = struct.Struct("<4sIQQQI")
_SUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _SUM.size
ALIGNMENT = 8


class Frame(NamedTuple):
    """What was read: `durable` is how many frames were known to be on the disk then, `end` the offset behind it."""

    kind: int
    number: int
    durable: int
    content: memoryview
    end: int


def header_of(kind: int, number: int, durable: int, pieces: Sequence[memoryview]) -> bytes:
    """The header of a frame whose content is these pieces, one behind the other."""
    total, length = 0, 0
    for piece in pieces:
        total = combine(total, crc32c(piece), piece.nbytes)
        length += piece.nbytes
    assert length % ALIGNMENT == 0
    start = _HEADER.pack(MAGIC, kind, length, number, durable, total)
    return start + _SUM.pack(crc32c(start))


def read_frame(file: int, at: int, size: int) -> Frame | str:
    """The frame at an offset of a file of so many bytes, or what is wrong with it."""
    header = os.pread(file, HEADER_BYTES, at)
    if len(header) < HEADER_BYTES:
        return f"{size - at} bytes are no whole header"
    magic, kind, length, number, durable, total = _HEADER.unpack(header[: _HEADER.size])
    if magic != MAGIC or crc32c(header[: _HEADER.size]) != _SUM.unpack(header[_HEADER.size :])[0]:
        return "the header is not what was written"
    begin = at + HEADER_BYTES
    if begin + length > size:
        return f"{length} bytes should follow the header, {size - begin} do"
    content = read_at(file, begin, length)
    if len(content) < length or crc32c(content) != total:
        return "the checksum of its content is another"
    return Frame(kind, number, durable, memoryview(content), begin + length)


def next_good(file: int, at: int, size: int, after: int) -> Frame | None:
    """The first whole frame behind an offset whose number is above `after`."""
    rest = read_at(file, at + 1, size - at - 1)
    found = rest.find(MAGIC)
    while found >= 0:
        frame = read_frame(file, at + 1 + found, size)
        if isinstance(frame, Frame) and frame.number > after:
            return frame
        found = rest.find(MAGIC, found + 1)
    return None


def read_at(file: int, at: int, length: int) -> bytes:
    """So many bytes from an offset, or fewer where the file ends."""
    parts, got = [], 0
    while got < length:
        part = os.pread(file, min(length - got, 1 << 30), at + got)
        if not part:
            break
        parts.append(part)
        got += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)

"""Every byte of the tensors against its checksum, on a few threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from .checksum import combine, crc32c
from .dtypes import size_of
from .folder import Opened, Part
from .progress import Progress
from .refusal import Refuse

_PIECE = 1 << 24  # what a thread takes at a time
_CHUNK = 1 << 21  # what it reads at a time: stays in its cache
_THREADS = 4
_ALONE = 1 << 23  # bytes of a checkpoint that are not worth threads


class _Piece(NamedTuple):
    """Bytes of a file that belong to one tensor."""

    file: int
    begin: int
    size: int


def verify(path: str, opened: Opened, told: Progress) -> None:
    """DamagedError that names the file and the tensor whose bytes are not those that were written.

    They are read, not mapped: of a disk that can't read them the system says so, instead of ending the process.
    """
    for part in opened.parts:
        _verify_part(Refuse(os.path.join(path, part.name)), opened, part, told)


def _verify_part(refuse: Refuse, opened: Opened, part: Part, told: Progress) -> None:
    entry, tensors = opened.manifest.files[part.name], opened.manifest.tensors
    whole = entry.header_checksum
    names = sorted(part.begins, key=part.begins.__getitem__)
    sizes = {n: size_of(tensors[n].dtype, tensors[n].shape) for n in names}
    pieces = {n: list(_cut(part.file, part.begins[n], sizes[n])) for n in names}
    sums = _checksums([piece for n in names for piece in pieces[n]], entry.size)
    for n in names:
        found = 0
        for piece in pieces[n]:
            found = combine(found, next(sums), piece.size)
            told.add(piece.size)
        if found != tensors[n].checksum:
            refuse(f"the bytes of {n[:200]!r} are not those that were written: their checksum differs")
        whole = combine(whole, found, sizes[n])
    if whole != entry.checksum:
        refuse("the manifest's checksum of the file is not that of its parts")


def _cut(file: int, begin: int, size: int) -> Iterator[_Piece]:
    for at in range(0, size, _PIECE):
        yield _Piece(file, begin + at, min(_PIECE, size - at))


def _checksums(pieces: list[_Piece], size: int) -> Iterator[int]:
    """The checksum of each, in their order."""
    if size < _ALONE:
        yield from map(_checksum, pieces)
        return
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(_checksum, pieces)


_of_thread = threading.local()


def _checksum(piece: _Piece) -> int:
    buffer: memoryview | None = getattr(_of_thread, "buffer", None)
    if buffer is None:
        buffer = _of_thread.buffer = memoryview(bytearray(_CHUNK))
    found, done = 0, 0
    while done < piece.size:
        count = os.preadv(piece.file, [buffer[: piece.size - done]], piece.begin + done)
        if not count:  # cut off since we looked
            return ~found & 0xFFFFFFFF
        found = crc32c(buffer[:count], found)
        done += count
    return found

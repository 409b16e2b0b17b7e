"""Bytes of a file, read in order and never trusted: what a number promises is looked for before it is used."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NoReturn

import numpy as np

from ..arrays import Array
from ..errors import FormatError

MOST_DIMENSIONS = 64  # of a NumPy array
MOST_BYTES = 2**63 - 1  # of an array that can be addressed
Given = str | os.PathLike[str] | bytes | bytearray | memoryview


class Source:
    """The `size` bytes of a binary file, and how many of them have been read."""

    def __init__(self, file: io.BufferedReader | io.BytesIO, size: int) -> None:
        self._file = file
        self.size = size
        self.offset = 0

    @property
    def left(self) -> int:
        return self.size - self.offset

    def fail(self, reason: str, at: int | None = None) -> NoReturn:
        """FormatError: at this byte, or the one that comes next."""
        raise FormatError(f"at byte {self.offset if at is None else at}: {reason}")

    def need(self, count: int, what: str) -> None:
        """FormatError unless so many bytes are left."""
        if count > self.left:
            self.fail(f"{what} takes {count} bytes, and the file ends after {self.left}")

    def numbers(self, layout: str, what: str) -> tuple[int, ...]:
        """Integers, little-endian, of a layout in the letters of the struct module."""
        size = struct.calcsize("<" + layout)
        return struct.unpack("<" + layout, self.bytes(size, what))

    def bytes(self, count: int, what: str) -> bytes:
        self.need(count, what)
        found = self._file.read(count)
        if len(found) != count:  # it has become shorter while it was read
            self.fail(f"{what} takes {count} bytes, and only {len(found)} came")
        self.offset += count
        return found

    def array(self, shape: Sequence[int], dtype: np.dtype[Any], what: str) -> Array:
        """A new array, filled from the file. No memory is asked for before the file is seen to be long enough."""
        check_size(self, shape, dtype.itemsize, what)
        count = prod(shape) * dtype.itemsize
        self.need(count, what)
        made = np.empty(shape, dtype)
        if count:
            flat = made.reshape(-1).view(np.uint8).data
            done = 0
            while done < count:
                step = self._file.readinto(flat[done:])
                if not step:
                    self.fail(f"{what} takes {count} bytes, and only {done} came")
                done += step
            self.offset += count
        return made


def check_size(source: Source, shape: Sequence[int], itemsize: int, what: str) -> None:
    """FormatError for a shape that no array in memory can have, even where a dimension of 0 makes it empty."""
    if prod(size for size in shape if size) * itemsize > MOST_BYTES:
        source.fail(f"{what} would have shape {tuple(shape)}: no memory has room for that")


@contextmanager
def open_source(given: Given) -> Iterator[Source]:
    """The bytes of a file, or of a bytes-like object. Errors in them name the file. OSError if there is none."""
    if isinstance(given, bytes | bytearray | memoryview):
        content = io.BytesIO(given)
        yield Source(content, content.getbuffer().nbytes)
        return
    with open(given, "rb") as file:
        try:
            if file.seekable():
                yield Source(file, os.fstat(file.fileno()).st_size)
            else:  # a pipe does not say how long it is
                content = io.BytesIO(file.read())
                yield Source(content, content.getbuffer().nbytes)
        except FormatError as error:
            raise FormatError(f"{os.fspath(given)}: {error}") from None

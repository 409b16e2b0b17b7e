"""Arrays by name in a file, as numpy.savez writes them: .npz.

Beyond what NumPy says: 2-byte void (V2) is bfloat16, which is how NumPy stores ml_dtypes' arrays; a row_sparse array
`g` is the three arrays `g.data`, `g.indices` and `g.shape`. Pickles are neither read nor written.
"""

from __future__ import annotations

import io
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from ..arrays import Array
from ..dtypes import to_numpy
from ..errors import ArrayError, FormatError
from ..sparse import RowSparseArray
from .output import STREAM

SUFFIX = ".npy"
PARTS = ("data", "indices", "shape")
# What broken archives and arrays make zipfile and NumPy raise.
BROKEN = (
    *(ValueError, EOFError, RuntimeError, NotImplementedError, SyntaxError, tokenize.TokenError),
    *(zipfile.BadZipFile, zlib.error),
)
Value = Any  # an array, or a RowSparseArray


class Archive:
    """The arrays of the file at `path`, read when they are asked for. `names`: of all arrays, those of parts too."""

    def __init__(self, path: str, file: zipfile.ZipFile) -> None:
        self.path = path
        self._file = file
        self.names: dict[str, None] = {}
        for name in file.namelist():
            if not name.endswith(SUFFIX):
                raise FormatError(f"{path}: {name!r} is no array: an .npz file holds members called NAME.npy")
            if name.removesuffix(SUFFIX) in self.names:
                raise FormatError(f"{path}: there are two arrays called {name.removesuffix(SUFFIX)!r}")
            self.names[name.removesuffix(SUFFIX)] = None

    def parts(self, name: str) -> list[str]:
        """The members that make the array called `name`; none if there is no such array."""
        if name in self.names:
            return [name]
        return [f"{name}.{part}" for part in PARTS if f"{name}.{part}" in self.names]

    def value(self, name: str) -> Value:
        """The array called `name`, in memory of its own, contiguous. FormatError or ArrayError if it is broken."""
        parts = self.parts(name)
        if parts == [name]:
            return self._array(name)
        if len(parts) < len(PARTS):
            missing = next(f"{name}.{part}" for part in PARTS if f"{name}.{part}" not in parts)
            raise ArrayError(f"{self.path}: the row_sparse array {name!r} has no {missing!r}")
        data, indices, shape = (self._array(part) for part in parts)
        if shape.ndim != 1 or shape.dtype.kind not in "iu":
            raise ArrayError(f"{self.path}: {name}.shape must be a row of integers, got {shape!r}")
        return RowSparseArray(data, indices, tuple(shape.tolist()))

    def _array(self, name: str) -> Array:
        try:
            with self._file.open(name + SUFFIX) as member:
                array: Array = np.lib.format.read_array(member, allow_pickle=False)
        except BROKEN as error:
            raise FormatError(f"{self.path}: {name!r} cannot be read: {error}") from None
        if array.dtype == np.dtype("V2"):
            array = array.view(to_numpy("bfloat16"))
        return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


@contextmanager
def read_archive(path: str) -> Iterator[Archive]:
    """The arrays of an .npz file; "-" is standard input. FormatError or OSError if it is none."""
    source = io.BytesIO(sys.stdin.buffer.read()) if path == STREAM else path
    try:
        file = zipfile.ZipFile(source)
    except BROKEN as error:
        raise FormatError(f"{path} is no .npz file, as numpy.savez writes it: {error}") from None
    with file:
        yield Archive(path, file)


def write_archive(file: IO[bytes], values: Mapping[str, Value]) -> None:
    """Write arrays, row_sparse arrays and numbers by name."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, value in values.items():
            if isinstance(value, RowSparseArray):
                parts = zip(PARTS, (value.data, value.indices, np.array(value.shape, np.int64)))
                for part, array in parts:
                    _write_array(archive, f"{name}.{part}", array)
            else:
                _write_array(archive, name, np.asanyarray(value))


def check_names(values: Mapping[str, Value]) -> None:
    """FormatError if an archive cannot hold arrays of these names."""
    members: set[str] = set()
    for name, value in values.items():
        if "\0" in name or not _has_bytes(name):
            raise FormatError(f"an .npz file cannot hold an array called {name!r}")
        found = [f"{name}.{part}" for part in PARTS] if isinstance(value, RowSparseArray) else [name]
        if members.intersection(found):
            raise FormatError(
                f"two arrays would be called {members.intersection(found).pop()!r} in the .npz file"
            )
        members.update(found)


def _has_bytes(name: str) -> bool:
    """Whether a name is text: JSON can hold halves of letters, which are none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_array(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    with archive.open(name + SUFFIX, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)

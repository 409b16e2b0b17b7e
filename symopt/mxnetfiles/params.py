"""MXNet's .params files: arrays, by name or in a list. `mx.nd.save` writes them, `mx.nd.load` reads them.

A word 0x112, a reserved word, the number of arrays and the arrays (`ndarrays.py`), the number of names and the names:
as many as arrays, or none. All words are uint64, little-endian. There is no checksum.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import ArrayError, UnknownArgumentError
from ..files import whole_file
from .ndarrays import Stored, on_host, pieces, read_array, version_for
from .source import Given, Source, open_source

MAGIC = 0x112
SHORTEST = {"array": 4, "name": 8}  # bytes
OTHERS = {
    b"PK\x03\x04": "an .npz file",
    b"\x93NUMPY": "an .npy file",
}  # as MXNet 2's npx.savez and npx.save write them
Arrays = dict[str, Any]


def load(fname: Given) -> list[Any] | Arrays:
    """The arrays of a file that MXNet, or `save`, wrote: a dict if they have names, else a list.

    Dense arrays are NumPy's (bfloat16 is that of ml_dtypes), row_sparse ones are RowSparseArray; all on the host. None
    stands for an NDArray that held nothing. A file of no arrays gives [], which MXNet writes for {} too.
    FormatError, with the byte and the reason, for a file that is damaged, cut short or something else, and for csr.

    >>> import numpy as np, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "w.params")
    >>> save(path, {"arg:w": np.ones(2, "float16")})
    >>> load(path)
    {'arg:w': array([1., 1.], dtype=float16)}
    """
    with open_source(fname) as source:
        return _read(source)


def load_frombuffer(buf: bytes | bytearray | memoryview) -> list[Any] | Arrays:
    """The arrays of a .params file's content; see `load`."""
    with open_source(bytes(buf)) as source:
        return _read(source)


def save(fname: str | os.PathLike[str], data: Any, np_shape: bool | None = None) -> None:
    """Write an array, a list of arrays or a dict of arrays by name, so that MXNet reads them. The file appears whole.

    Arrays are of any library and device; row_sparse ones get ascending rows, repeated ones summed. They are written in
    the format of MXNet 1 ("V2"). `np_shape=True` writes "V3" instead, which has shapes as NumPy has them: MXNet reads
    it only with NumPy semantics on, the default of MXNet 2, which reads nothing else then. `np_shape=None`
    does so for arrays without dimensions or elements. DTypeError, ArrayError or StorageError name the array that does
    not fit; nothing is written then.
    """
    named, arrays = _named(data)
    hosted = {what: on_host(x, what) for what, x in arrays.items()}
    version = version_for(hosted, np_shape)
    with whole_file(fname) as file:
        for piece in _content(list(hosted.values()), [] if named is None else named, version):
            file.write(piece)


def _named(data: Any) -> tuple[list[str] | None, dict[str, Any]]:
    """The names, if there are any, and the arrays by what errors call them."""
    if isinstance(data, Mapping):
        names = list(data)
        for name in names:
            _check_name(name)
        return names, {f"array {name!r}": x for name, x in data.items()}
    if isinstance(data, list | tuple):
        return None, {f"array {k}": x for k, x in enumerate(data)}
    return None, {"the array": data}


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise UnknownArgumentError(f"names of arrays must be strings, got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ArrayError(f"an array's name must be text that UTF-8 can hold, got {name!r}") from None
    if "\0" in name:
        raise ArrayError(f"MXNet ends names at a zero byte, got {name!r}")


def _content(arrays: Sequence[Stored], names: Sequence[str], version: int) -> Iterator[bytes | memoryview]:
    yield struct.pack("<3Q", MAGIC, 0, len(arrays))
    for array in arrays:
        yield from pieces(array, version)
    yield struct.pack("<Q", len(names))
    for name in names:
        raw = name.encode()
        yield struct.pack("<Q", len(raw)) + raw


def _read(source: Source) -> list[Any] | Arrays:
    _check_magic(source)
    arrays = [read_array(source) for _ in range(_count(source, "array"))]
    at = source.offset
    names = [_name(source) for _ in range(_count(source, "name"))]
    if source.left:
        source.fail(f"the file goes on for {source.left} bytes after its end")
    if not names:
        return arrays
    if len(names) != len(arrays):
        source.fail(f"there are {len(arrays)} arrays and {len(names)} names", at)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        source.fail(f"two arrays are called {twice[:100]!r}", at)
    return dict(zip(names, arrays))


def _check_magic(source: Source) -> None:
    head = source.bytes(min(source.size, 16), "the head of the file")
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            source.fail(f"this is {what}, and none of MXNet's .params: numpy.load reads it", 0)
    if len(head) < 16 or struct.unpack("<Q", head[:8])[0] != MAGIC:
        source.fail(f"this is no .params file of MXNet's: those begin with the word {MAGIC:#x}", 0)


def _count(source: Source, what: str) -> int:
    at = source.offset
    (count,) = source.numbers("Q", f"the number of {what}s")
    if count > source.left // SHORTEST[what]:
        source.fail(f"the file would have {count} {what}s, and ends after {source.left} bytes", at)
    return count


def _name(source: Source) -> str:
    at = source.offset
    (size,) = source.numbers("Q", "the length of a name")
    try:
        return source.bytes(size, "a name").decode()
    except UnicodeDecodeError:
        source.fail("a name is no text in UTF-8", at)

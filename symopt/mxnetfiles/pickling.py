"""Writes the pickles that MXNet reads: the same opcodes as Python's own for these values, and no others.

What MXNet's classes are called is all that is said of them, so MXNet is not needed. Protocol 4, which Python reads
since 3.4; frames, which only help those who read piece by piece, are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import UnknownArgumentError
from ..sparse import RowSparseArray
from .inert import ObjectRecord
from .ndarrays import Stored, pieces
from .opcodes import INTEGERS

Piece = bytes | memoryview


def pickled(value: Any, version: int) -> Iterator[Piece]:
    """The pickle of a value, in parts. Arrays, which `on_host` has seen to, become NDArrays of that version.

    UnknownArgumentError for what is no array, number, string, tuple, list, dict of these, None or ObjectRecord.
    """
    yield b"\x80\x04"
    yield from _value(value, version)
    yield b"."


def _value(value: Any, version: int) -> Iterator[Piece]:
    if isinstance(value, np.ndarray | RowSparseArray):
        yield from _ndarray(value, version)
    elif isinstance(value, ObjectRecord):
        yield _name(value.module, value.name) + b")\x81"
        yield from _value(value.attributes, version)
        yield b"b"
    elif isinstance(value, Mapping):
        yield b"}("
        for key, x in value.items():
            if not isinstance(key, int | str):
                raise UnknownArgumentError(f"keys of a dict must be integers or strings, got {key!r:.100}")
            yield _leaf(key)
            yield from _value(x, version)
        yield b"u"
    elif isinstance(value, tuple | list):
        yield b"("
        for x in value:
            yield from _value(x, version)
        yield b"t" if isinstance(value, tuple) else b"l"
    else:
        yield _leaf(value)


def _leaf(value: Any) -> bytes:
    if isinstance(value, np.bool | np.integer | np.floating):
        value = value.item()
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int) and value in INTEGERS:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return _text(value)
    raise UnknownArgumentError(
        f"expected arrays, numbers, strings and containers of them, got {value!r:.100}"
    )


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _name(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


def _ndarray(array: Stored, version: int) -> Iterator[Piece]:
    """NDArray(None), then its state {"handle": bytearray(...)}: MXNet writes into that, so bytes would not do."""
    is_sparse = isinstance(array, RowSparseArray)
    yield _name(
        *(("mxnet.ndarray.sparse", "RowSparseNDArray") if is_sparse else ("mxnet.ndarray.ndarray", "NDArray"))
    )
    parts = list(pieces(array, version))
    yield b"N\x85R}" + _text("handle") + _name("builtins", "bytearray")
    yield b"\x8e" + struct.pack("<Q", sum(map(len, parts)))
    yield from parts
    yield b"\x85Rsb"

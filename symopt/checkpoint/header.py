"""The header of a safetensors file: which tensor is where. Written for any reader, read without trust.

Eight bytes with the length of a JSON object, little-endian; the object; the data. We pad the object with spaces so
that the data begins at a multiple of 64 bytes, and put wide dtypes first, so that every tensor lies at a multiple of
its items' size.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import AttributeValueError
from .dtypes import numpy_dtype, size_of, stored_as
from .refusal import Refuse
from .strictjson import parse

ALIGNMENT = 64
MAX_HEADER = 100_000_000  # of other readers too
METADATA = "__metadata__"

Described = Mapping[str, tuple[str, tuple[int, ...]]]  # dtype and shape by name


def in_order(tensors: Described) -> list[str]:
    """Names in the order in which their data lies in the file."""
    return sorted(tensors, key=lambda name: -numpy_dtype(tensors[name][0]).itemsize)


def write_header(tensors: Described) -> bytes:
    """The bytes before the data of tensors, which are given in their order."""
    entries: dict[str, Any] = {METADATA: {"format": "symopt"}}
    begin = 0
    for name, (dtype, shape) in tensors.items():
        end = begin + size_of(dtype, shape)
        code, stored = stored_as(dtype, shape)
        entries[name] = {"dtype": code, "shape": list(stored), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise AttributeValueError(f"a file can't have {len(tensors):,} tensors: give smaller shard_bytes")
    return len(text).to_bytes(8, "little") + text


def header_length(start: bytes, size: int, refuse: Refuse) -> int:
    """The length of a header, of its eight bytes too, from these and the size of the file."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, MAX_HEADER):
        refuse("its header is said to be longer than the file, or than any header may be")
    return 8 + length


def read_header(text: bytes, data_size: int, expected: Described, refuse: Refuse) -> dict[str, int]:
    """Where each tensor begins in the data. The `expected` tensors must be all there are, without gap or overlap."""
    entries = parse(text, refuse)
    if not isinstance(entries, dict):
        refuse("its header is no object")
    entries.pop(METADATA, None)
    if set(entries) != set(expected):
        name = min(set(entries) ^ set(expected))
        refuse(f"its header and the manifest differ in the tensor {name[:100]!r}, which only one of them has")
    begins = {}
    for name, (dtype, shape) in expected.items():
        code, stored = stored_as(dtype, shape)
        entry = entries[name]
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets)):
            refuse(f"its header has no offsets for {name[:100]!r}")
        if entry.get("dtype") != code or entry.get("shape") != list(stored):
            refuse(f"its header and the manifest differ in dtype or shape of {name[:100]!r}")
        if offsets[1] - offsets[0] != size_of(dtype, shape):
            refuse(f"its header gives {name[:100]!r} another number of bytes than its shape needs")
        begins[name] = offsets[0]
    _check_cover(
        ((begins[name], begins[name] + size_of(*expected[name])) for name in begins), data_size, refuse
    )
    return begins


def _check_cover(ranges: Iterable[tuple[int, int]], size: int, refuse: Refuse) -> None:
    """Every byte of the data belongs to one tensor."""
    reached = 0
    for begin, end in sorted(ranges):
        if begin != reached:
            refuse("its header leaves bytes to no tensor, or to two")
        reached = end
    if reached != size:
        refuse("its header describes another number of bytes than the file has")

"""MANIFEST.json: what a checkpoint consists of, with the checksum of everything, its own in the last line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from . import checksum
from .dtypes import NAMES, is_possible
from .refusal import Refuse
from .strictjson import parse

MANIFEST = "MANIFEST.json"
FORMAT = "symopt checkpoint"
VERSION = 1
MAX_MANIFEST = 1 << 27  # bytes; of a hundred thousand tensors it has some 15 MB
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.safetensors")
_CHECKSUM = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class File:
    """One file of tensors: size in bytes, checksum of all of it, and of its header alone."""

    name: str
    size: int
    checksum: int
    header_checksum: int


@dataclass(frozen=True)
class Tensor:
    """One array: its file, dtype, shape, and the checksum of its bytes."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    checksum: int


@dataclass(frozen=True)
class Manifest:
    """All that a checkpoint says of itself. `tree` and `meta` are JSON as in tree.py."""

    symopt: str
    files: dict[str, File]
    tensors: dict[str, Tensor]
    meta: Any
    tree: Any


def file_name(index: int, count: int) -> str:
    """The name of the file number `index` of `count`, from 0."""
    return f"state-{index + 1:05d}-of-{count:05d}.safetensors"


def is_file_name(name: str) -> bool:
    """Whether a checkpoint may have a file of tensors of this name, which leads to no other folder."""
    return _FILE_NAME.fullmatch(name) is not None


def write_manifest(manifest: Manifest) -> bytes:
    """A line for each entry; then the checksum of them all."""
    files = [
        {
            "name": f.name,
            "size": f.size,
            "checksum": _hex(f.checksum),
            "header_checksum": _hex(f.header_checksum),
        }
        for f in manifest.files.values()
    ]
    tensors = {
        name: {"file": t.file, "dtype": t.dtype, "shape": list(t.shape), "checksum": _hex(t.checksum)}
        for name, t in manifest.tensors.items()
    }
    entries = {
        "format": FORMAT, "version": VERSION, "symopt": manifest.symopt, "checksum": checksum.NAME,
        "meta": manifest.meta, "files": files, "tensors": tensors, "tree": manifest.tree,
    }  # fmt: skip
    lines = ",\n".join(
        f'"{key}":{json.dumps(value, separators=(",", ":"), allow_nan=False)}'
        for key, value in entries.items()
    )
    body = f"{{\n{lines}\n}}\n".encode()
    return body + f"{_hex(checksum.crc32c(body))}\n".encode()


def read_manifest(content: bytes, refuse: Refuse) -> Manifest:
    """What a manifest says, if it is whole. `refuse` raises the error."""
    body, line = content[:-9], content[-9:]
    if line != f"{_hex(checksum.crc32c(body))}\n".encode():
        refuse("the checksum in its last line is not that of what is before it")
    found = parse(body, refuse)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        refuse.unknown(f"its format is not {FORMAT!r}")
    _check_version(found, refuse)
    try:
        return _read(found, refuse)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        refuse(f"an entry is missing or malformed: {str(error)[:200]}")


def _check_version(found: dict[str, Any], refuse: Refuse) -> None:
    version = found.get("version")
    if type(version) is not int or version < 1:
        refuse("its version is no number")
    if version > VERSION:
        by = str(found.get("symopt"))[:50]
        refuse.unknown(
            f"it has version {version} of the format, written by symopt {by}; this symopt reads up to {VERSION}: "
            "upgrade it"
        )
    if found.get("checksum") != checksum.NAME:
        refuse.unknown(
            f"its checksums are {str(found.get('checksum'))[:50]!r}, and this symopt computes {checksum.NAME!r}"
        )


def _read(found: dict[str, Any], refuse: Refuse) -> Manifest:
    files = {entry["name"]: _read_file(entry) for entry in found["files"]}
    if len(files) != len(found["files"]):
        raise ValueError("a file is named twice")
    tensors = {name: _read_tensor(entry, files, refuse) for name, entry in found["tensors"].items()}
    return Manifest(_text(found["symopt"]), files, tensors, found["meta"], found["tree"])


def _read_file(entry: dict[str, Any]) -> File:
    name, size = _text(entry["name"]), entry["size"]
    if not is_file_name(name):
        raise ValueError(f"{name[:100]!r} is no name for a file of tensors")
    if type(size) is not int or size < 0:
        raise ValueError(f"the size of {name} is no number of bytes")
    return File(name, size, _number(entry["checksum"]), _number(entry["header_checksum"]))


def _read_tensor(entry: dict[str, Any], files: dict[str, File], refuse: Refuse) -> Tensor:
    file, dtype, shape = entry["file"], entry["dtype"], entry["shape"]
    if file not in files:
        raise ValueError("a tensor is in a file that is not listed")
    if dtype not in NAMES:
        refuse.unknown(f"a tensor has the dtype {str(dtype)[:50]!r}, which this symopt does not know")
    if not is_possible(dtype, shape):
        raise ValueError("a tensor has an impossible shape")
    return Tensor(file, dtype, tuple(shape), _number(entry["checksum"]))


def _hex(number: int) -> str:
    return f"{number:08x}"


def _number(text: Any) -> int:
    if _CHECKSUM.fullmatch(_text(text)) is None:
        raise ValueError("a checksum is not eight hexadecimal digits")
    return int(text, 16)


def _text(x: Any) -> str:
    if not isinstance(x, str):
        raise TypeError(f"a {type(x).__name__} where a string should be")
    return x

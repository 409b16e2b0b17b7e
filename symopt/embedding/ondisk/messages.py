"""A batch as bytes: its commands and the answers that they needed. Arrays lie as they are, numbers are JSON.

uint64   length of the JSON, which spaces fill up to a multiple of 8
JSON     {"commands": [[name, {field: value, or {"array": [dtype, shape]}, ...}], ...], "answers": [...]}
arrays   in the order in which the JSON names them, each filled up to a multiple of 8 bytes
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from .. import commands
from .answers import Answer
from .frames import ALIGNMENT

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(commands.Command)}


class Message(NamedTuple):
    """What was done, and what functions of the user's said meanwhile."""

    commands: list[commands.Command]
    answers: list[Answer]


def write_message(done: Sequence[commands.Command], answers: Sequence[Answer]) -> list[memoryview]:
    """A message in pieces, which are views of the very arrays."""
    arrays: list[memoryview] = []
    said = {
        "commands": [
            [type(c).__name__, {k: _written(v, arrays) for k, v in c._asdict().items()}] for c in done
        ],
        "answers": [_written(a, arrays) for a in answers],
    }
    text = json.dumps(said, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return [memoryview(len(text).to_bytes(8, "little") + text), *arrays]


def read_message(content: memoryview) -> Message:
    """What `write_message` wrote. ValueError or KeyError if it is none of ours. Arrays are read-only views."""
    length = int.from_bytes(content[:8], "little")
    said = json.loads(bytes(content[8 : 8 + length]))
    reader = _Reader(content, 8 + length)
    found = [
        _KINDS[name](**{k: reader.read(v) for k, v in fields.items()}) for name, fields in said["commands"]
    ]
    return Message(found, [reader.read(a) for a in said["answers"]])


def _written(value: Any, arrays: list[memoryview]) -> Any:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        data = little.reshape(-1).view(np.uint8)
        arrays.append(data.data)
        if rest := -data.nbytes % ALIGNMENT:
            arrays.append(memoryview(bytes(rest)))
        return {"array": [value.dtype.name, list(value.shape)]}
    if isinstance(value, Mapping):
        return {"dict": {k: _written(v, arrays) for k, v in value.items()}}
    if isinstance(value, tuple):
        return {"tuple": [_written(v, arrays) for v in value]}
    if isinstance(value, float):
        return {"float": value.hex()}  # of any value, with all its bits but nan's
    return value.item() if isinstance(value, np.generic) else value


class _Reader:
    def __init__(self, content: memoryview, at: int) -> None:
        self._content, self._at = content, at

    def read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind, inside = next(iter(value.items()))
        if kind == "array":
            return self._array(*inside)
        if kind == "dict":
            return {k: self.read(v) for k, v in inside.items()}
        return float.fromhex(inside) if kind == "float" else tuple(self.read(v) for v in inside)

    def _array(self, name: str, shape: list[int]) -> Any:
        dtype = _dtype(name)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        found = np.frombuffer(self._content[self._at : self._at + size], dtype).reshape(shape)
        self._at += size + -size % ALIGNMENT
        return found


def _dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        brain: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return brain
    found: np.dtype[Any] = np.dtype(f"<{np.dtype(name).str[1:]}")
    return found

"""Dtypes of stored arrays, and what safetensors calls them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ..dtypes import COMPONENT
from ..errors import DTypeError

CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
NAMES = (*CODES, *COMPONENT)
_MAX_DIMENSIONS = 64  # NumPy's own limits
_MAX_BYTES = 1 << 62


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name, little-endian."""
    if name in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    return np.dtype(name).newbyteorder("<")


def name_of(dtype: np.dtype[Any], what: str) -> str:
    """The name of a dtype. DTypeError if arrays of it can't be saved."""
    if dtype.name not in NAMES:
        raise DTypeError(
            f"{what} has dtype {dtype.name}, which can't be saved: use one of {', '.join(NAMES)}"
        )
    return dtype.name


def stored_as(name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Code and shape in the file. Complex numbers, which not all readers know, are pairs: a last axis of 2."""
    part = COMPONENT.get(name)
    return (CODES[part], (*shape, 2)) if part else (CODES[name], shape)


def size_of(name: str, shape: tuple[int, ...]) -> int:
    """Bytes of an array."""
    return math.prod(shape) * numpy_dtype(name).itemsize


def is_possible(name: str, shape: Any) -> bool:
    """Whether NumPy can have an array of a shape: of sizes that are integers >= 0, not too many, not too large."""
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        return False
    if not all(type(n) is int and n >= 0 for n in shape):
        return False
    return math.prod(n or 1 for n in shape) * numpy_dtype(name).itemsize < _MAX_BYTES

"""Arrays of codes: how NumPy and the engine turn rows into them and back."""

from __future__ import annotations

import numpy as np

from .. import nd
from ..arrays import Array
from ..symbol import Symbol

_BLOCK = 1 << 17  # entries
Scale = Symbol | float | None  # of OneBit's soft sign; None: the one it begins with


def as_float32(rows: Array) -> Array:
    """Rows as the engine takes them."""
    return np.ascontiguousarray(rows, np.float32)


def narrow(codes: Array, dtype: str) -> Array:
    """Numbers that a dtype holds, in it; beyond the range of float16, infinities."""
    with np.errstate(over="ignore"):
        return codes.astype(dtype)


def widen(codes: Array, out: Array) -> None:
    """float16 to float32. Blocks of one size go to the engine, many times as fast as NumPy; the rest is NumPy's."""
    whole = codes.size - codes.size % _BLOCK if codes.flags.c_contiguous and out.flags.c_contiguous else 0
    if whole:
        flat, flat_out = codes.reshape(-1), out.reshape(-1)
        for begin in range(0, whole, _BLOCK):
            part = slice(begin, begin + _BLOCK)
            nd.Cast(flat[part], dtype="float32", out=flat_out[part])
        np.copyto(flat_out[whole:], flat[whole:])
    else:
        np.copyto(out, codes)

"""The checksum of a checkpoint's bytes: CRC-32C, for which processors have an instruction.

It finds accidents: flipped bits, lost and repeated pages. It is no defence against somebody who can compute it too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..backends.jit import compile_function, host_features
from .checksumcode import ALL, POLYNOMIAL, STREAMS, WORD, byte_table, program

NAME = "crc32c"  # as manifests call it
_ONE = 1 << 31


def crc32c(data: Any, start: int = 0) -> int:
    """The checksum of bytes, or, with that of others as `start`, of those and of these behind them.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    content = np.frombuffer(data, np.uint8)
    words = len(content) // (STREAMS * WORD)
    found, length = 0, words * WORD
    if words:
        sums = np.empty(STREAMS, np.uint64)
        _streams()(content.ctypes.data, words, sums.ctypes.data)
        for one in sums.tolist():
            found = combine(found, one ^ ALL, length)
    rest = found ^ ALL
    for byte in content[STREAMS * length :].tolist():
        rest = byte_table()[(rest ^ byte) & 255] ^ rest >> 8
    return combine(start, rest ^ ALL, len(content))


def combine(first: int, second: int, length: int) -> int:
    """The checksum of two runs of bytes, one behind the other, from that of each; `length` bytes are in the second.

    So each byte is read once, by any thread, and files and tensors still have checksums of their own.

    >>> combine(crc32c(b"check"), crc32c(b"point"), 5) == crc32c(b"checkpoint")
    True
    """
    return _times(_shift(length), first) ^ second if first else second


@lru_cache(maxsize=1024)
def _shift(length: int) -> int:
    """x**(8 * length) modulo the polynomial: appending a byte multiplies by x**8."""
    power, result = 1 << 23, _ONE
    while length:
        if length & 1:
            result = _times(power, result)
        power = _times(power, power)
        length >>= 1
    return result


def _times(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo the polynomial."""
    product, bit = 0, _ONE
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ (POLYNOMIAL if b & 1 else 0)
    return product


@cache
def _streams() -> Callable[..., None]:
    """A function of an address, a number of words, and an address for the sums of three runs of so many words there."""
    return compile_function(
        program(*host_features()), "streams", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
    )

"""The checksum of a checkpoint's bytes: CRC-32, as zlib computes it, so that every Python can check every checkpoint.

It finds accidents: flipped bits, lost and repeated pages. It is no defence against somebody who can compute it too.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

NAME = "crc32"  # as manifests call it
_POLYNOMIAL = 0xEDB88320  # bits reversed: the highest bit is x**0
_ONE = 1 << 31

__all__ = ["NAME", "combine", "crc32"]


def combine(first: int, second: int, length: int) -> int:
    """The checksum of two runs of bytes, one behind the other, from that of each; `length` bytes are in the second.

    So each byte is read once, by any thread, and files and tensors still have checksums of their own.

    >>> combine(crc32(b"check"), crc32(b"point"), 5) == crc32(b"checkpoint")
    True
    """
    return _times(_shift(length), first) ^ second


@lru_cache(maxsize=256)
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
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product

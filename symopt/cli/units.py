"""Quantities of command lines: numbers with a unit, as 768GiB, 25GB/s or 100ms."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError

DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BINARY = {f"{prefix}i": 2 ** (10 * k) for k, prefix in enumerate("KMGTP", 1)}
BYTES = {f"{prefix}B": factor for prefix, factor in (DECIMAL | BINARY).items()} | {"": 1}
SECONDS = {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60, "h": 3600}
_WRITTEN = re.compile(r"([0-9.,_]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z/]*)", re.ASCII)


def size(text: str) -> float:
    """Bytes.

    >>> size("768GiB") == 768 * 2**30, size("1.5 TB")
    (True, 1500000000000.0)
    """
    return _measured(text, BYTES, "size: write bytes, or 768GiB, 1.5TB")


def speed(text: str) -> float:
    """Bytes per second. A unit is needed: whoever writes 25 does not mean 25 bytes.

    >>> speed("25GB/s"), speed("200Gbit/s")
    (25000000000.0, 25000000000.0)
    """
    bits = {f"{prefix}bit/s": factor / 8 for prefix, factor in DECIMAL.items()}
    known = {f"{unit}/s": factor for unit, factor in BYTES.items() if unit} | bits
    return _measured(text, known, "speed: write 25GB/s, or 200Gbit/s")


def seconds(text: str) -> float:
    """Seconds; 0 too.

    >>> seconds("0.1"), seconds("250us")
    (0.1, 0.00025)
    """
    return _measured(text, SECONDS, "time: write seconds, or 100ms, 250us")


def many(text: str) -> int:
    """A whole number above 0, also as 1e12, 20k or 1_000_000.

    >>> many("1e12"), many("20k"), many("5")
    (1000000000000, 20000, 5)
    """
    what = "whole number above 0: write 20000, 20k or 1e12"
    found = _measured(text, DECIMAL, what)
    if found != int(found) or found < 1:
        raise ArgumentTypeError(f"{text!r} is no {what}")
    if found >= 2**62:
        raise ArgumentTypeError(f"{text!r} is too large: below 2**62, which is about 4.6e18")
    return int(found)


def _measured(text: str, units: dict[str, float] | dict[str, int], what: str) -> float:
    found = _WRITTEN.fullmatch(text.strip())
    try:
        value = float(found[1].replace(",", "")) * units[found[2]] if found else math.inf
    except (KeyError, ValueError):
        value = math.inf
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is no {what}")
    return value

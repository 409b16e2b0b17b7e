"""splitmix64's mixing of 64-bit words: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.

One formula for everything that has the operators of unsigned words: NumPy's uint64 arrays, Python's integers, which are
cut to 64 bits, and values of functions in LLVM IR.
"""

from __future__ import annotations

from typing import Any

STEPS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST = 31
GOLDEN = 0x9E3779B97F4A7C15  # what is added before, so that 0 is no fixed point
WORD = (1 << 64) - 1


def finished(x: Any) -> Any:
    """The finaliser, a bijection: every bit depends on all bits of x, which is below 2**64."""
    for shift, factor in STEPS:
        x = (x ^ (x >> shift)) * factor
        x = x & WORD if isinstance(x, int) else x
    return x ^ (x >> LAST)


def word(number: int) -> int:
    """64 bits of any integer, that differ in about half their places from those of its neighbours.

    >>> hex(word(0))
    '0xe220a8397b1dcdaf'
    """
    made: int = finished((number + GOLDEN) & WORD)
    return made

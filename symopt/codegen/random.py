"""LLVM text of the primitives that are more than an instruction: random numbers and neighbours, in integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..expr import Node

if TYPE_CHECKING:
    from .emit import Emitter


class _Integers:
    """Arithmetic on integers of one width, one at a time or many lanes at once."""

    def __init__(self, emitter: Emitter, bits: int, lanes: int) -> None:
        self.emitter = emitter
        self.lanes = lanes
        self.scalar = f"i{bits}"
        self.type = self.scalar if lanes == 1 else f"<{lanes} x i{bits}>"

    def const(self, value: int) -> str:
        return (
            str(value) if self.lanes == 1 else "<" + ", ".join([f"{self.scalar} {value}"] * self.lanes) + ">"
        )

    def do(self, instruction: str, a: str, b: str | int) -> str:
        right = self.const(b) if isinstance(b, int) else b
        return self.emitter.let(f"{instruction} {self.type} {a}, {right}")

    def choose(self, condition: str, a: str | int, b: str | int) -> str:
        texts = [self.const(x) if isinstance(x, int) else x for x in (a, b)]
        bools = "i1" if self.lanes == 1 else f"<{self.lanes} x i1>"
        return self.emitter.let(f"select {bools} {condition}, {self.type} {texts[0]}, {self.type} {texts[1]}")

    def bits_of(self, name: str, type_: str) -> str:
        """The bits of a value of this width."""
        if type_ == self.scalar:
            return name
        wide = type_ if self.lanes == 1 else f"<{self.lanes} x {type_}>"
        return self.emitter.let(f"bitcast {wide} {name} to {self.type}")

    def hash(self, x: str) -> str:
        """prims._hash."""
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = self.do("mul", self.do("xor", x, self.do("lshr", x, shift)), factor)
        return self.do("xor", x, self.do("lshr", x, 16))


def noise(emitter: Emitter, node: Node, operands: list[str], lanes: int) -> str:
    """prims._noise."""
    index, seed, salt = operands
    words, long = _Integers(emitter, 32, lanes), _Integers(emitter, 64, lanes)
    low = emitter.let(f"trunc {long.type} {index} to {words.type}")
    high = emitter.let(f"trunc {long.type} {long.do('lshr', index, 32)} to {words.type}")
    seed_bits, salt_bits = (words.bits_of(x, "float") for x in (seed, salt))
    x = words.hash(words.do("xor", low, words.hash(seed_bits)))
    x = words.do("add", x, words.do("mul", high, 0x9E3779B9))
    x = words.hash(words.do("add", x, words.do("mul", salt_bits, 0x85EBCA6B)))
    floats = "float" if lanes == 1 else f"<{lanes} x float>"
    number = emitter.let(f"sitofp {words.type} {words.do('lshr', x, 8)} to {floats}")
    scale = "0x3E70000000000000"  # 2 ** -24
    factor = scale if lanes == 1 else "<" + ", ".join([f"float {scale}"] * lanes) + ">"
    return emitter.let(f"fmul {floats} {number}, {factor}")


def toward(emitter: Emitter, node: Node, operands: list[str], lanes: int) -> str:
    """prims._toward."""
    assert node.type is not None
    short = _Integers(emitter, 16, lanes)
    floats = "float" if lanes == 1 else f"<{lanes} x float>"
    zero = "0.0" if lanes == 1 else "zeroinitializer"
    stored = "half" if node.type.dtype == "float16" else "i16"
    bits = short.bits_of(operands[0], stored)
    up = emitter.let(f"fcmp ogt {floats} {operands[1]}, {zero}")
    positive = emitter.let(f"icmp sge {short.type} {bits}, {short.const(0)}")
    bools = "i1" if lanes == 1 else f"<{lanes} x i1>"
    differ = emitter.let(f"xor {bools} {up}, {positive}")
    moved = short.do("add", bits, short.choose(differ, -1, 1))
    is_zero = emitter.let(f"icmp eq {short.type} {short.do('and', bits, 0x7FFF)}, {short.const(0)}")
    result = short.choose(is_zero, short.choose(up, 1, -0x7FFF), moved)
    if stored == "i16":
        return result
    wide = "half" if lanes == 1 else f"<{lanes} x half>"
    return emitter.let(f"bitcast {short.type} {result} to {wide}")


Macro = Callable[["Emitter", Node, list[str], int], str]
MACROS: dict[str, Macro] = {"noise": noise, "toward": toward}

"""Values and variables of a function that is being written; `functions.py` says how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .functions import Function

Operand = Any  # a Value, or a Python number that becomes a constant of the other operand's type
FLOATS = {"half": 16, "float": 32, "double": 64}  # bits
_ON_FLOATS = {"add": "fadd", "sub": "fsub", "mul": "fmul"}


class Value:
    """A value in a function: an LLVM type and name; for the address of an array, its elements' type as well.

    Integers have no sign of their own: `>>` shifts zeros in, `to` a wider type adds zeros, comparisons see a sign.
    """

    __slots__ = ("element", "function", "name", "type")

    def __init__(self, function: Function, type_: str, name: str, element: str = "") -> None:
        self.function, self.type, self.name, self.element = function, type_, name, element

    def __add__(self, other: Operand) -> Value:
        return self._with("add", other)

    def __sub__(self, other: Operand) -> Value:
        return self._with("sub", other)

    def __mul__(self, other: Operand) -> Value:
        return self._with("mul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self._with("fdiv", other)

    def __and__(self, other: Operand) -> Value:
        return self._with("and", other)

    def __or__(self, other: Operand) -> Value:
        return self._with("or", other)

    def __xor__(self, other: Operand) -> Value:
        return self._with("xor", other)

    def __lshift__(self, other: Operand) -> Value:
        return self._with("shl", other)

    def __rshift__(self, other: Operand) -> Value:
        return self._with("lshr", other)

    def __lt__(self, other: Operand) -> Value:
        return self._compared("slt", other)

    def __gt__(self, other: Operand) -> Value:
        return self._compared("sgt", other)

    def __ge__(self, other: Operand) -> Value:
        return self._compared("sge", other)

    def equals(self, other: Operand) -> Value:
        """`==`, which Python needs for itself."""
        return self._compared("eq", other)

    def differs(self, other: Operand) -> Value:
        return self._compared("ne", other)

    def __getitem__(self, index: Operand) -> Value:
        return self.function.load(self.element, self.place(index))

    def __setitem__(self, index: Operand, value: Operand) -> None:
        self.function.store(self.function.value(value, self.element), self.place(index))

    def place(self, index: Operand) -> Value:
        """The address of an element, which is an array that begins there."""
        at = self.function.value(index, "i64")
        return self._let(f"getelementptr {self.element}, ptr {self.name}, i64 {at.name}", "ptr", self.element)

    def bytes_on(self, count: Operand, element: str = "") -> Value:
        """The address so many bytes further on, of an array of other elements perhaps."""
        at = self.function.value(count, "i64")
        return self._let(f"getelementptr i8, ptr {self.name}, i64 {at.name}", "ptr", element or self.element)

    def to(self, type_: str) -> Value:
        """The same number in a narrower or wider type; of an integer made narrower, the low bits."""
        if type_ == self.type:
            return self
        if self.type in FLOATS:
            word = "fpext" if FLOATS[type_] > FLOATS[self.type] else "fptrunc"
        else:
            word = "zext" if int(type_[1:]) > int(self.type[1:]) else "trunc"
        return self._let(f"{word} {self.type} {self.name} to {type_}", type_)

    def bits_as(self, type_: str) -> Value:
        """The same bits as another type."""
        return self._let(f"bitcast {self.type} {self.name} to {type_}", type_)

    def _with(self, word: str, other: Operand) -> Value:
        word = _ON_FLOATS.get(word, word) if lane(self.type) in FLOATS else word
        second = self.function.value(other, self.type)
        return self._let(f"{word} {self.type} {self.name}, {second.name}", self.type)

    def _compared(self, how: str, other: Operand) -> Value:
        second = self.function.value(other, self.type)
        result = self.type.replace(lane(self.type), "i1")
        return self._let(f"icmp {how} {self.type} {self.name}, {second.name}", result)

    def _let(self, text: str, type_: str, element: str = "") -> Value:
        return self.function.let(text, type_, element)


class Variable:
    """A local variable: `x.value` reads it, `x.value = ...` and `x.value += ...` write it."""

    __slots__ = ("_place",)

    def __init__(self, place: Value) -> None:
        self._place = place

    @property
    def value(self) -> Value:
        return self._place[0]

    @value.setter
    def value(self, value: Operand) -> None:
        self._place[0] = value


def lane(type_: str) -> str:
    """The type of a vector's elements; any other as it is."""
    return type_.split()[-1].rstrip(">")

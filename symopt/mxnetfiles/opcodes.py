"""A pickle's bytes cut into opcodes, each with its argument. Nothing is made of them here but strings and numbers.

Opcodes are those of protocols 0 to 5 that say what plain data, arrays and optimizers consist of. What is left out is
refused by name: persistent ids, the extension registry, classes of Python 2 (INST, OBJ), keyword arguments
(NEWOBJ_EX), buffers beside the file, sets, and POP and DUP, which no pickle without cycles has.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from ..errors import FormatError

INTEGERS = range(-(2**63), 2**64)  # others are refused: nothing that MXNet counts is larger
INTEGER = re.compile(rb"-?[0-9]{1,20}")
MOST_OPCODES = 10_000_000  # an array takes about ten


class Op(NamedTuple):
    """An opcode, its argument, and the byte where it stands."""

    name: str
    argument: Any
    at: int


def refuse(at: int, reason: str) -> NoReturn:
    raise FormatError(f"at byte {at}: {reason}")


class Reader:
    """The bytes of a pickle, read in order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            left = len(self.data) - self.at
            refuse(self.at, f"the pickle goes on for {count} bytes more, and the file ends after {left}")
        found = self.data[self.at : self.at + count]
        self.at += count
        return found

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            refuse(self.at, "a line has no end")
        return self.take(end + 1 - self.at)[:-1]


Decode = Callable[[Reader], Any]


def read_opcodes(data: bytes) -> Iterator[Op]:
    """The opcodes up to STOP, which must be the last byte. FormatError for others, and where an argument is cut."""
    reader = Reader(data)
    for _ in range(MOST_OPCODES):
        at = reader.at
        code = reader.take(1)
        if code not in OPCODES:
            refuse(at, f"the opcode {REFUSED.get(code, repr(code))} is refused: no pickle of arrays has it")
        name, decode = OPCODES[code]
        try:
            argument = decode(reader) if decode else None
        except FormatError:
            raise
        except ValueError as error:  # of text that is none, too
            refuse(at, f"the argument of {name} cannot be read: {error}")
        yield Op(name, argument, at)
        if name == "STOP":
            if reader.at < len(data):
                refuse(reader.at, f"the file goes on for {len(data) - reader.at} bytes after its pickle")
            return
    refuse(reader.at, f"the pickle has more than {MOST_OPCODES} opcodes")


def _uint(layout: str) -> Decode:
    return lambda reader: reader.number(layout)


def _counted(layout: str) -> Decode:
    def read(reader: Reader) -> bytes:
        count = reader.number(layout)
        if count < 0:
            raise ValueError(f"its length is {count}")
        return reader.take(count)

    return read


def _text(layout: str, encoding: str) -> Decode:
    read = _counted(layout)
    return lambda reader: read(reader).decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict")


def _integer(text: bytes) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no integer")
    return _of_64_bits(int(text))


def _of_64_bits(value: int) -> int:
    if value not in INTEGERS:
        raise ValueError("it is an integer of more than 64 bits")
    return value


def _int_line(reader: Reader) -> int | bool:
    text = reader.line()
    return text == b"01" if text in (b"00", b"01") else _integer(text)


def _long_line(reader: Reader) -> int:
    return _integer(reader.line().removesuffix(b"L"))


def _long(layout: str) -> Decode:
    read = _counted(layout)
    return lambda reader: _of_64_bits(int.from_bytes(read(reader)[:10], "little", signed=True))


def _float_line(reader: Reader) -> float:
    return float(reader.line()[:40])


def _string_line(reader: Reader) -> str:
    """A string of Python 2 as its repr: plain ones only, since MXNet's are."""
    text = reader.line()
    if len(text) < 2 or text[:1] not in b"'\"" or text[-1:] != text[:1] or b"\\" in text:
        raise ValueError(f"{text[:40]!r} is no plain string in quotes")
    return text[1:-1].decode("ascii")


def _unicode_line(reader: Reader) -> str:
    return reader.line().decode("raw-unicode-escape")


def _name_lines(reader: Reader) -> tuple[str, str]:
    return reader.line().decode(), reader.line().decode()


def _number_line(reader: Reader) -> int:
    return _integer(reader.line())


OPCODES: dict[bytes, tuple[str, Decode | None]] = {
    b"\x80": ("PROTO", _uint("<B")), b"\x95": ("FRAME", _uint("<Q")), b".": ("STOP", None), b"(": ("MARK", None),
    b"N": ("NONE", None), b"\x88": ("NEWTRUE", None), b"\x89": ("NEWFALSE", None),
    b"I": ("VALUE", _int_line), b"L": ("VALUE", _long_line), b"F": ("VALUE", _float_line),
    b"J": ("VALUE", _uint("<i")), b"K": ("VALUE", _uint("<B")), b"M": ("VALUE", _uint("<H")),
    b"\x8a": ("VALUE", _long("<B")), b"\x8b": ("VALUE", _long("<i")), b"G": ("VALUE", _uint(">d")),
    b"S": ("VALUE", _string_line), b"V": ("VALUE", _unicode_line),
    b"T": ("VALUE", _text("<i", "ascii")), b"U": ("VALUE", _text("<B", "ascii")),
    b"X": ("VALUE", _text("<I", "utf-8")), b"\x8c": ("VALUE", _text("<B", "utf-8")),
    b"\x8d": ("VALUE", _text("<Q", "utf-8")),
    b"B": ("VALUE", _counted("<I")), b"C": ("VALUE", _counted("<B")), b"\x8e": ("VALUE", _counted("<Q")),
    b"\x96": ("VALUE", _counted("<Q")),
    b")": ("EMPTY_TUPLE", None), b"t": ("TUPLE", None),
    b"\x85": ("TUPLE1", None), b"\x86": ("TUPLE2", None), b"\x87": ("TUPLE3", None),
    b"]": ("EMPTY_LIST", None), b"l": ("LIST", None), b"a": ("APPEND", None), b"e": ("APPENDS", None),
    b"}": ("EMPTY_DICT", None), b"d": ("DICT", None), b"s": ("SETITEM", None), b"u": ("SETITEMS", None),
    b"p": ("PUT", _number_line), b"q": ("PUT", _uint("<B")), b"r": ("PUT", _uint("<I")), b"\x94": ("MEMOIZE", None),
    b"g": ("GET", _number_line), b"h": ("GET", _uint("<B")), b"j": ("GET", _uint("<I")),
    b"c": ("GLOBAL", _name_lines), b"\x93": ("STACK_GLOBAL", None),
    b"R": ("REDUCE", None), b"\x81": ("NEWOBJ", None), b"b": ("BUILD", None),
}  # fmt: skip

REFUSED = {
    b"P": "PERSID", b"Q": "BINPERSID", b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"i": "INST", b"o": "OBJ",
    b"\x92": "NEWOBJ_EX", b"\x97": "NEXT_BUFFER", b"\x98": "READONLY_BUFFER", b"\x8f": "EMPTY_SET",
    b"\x90": "ADDITEMS", b"\x91": "FROZENSET", b"0": "POP", b"1": "POP_MARK", b"2": "DUP",
}  # fmt: skip

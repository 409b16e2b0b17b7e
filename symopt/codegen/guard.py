"""Tests that a kernel may be given: whether a value that it stores is finite.

A value is tested by its bits, with integers: the loop keeps the largest magnitude so far, or for 64 bits whether adding
one to an exponent ever carried into the sign. That costs two or three instructions for a vector of values and changes
none of them. 16-bit values are tested before they are rounded, by the least number that rounds to infinity: vectors
are then as wide as those beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..expr import Node
from ..prims import CAST, PAIR
from .emit import TYPES, Emitter
from .nodes import dtype_of

LOWEST = 0x0010_0000_0000_0000  # the lowest bit of a float64's exponent
EXPONENT = 0x7FF0_0000_0000_0000  # all of it


class Test(NamedTuple):
    """Numbers of `type` are not finite from `limit` on, when the sign is off. `name` tells tests apart."""

    name: str
    type: str
    limit: int


TESTS = {
    "float16": Test("float16", "i16", 0x7C00),
    "bfloat16": Test("bfloat16", "i16", 0x7F80),
    "float32": Test("float32", "i32", 0x7F80_0000),
    "float64": Test("float64", "i64", 0),  # see _mark_of
}
# Of a float32 that is rounded to nearest even: halfway between the largest number and the next, which is infinity.
ROUNDED = {
    "float16": Test("to float16", "i32", 0x477F_F000),
    "bfloat16": Test("to bfloat16", "i32", 0x7F7F_8000),
}


class Guard(NamedTuple):
    """Numbers of a kernel's buffers. `watched`: what is stored there is tested; `dropped`: tested and not stored."""

    watched: tuple[int, ...]
    dropped: tuple[int, ...] = ()


Marks = dict[Test, str]  # the name of an integer that tells whether some value was not finite


def _tested(root: Node) -> list[tuple[Node, Test]]:
    """What is tested of a stored value: of a complex one both parts, of a rounded one what it was before."""
    found = []
    for x in root.inputs if root.op == PAIR else (root,):
        dtype = dtype_of(x)
        if dtype in ROUNDED and x.op == CAST and dtype_of(x.inputs[0]) == "float32":
            found.append((x.inputs[0], ROUNDED[dtype]))
        else:
            found.append((x, TESTS[dtype]))
    return found


def tests_of(roots: Iterable[Node]) -> list[Test]:
    """The tests of what is stored, each once."""
    return list(dict.fromkeys(test for root in roots for _, test in _tested(root)))


def mark(emitter: Emitter, roots: Iterable[Node], marks: Marks) -> Marks:
    """The marks after some more values, which were emitted before."""
    marks = dict(marks)
    fresh: Marks = {}
    for root in roots:
        for x, test in _tested(root):
            each = _mark_of(emitter, emitter.node(x), TYPES[dtype_of(x)], test)
            fresh[test] = _join(emitter, fresh[test], each, test) if test in fresh else each
    for test, name in fresh.items():  # last, so that the loop waits for no more than one instruction
        marks[test] = _join(emitter, marks[test], name, test) if test in marks else name
    return marks


def is_bad(emitter: Emitter, name: str, dtype: str) -> str:
    """Whether one value, by its name, is not finite."""
    test = TESTS[dtype]
    return _is_bad(emitter, _mark_of(emitter, name, TYPES[dtype], test), test)


def _mark_of(emitter: Emitter, name: str, type_: str, test: Test) -> str:
    if type_ != test.type:
        name = emitter.let(f"bitcast {type_} {name} to {test.type}")
    if test.type == "i64":
        exponent = emitter.let(f"and i64 {name}, {EXPONENT}")
        return emitter.let(f"add i64 {exponent}, {LOWEST}")
    return emitter.let(f"and {test.type} {name}, {0x7FFF if test.type == 'i16' else 0x7FFF_FFFF}")


def _join(emitter: Emitter, a: str, b: str, test: Test) -> str:
    if test.type == "i64":
        return emitter.let(f"or i64 {a}, {b}")
    emitter.intrinsics.add(f"declare {test.type} @llvm.umax.{test.type}({test.type}, {test.type})")
    return emitter.let(f"call {test.type} @llvm.umax.{test.type}({test.type} {a}, {test.type} {b})")


# LLVM takes several vectors at once where something is accumulated, and what is left of a row one by one. Told not to,
# it makes the loop that it makes without a guard.
_LOOPS = ("row", "row_summed", "row_absent")


def once(name: str) -> str:
    """What the branch at the end of the loop of a row function says of it."""
    return f", !llvm.loop !{2 * _LOOPS.index(name)}"


def metadata(names: Iterable[str]) -> str:
    """What the module says of those loops."""
    lines = []
    for k in sorted(map(_LOOPS.index, names)):
        lines.append(f"!{2 * k} = distinct !{{!{2 * k}, !{2 * k + 1}}}")
        lines.append(f'!{2 * k + 1} = !{{!"llvm.loop.interleave.count", i32 1}}')
    return "\n".join(lines)


def remember(emitter: Emitter, marks: Marks, place: str) -> None:
    """Set the byte at `place`, which one thread has to itself, if some value was not finite. No branch: one that waits
    for what a row reads would hold up the rows after it."""
    found = emitter.let(f"zext i1 {_any(emitter, marks)} to i8")
    before = emitter.let(f"load i8, ptr {place}")
    emitter.put(f"store i8 {emitter.let(f'or i8 {before}, {found}')}, ptr {place}")


def _any(emitter: Emitter, marks: Marks) -> str:
    """Whether some mark is of a value that was not finite."""
    found = [_is_bad(emitter, name, test) for test, name in marks.items()]
    while len(found) > 1:
        found.append(emitter.let(f"or i1 {found.pop(0)}, {found.pop(0)}"))
    return found[0]


def report(emitter: Emitter, is_bad: str, flag: str, tag: str) -> None:
    """Set the byte at `flag`, which many threads may set, if a condition holds. Begins a new block, `tag`.clean."""
    emitter.put(f"br i1 {is_bad}, label %{tag}.flagged, label %{tag}.clean")
    emitter.label(f"{tag}.flagged")
    emitter.put(f"store atomic i8 1, ptr {flag} monotonic, align 1")
    emitter.put(f"br label %{tag}.clean")
    emitter.label(f"{tag}.clean")


def _is_bad(emitter: Emitter, name: str, test: Test) -> str:
    if test.type == "i64":
        return emitter.let(f"icmp slt i64 {name}, 0")
    return emitter.let(f"icmp uge {test.type} {name}, {test.limit}")

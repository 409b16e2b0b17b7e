"""Tests that a kernel may be given: whether a value that it stores is finite.

A value is tested as it is stored, by the bits of its exponent, with integers: the loop keeps the largest exponent so
far, or for 64 bits whether adding one to an exponent ever carried into the sign. That costs two or three instructions
for a vector of values and changes none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..expr import Node
from ..prims import PAIR
from .emit import TYPES, Emitter
from .nodes import SIZES, dtype_of

# By bytes: where the exponent of a number is.
EXPONENTS = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F80_0000, "float64": 0x7FF0_0000_0000_0000}
LOWEST = 0x0010_0000_0000_0000  # the lowest bit of a float64's exponent


class Guard(NamedTuple):
    """Numbers of a kernel's buffers. `watched`: what is stored there is tested; `dropped`: tested and not stored."""

    watched: tuple[int, ...]
    dropped: tuple[int, ...] = ()


Marks = dict[
    str, str
]  # by dtype: the name of an integer that tells whether some value of that dtype was not finite


def stored_parts(root: Node) -> tuple[Node, ...]:
    """What is stored of a root: a complex number as both its parts."""
    return root.inputs if root.op == PAIR else (root,)


def dtypes_of(roots: Iterable[Node]) -> list[str]:
    """The dtypes of what is stored, each once."""
    return list(dict.fromkeys(dtype_of(x) for root in roots for x in stored_parts(root)))


def integer(dtype: str) -> str:
    return f"i{8 * SIZES[dtype]}"


def mark(emitter: Emitter, roots: Iterable[Node], marks: Marks) -> Marks:
    """The marks after some more values, which were emitted before."""
    marks = dict(marks)
    fresh: Marks = {}
    for root in roots:
        for x in stored_parts(root):
            dtype = dtype_of(x)
            each = _mark_of(emitter, emitter.node(x), dtype)
            fresh[dtype] = _join(emitter, fresh[dtype], each, dtype) if dtype in fresh else each
    for dtype, name in fresh.items():  # last, so that the loop waits for no more than one instruction
        marks[dtype] = _join(emitter, marks[dtype], name, dtype) if dtype in marks else name
    return marks


def is_bad(emitter: Emitter, name: str, dtype: str) -> str:
    """Whether one value, by its name, is not finite."""
    return _is_bad(emitter, _mark_of(emitter, name, dtype), dtype)


def _mark_of(emitter: Emitter, name: str, dtype: str) -> str:
    type_ = integer(dtype)
    if TYPES[dtype] != type_:
        name = emitter.let(f"bitcast {TYPES[dtype]} {name} to {type_}")
    exponent = emitter.let(f"and {type_} {name}, {EXPONENTS[dtype]}")
    return emitter.let(f"add {type_} {exponent}, {LOWEST}") if dtype == "float64" else exponent


def _join(emitter: Emitter, a: str, b: str, dtype: str) -> str:
    type_ = integer(dtype)
    if dtype == "float64":
        return emitter.let(f"or {type_} {a}, {b}")
    emitter.intrinsics.add(f"declare {type_} @llvm.umax.{type_}({type_}, {type_})")
    return emitter.let(f"call {type_} @llvm.umax.{type_}({type_} {a}, {type_} {b})")


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
    found = [_is_bad(emitter, name, dtype) for dtype, name in marks.items()]
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


def _is_bad(emitter: Emitter, name: str, dtype: str) -> str:
    if dtype == "float64":
        return emitter.let(f"icmp slt i64 {name}, 0")
    return emitter.let(f"icmp eq {integer(dtype)} {name}, {EXPONENTS[dtype]}")

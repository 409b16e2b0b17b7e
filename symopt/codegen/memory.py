"""Values read from arrays and written to them: one at a time, or 64 neighbours at once.

The parts of a complex number lie side by side: two loads, two stores; of 64 neighbours, every other number of 128.
"""

from __future__ import annotations

from ..canonical import LANES
from ..expr import Node
from ..prims import PAIR
from .emit import TYPES, Emitter, vector
from .nodes import SIZES, dtype_of

_FLAT = {"half": "f16", "i16": "i16", "float": "f32", "double": "f64"}


def load(emitter: Emitter, node: Node, base: str, index: str = "") -> str:
    """Element `index` of the array at `base`; without one, what `base` itself points at."""
    dtype = dtype_of(node)
    pointer = _place(emitter, base, index, dtype, node.attrs.get("part"))
    return emitter.let(f"load {TYPES[dtype]}, ptr {pointer}, align {SIZES[dtype]}")


def store(emitter: Emitter, root: Node, base: str, index: str = "") -> None:
    """Write a value that was emitted before, or both parts of one."""
    parts = enumerate(root.inputs) if root.op == PAIR else ((None, root),)
    for part, x in parts:
        dtype = dtype_of(x)
        name, pointer = emitter.node(x), _place(emitter, base, index, dtype, part)
        emitter.put(f"store {TYPES[dtype]} {name}, ptr {pointer}, align {SIZES[dtype]}")


def load_lanes(emitter: Emitter, node: Node, base: str, index: str, mask: str | None) -> str:
    """64 elements from `index` on; only those in the mask, if there is one, are touched."""
    dtype, part = dtype_of(node), node.attrs.get("part")
    if part is None:
        return _run(emitter, dtype, emitter.pointer(base, index, dtype), LANES, mask)
    pointer = _place(emitter, base, index, dtype, 0)
    both = _run(emitter, dtype, pointer, 2 * LANES, mask and _twice(emitter, mask))
    return _pick(emitter, both, vector(TYPES[dtype], 2 * LANES), range(part, 2 * LANES, 2))


def _place(emitter: Emitter, base: str, index: str, dtype: str, part: int | None) -> str:
    if part is not None:
        type_ = f"{{ {TYPES[dtype]}, {TYPES[dtype]} }}"
        return emitter.let(f"getelementptr {type_}, ptr {base}, i64 {index or 0}, i32 {part}", "p")
    return emitter.pointer(base, index, dtype) if index else base


def _run(emitter: Emitter, dtype: str, pointer: str, count: int, mask: str | None) -> str:
    wide, size = vector(TYPES[dtype], count), SIZES[dtype]
    if mask is None:
        return emitter.let(f"load {wide}, ptr {pointer}, align {size}")
    function, bools = f"@llvm.masked.load.v{count}{_FLAT[TYPES[dtype]]}.p0", f"<{count} x i1>"
    emitter.intrinsics.add(f"declare {wide} {function}(ptr, i32, {bools}, {wide})")
    return emitter.let(
        f"call {wide} {function}(ptr {pointer}, i32 {size}, {bools} {mask}, {wide} zeroinitializer)"
    )


def _twice(emitter: Emitter, mask: str) -> str:
    """A mask of 64 complex numbers as one of their parts."""
    return _pick(emitter, mask, f"<{LANES} x i1>", [k // 2 for k in range(2 * LANES)])


def _pick(emitter: Emitter, name: str, type_: str, lanes: range | list[int]) -> str:
    places = ", ".join(f"i32 {k}" for k in lanes)
    return emitter.let(f"shufflevector {type_} {name}, {type_} poison, <{len(lanes)} x i32> <{places}>")

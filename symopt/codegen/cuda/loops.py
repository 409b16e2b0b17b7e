"""Loops over the elements of a run: vectors of 16 bytes while they fit, then the rest one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...expr import Node
from ...passes.ir import Kernel
from ...prims import REDUCTIONS
from ..guard import Guard
from ..nodes import dtype_of
from .emit import TYPES, stored_type
from .piece import Piece, buffer_name, width_of

FOLDS = {"add": "Add", "max": "Max", "min": "Min"}


class Run(NamedTuple):
    """Which elements, in C: those from `j` to `stop` by `step`; element 0 is number `origin` in the tensor."""

    stop: str
    step: str
    origin: str


def store_loop(piece: Piece, targets: Sequence[int], run: Run, guard: Guard | None = None) -> list[str]:
    """Write what a piece makes of each element into the buffers `targets`, and test it."""
    kernel, width = piece.kernel, width_of(piece.kernel)
    made = [f"o_{buffer_name(kernel, b)}" for b in targets]
    types = [stored_type(root) for root in piece.roots]
    declare = [f"vec<{t}, {width}> {o};" for t, o in zip(types, made, strict=True)]
    each = [piece.call(f"{run.origin} + j + k", "j + k", [f"{o}.x[k]" for o in made])]
    stored = [(buffer_name(kernel, b), o) for b, o in zip(targets, made, strict=True) if kept(guard, b)]
    whole = [f"store<{width}>({p} + j, {o});" for p, o in stored]
    some = [f"store_some<{width}>({p} + j, {o}, n);" for p, o in stored]
    for b, o in zip(targets, made, strict=True):
        for lines, n in ((whole, str(width)), (some, "n")):
            lines += watch(kernel, guard, b, f"watch<{{}}>({o}, {n}, {run.origin} + j")
    return _loop(piece, run, (declare, each, whole), (declare, each, some))


TESTS = {
    "float16": "Half",
    "bfloat16": "Bfloat",
    "float32": "Single",
    "float64": "Double",
    "complex64": "Single",
    "complex128": "Double",
}


def kept(guard: Guard | None, b: int) -> bool:
    """Whether what is made for a buffer is stored."""
    return guard is None or b not in guard.dropped


def watch(kernel: Kernel, guard: Guard | None, b: int, call: str) -> list[str]:
    """The statement that tests what is stored in a buffer, if it is tested: `call` without its last arguments."""
    if guard is None or b not in guard.watched:
        return []
    test = TESTS[kernel.buffers[b].dtype]
    return [f"{call.format(test)}, gate, slots + {guard.watched.index(b)});"]


def fold_loop(piece: Piece, reductions: Sequence[Node], lanes: Sequence[str], run: Run) -> list[str]:
    """Fold what a piece makes of each element into the lanes of each reduction."""
    types = [TYPES[dtype_of(node)] for node in reductions]
    declare = [f"{t} f{i};" for i, t in enumerate(types)]
    each = [*declare, piece.call(f"{run.origin} + j + k", "j + k", [f"f{i}" for i in range(len(types))])]
    each += [
        f"{lane}[k] = {FOLDS[REDUCTIONS[node.op].combine]}::of({lane}[k], f{i});"
        for i, (node, lane) in enumerate(zip(reductions, lanes, strict=True))
    ]
    return ["#pragma unroll 4", *_loop(piece, run, ([], each, []), ([], ["if (k >= n) break;", *each], []))]


Parts = tuple[list[str], list[str], list[str]]  # before the elements of a vector, for each, after


def _loop(piece: Piece, run: Run, whole: Parts, rest: Parts) -> list[str]:
    width = width_of(piece.kernel)
    count = f"const int n = {run.stop} - j < {width} ? (int)({run.stop} - j) : {width};"
    return [
        f"for (; aligned && j + {width} <= {run.stop}; j += {run.step}) {{",
        *indented([*_reads(piece, whole=True), *_elements(whole, width)]),
        "}",
        f"for (; j < {run.stop}; j += {run.step}) {{",
        *indented([count, *_reads(piece, whole=False), *_elements(rest, width)]),
        "}",
    ]


def _elements(parts: Parts, width: int) -> list[str]:
    before, each, after = parts
    return [*before, "#pragma unroll", f"for (int k = 0; k < {width}; k++) {{", *indented(each), "}", *after]


def _reads(piece: Piece, whole: bool) -> list[str]:
    kernel, width = piece.kernel, width_of(piece.kernel)
    lines = []
    for b in sorted(
        piece.arrays, key=lambda b: b == kernel.sparse
    ):  # what may need a sum waits, so it comes last
        name = buffer_name(kernel, b)
        if b == kernel.sparse:
            read = (
                f"gradient({name}, order, at, end, cols, j, {width if whole else 'n'}, {str(whole).lower()})"
            )
        else:
            read = f"load<{width}>({name} + j)" if whole else f"load_some<{width}>({name} + j, n)"
        lines.append(f"const vec<{piece.value_type(b)}, {width}> v_{name} = {read};")
    return lines


def indented(lines: Sequence[str]) -> list[str]:
    return [line if line.startswith("#") else f"  {line}" for line in lines]

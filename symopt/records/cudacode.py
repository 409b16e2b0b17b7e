"""A row plan as one CUDA kernel: a block of threads takes some rows, and runs every kernel of the graph on them.

What one kernel leaves for the next is in the cache then, and a step is one launch, which is made or is not. Rows lie
column by column (capacity, width), and are found by their slots: nothing is gathered before or scattered after.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ..build import Builder, kernel_inputs
from ..canonical import BLOCK, LANES
from ..codegen.cuda.emit import TYPES, Scope
from ..codegen.cuda.layout import THREADS
from ..codegen.cuda.loops import indented
from ..codegen.cuda.piece import buffer_name, width_of
from ..codegen.cuda.rows import Rows
from ..codegen.cuda.template import Stores
from ..codegen.cuda.text import prelude
from ..codegen.nodes import SIZES, dtype_of
from ..dtypes import COMPUTE, component
from ..expr import Extent, Node, toposort
from ..passes.calls import size_of
from ..passes.ir import DENSE, Buffer, Kernel, Value
from .plan import Field, RowPlan

# A job is an array of int64: for each section and buffer the address, how many elements it is from row to row, and
# whether rows are slots; then whether every row of all of them begins at a multiple of 16 bytes. After the sections the
# slots (n,), and, if the kernel is told where, for each row the row of its numbers, and the number of its first
# element.
PER_BUFFER = 3
HEAD = """extern "C" __global__ void __launch_bounds__(THREADS, 1)
run(const i64* const job, const i64 n, const i64 per, const i64 slots_at, const i64 which_at, const i64 firsts_at,
    const i64 numbers_at) {"""


class Scratch(NamedTuple):
    """A value that is no row's for longer than the graph runs: buffer `number` of the program."""

    number: int


Home = str | Field | Scratch  # a column, a part of a batch array, or scratch


class Section(NamedTuple):
    """One kernel of the graph, on `blocks` rows of `cols` elements in each row of the table. `homes`: where the value
    of each buffer lies, and how many elements further on. `numbers`: how many the sections before have."""

    kernel: Kernel
    homes: tuple[tuple[Home, int], ...]
    blocks: int
    cols: int
    numbers: int

    @property
    def words(self) -> int:
        """Words of the job that it has."""
        return PER_BUFFER * len(self.kernel.buffers) + 1

    @property
    def shift(self) -> int:
        """log2 of the threads of a row: as many as hold the 64 lanes of a sum, fewer for short rows, the whole block of
        threads where a row has several blocks of elements."""
        if self.cols > BLOCK:
            return THREADS.bit_length() - 1
        width = width_of(self.kernel)
        vectors = min(max(-(-self.cols // width), 1), LANES // width)
        return (vectors - 1).bit_length()

    @property
    def step(self) -> int:
        """Rows of the table that a block of threads takes at once."""
        return max((THREADS >> self.shift) // self.blocks, 1)


def sections(plan: RowPlan) -> list[Section]:
    """What is done to a row: every kernel, then what is moved to where it belongs."""
    homes = _homes(plan)

    def home(value: Value) -> tuple[Home, int]:
        whole, index = value.base if value.base else (value, 0)
        return homes[plan.program.storage[id(whole)]], index

    found, numbers = [], 0
    for launch in plan.program.launches:
        kernel = launch.kernel
        for instance in launch.instances:
            size = size_of(instance.domain)
            blocks = instance.domain[0] if kernel.rows and instance.domain else 1
            cols = size // blocks if blocks else 0
            found.append(Section(kernel, tuple(map(home, instance.values)), blocks, cols, numbers))
            numbers += len(kernel.scalars)
    for value, name in plan.program.copies:
        found.append(_moving(home(value), (homes[name], 0), value, numbers))
    for target, head in zip(plan.outputs, plan.program.lowered.heads, strict=False):
        if target is not None and head.variable is not None:  # nothing to compute
            found.append(_moving(home(head), (target, 0), head, numbers))
    return found


def _homes(plan: RowPlan) -> dict[str | int, Home]:
    homes: dict[str | int, Home] = {k: Scratch(k) for k in range(len(plan.program.buffers))}
    homes |= {name: bound.place for name, bound in plan.bound.items()}
    for target, head in zip(plan.outputs, plan.program.lowered.heads, strict=False):
        key = plan.program.storage.get(id(head))
        if target is not None and isinstance(key, int):
            homes[key] = target
    return homes


def _moving(source: tuple[Home, int], target: tuple[Home, int], value: Value, numbers: int) -> Section:
    return Section(_move(value.dtype), (source, target), 1, size_of(value.shape), numbers)


@cache
def _move(dtype: str) -> Kernel:
    """A kernel that stores what it loads."""
    root = Builder(COMPUTE[component(dtype)]).load(dtype, Extent.ELEMENT, index=0)
    ends = (("source", True, False), ("target", False, True))
    buffers = tuple(Buffer(name, dtype, Extent.ELEMENT, read, write) for name, read, write in ends)
    return Kernel("move", DENSE, False, buffers, ((root, 1),), (), ())


def is_indexed(kernel: Kernel) -> bool:
    """Whether a kernel asks for the numbers of elements: they are made of the row's id."""
    return any(node.op == "index" for node in toposort([root for root, _ in kernel.stores], kernel_inputs))


def cuda_rows_text(found: Sequence[Section]) -> str:
    """The text of the kernel `run`."""
    kernels = list({id(s.kernel): s.kernel for s in found}.values())
    names = {id(kernel): f"kernel{k}" for k, kernel in enumerate(kernels)}
    n_words = sum(len(s.kernel.scalars) for s in found)
    texts = [prelude(), f"#define WORDS {n_words}", CHUNK]
    texts += [f"namespace {names[id(k)]} {{\n\n{_RecordRows(k).text()}\n\n}}" for k in kernels]
    calls, at = [], 0
    for section in found:
        shape = f"{section.cols}, {section.blocks}, {section.shift}, {section.numbers}"
        calls += [f"{names[id(section.kernel)]}::section(chunk, job + {at}, {shape});", "__syncthreads();"]
        at += section.words
    body = [
        "for (i64 start = (i64)blockIdx.x * per; start < n; start += (i64)gridDim.x * per) {",
        "  const Chunk chunk = {start, n - start < per ? n : start + per, job + slots_at,",
        "                       which_at ? job + which_at : 0, firsts_at ? job + firsts_at : 0,",
        "                       (const u64*)job + numbers_at};",
        *indented(calls[:-1]),
        "}",
    ]
    return "\n".join([*texts, "\n".join([HEAD, *indented(body), "}"])]) + "\n"


CHUNK = """// Rows from `start` to `stop`: their slots, below 0 for what is no row; for each the row of numbers that it
// has, of WORDS numbers, or null for the first; and the number of its first element.
struct Chunk { i64 start; i64 stop; const i64* slots; const i64* which; const i64* firsts; const u64* numbers; };
"""


class _RecordRows(Rows):
    """The function `section` of a kernel: rows of the table, or each of `blocks` parts of them, by teams of threads."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.indexed = is_indexed(kernel)

    def text(self) -> str:
        lines = [*self.teams(), *self._arrays(), *self.each_row(self._one_row())]
        head = "INLINE void section(const Chunk& c, const i64* const d, const i64 cols, const int blocks,"
        head += "\n                    const int shift, const int numbers_at) {"
        return "\n\n".join([*self.functions(), "\n".join([head, *indented([*self.shared, *lines]), "}"])])

    def _one_row(self) -> list[str]:
        return [*self._numbers(), *self.row(self.changing(self.kernel.stores), "")]

    def teams(self) -> list[str]:
        lines = [line.replace("d.shift", "shift") for line in super().teams()]
        return [*lines, f"const bool aligned = d[{PER_BUFFER * len(self.kernel.buffers)}] != 0;"]

    def _arrays(self) -> list[str]:
        """Of each buffer the address, the elements from row to row, and whether slots tell rows."""
        return [
            line
            for b in range(len(self.kernel.buffers))
            for line in (
                f"const u64 p{b} = (u64)d[{PER_BUFFER * b}];",
                f"const i64 step{b} = d[{PER_BUFFER * b + 1}];",
                f"const bool listed{b} = d[{PER_BUFFER * b + 2}] != 0;",
            )
        ]

    def each_row(self, body: list[str]) -> list[str]:
        end = "c.stop * blocks"
        loop = f"for (i64 r = c.start * blocks + (threadIdx.x >> shift); r < {end}; r += THREADS >> shift) {{"
        return [loop, *indented([*self.position(), *body]), "}"]

    def position(self) -> list[str]:
        first = "load_one(c.firsts + entry)" if self.indexed else "0"
        return [
            "const i64 entry = r / blocks, at_part = r % blocks;",
            "const i64 slot = load_one(c.slots + entry);",
            "if (slot < 0) continue;",
            f"const i64 at_element = {first} + at_part * cols;",
        ]

    def _numbers(self) -> list[str]:
        if not self.kernel.scalars:
            return []
        lines = [
            "const u64* const numbers = c.numbers + (c.which ? load_one(c.which + entry) : 0) * WORDS + numbers_at;"
        ]
        for k, scalar in enumerate(self.kernel.scalars):
            bits = f"load_one(numbers + {k})"
            value = f"float_of((u32){bits})" if dtype_of(scalar) == "float32" else f"double_of({bits})"
            lines.append(f"const {TYPES[dtype_of(scalar)]} s{k} = {value};")
            self.scope.names[id(scalar)] = f"s{k}"
        return lines

    def shallow(self, scope: Scope, nodes: Sequence[Node], row: str) -> None:
        for node in nodes:
            if node.op == "index":  # of a row, that of its first element
                scope.names[id(node)] = "at_element"
        super().shallow(scope, nodes, row)

    def pointers(
        self, order: Sequence[Node], stores: Stores, level: Extent, offsets: dict[Extent, str]
    ) -> list[str]:
        if level == Extent.TENSOR:  # a row's own, like all others
            return []
        used = {n.attrs["index"] for n in order if n.op == "load"} | {b for _, b in stores}
        lines = []
        for b in sorted(used):
            buffer = self.kernel.buffers[b]
            type_ = TYPES[buffer.dtype] if buffer.write else f"const {TYPES[buffer.dtype]}"
            more = {Extent.ELEMENT: " + at_part * cols", Extent.ROW: " + at_part"}.get(buffer.extent, "")
            at = f"(listed{b} ? slot : entry) * step{b}{more}"
            lines.append(f"{type_}* const {buffer_name(self.kernel, b)} = ({type_}*)p{b} + {at};")
        return lines


def aligned(section: Section, addresses: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether each row of all arrays that are read or written several elements at a time begins at 16 bytes."""
    for b, buffer in enumerate(section.kernel.buffers):
        if buffer.extent == Extent.ELEMENT and (buffer.read or buffer.write):
            size = SIZES[buffer.dtype]
            parts = section.cols * size if section.blocks > 1 else 0
            if np.bitwise_or.reduce([addresses[b], steps[b] * size, parts]) % 16:
                return False
    return True

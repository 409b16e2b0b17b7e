"""One launch of a compiled kernel: its tables, in the layout of codegen.driver, and the call."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .. import config
from ..canonical import BLOCK
from ..codegen.driver import COLS, JOB_WORDS, ORDER, ROWS, SEGMENTS, STARTS, WIDTH
from ..codegen.guard import Guard
from ..codegen.llvm import module_text
from ..codegen.nodes import SIZES, dtype_of
from ..dtypes import COMPLEX
from ..expr import Extent
from ..overlap import address, addresses
from ..passes.calls import size_of
from ..passes.ir import LISTED, REDUCE, STANDARD, Kernel, Launch, Program
from ..passes.traffic import NOTHING, Listed, bytes_moved
from ..segments import disordered, segments
from ..sparse import check_all
from .base import Array, Memory, Numbers
from .jit import Compiled, compile_ir
from .pool import run_shared
from .scalars import Scalars

CHUNK = 16384  # elements: large enough to hide a call, small enough to balance two threads
# A thread that gets fewer bytes costs more to wake than it saves; rows all over a table pay sooner. Measured: two
# threads break even at about 7 MB, for rows at about 2 MB.
SHARED_BYTES = {LISTED: 1 << 20}
SHARED_BYTES_DENSE = 1 << 22
_MODULES: dict[tuple[int, Guard | None], tuple[Kernel, str]] = {}


def module_of(kernel: Kernel, guard: Guard | None = None) -> str:
    """The LLVM text of a kernel with what it tests, made once."""
    key = (id(kernel), guard)
    found = _MODULES.get(key)
    if found is None:
        found = _MODULES[key] = (kernel, module_text(kernel, guard))
    return found[1]


class NativeLaunch:
    """The tables of one launch, in the layout of codegen.llvm. `guard`: what it tests; `flags`: the address of a byte
    for each tensor, set if what was stored there is not finite."""

    def __init__(
        self, launch: Launch, program: Program, memory: Memory, guard: Guard | None = None, flags: int = 0
    ) -> None:
        self.launch = launch
        self.kernel = launch.kernel
        self.program = program
        self.memory = memory
        self.sparse = self.kernel.mode in (LISTED, STANDARD)
        self.code: Compiled = compile_ir(module_of(self.kernel, guard))
        count, n_buffers = len(launch.instances), len(self.kernel.buffers)
        self.table = np.zeros((count, WIDTH + n_buffers), np.int64)
        self.scalars = np.zeros((count, max(len(self.kernel.scalars), 1)), np.float64)
        self.keep: list[Any] = []  # arrays the table points at
        self.tables: list[Array] = []  # those that the table points at for this step
        self._fill()
        self.units = self._units()
        self.job = np.zeros(JOB_WORDS, np.int64)
        self.address = address(self.job)
        self._counter = ctypes.c_int64.from_address(self.address)
        self._set_chunks()
        self.job[3:6] = address(self.table), address(self.scalars), count
        self.job[7] = flags
        self._bytes_of_none = self._bytes(NOTHING)
        self._bytes_of_row = self._bytes(Listed(1, 1)) - self._bytes_of_none
        self.bytes = int(self._bytes_of_none.sum())
        self._gradients = [
            str(i.values[self.kernel.sparse].variable) for i in launch.instances if self.sparse
        ]
        self.columns = Scalars(launch, memory)
        narrow = self.scalars.view(np.float32)
        self._targets = [  # where each number of the kernel goes, for every tensor
            narrow[:, 2 * k] if dtype_of(node) == "float32" else self.scalars[:, k]
            for k, node in enumerate(self.kernel.scalars)
        ]
        self._scratch: list[Array] = []
        self._scratch_at = 0

    # ---- tables

    def _fill(self) -> None:
        arrays, storage, table = self.memory.arrays, self.program.storage, self.table
        reduce = self.kernel.mode == REDUCE
        results: list[int] = []
        for t, instance in enumerate(self.launch.instances):
            size = size_of(instance.domain)
            n_rows = instance.domain[0] if instance.domain else 1
            table[t, COLS] = size if reduce else size // n_rows if n_rows else 0
            row: list[int] = []
            for b, value in enumerate(instance.values):
                if b == self.kernel.sparse:
                    row.append(0)
                    continue
                whole, index = value.base if value.base else (value, 0)
                at = address(arrays[storage[id(whole)]]) + index * SIZES[value.dtype]
                buffer = self.kernel.buffers[b]
                if reduce and buffer.write and buffer.extent == Extent.TENSOR:
                    results.append(at)
                    partial = np.zeros(max(-(-size // BLOCK), 1), value.dtype)
                    self.keep.append(partial)
                    at = address(partial)
                row.append(at)
            table[t, WIDTH:] = row
        self.results = np.array(results or [0], np.int64)

    def point(self, t: int | Array, b: int, at: int | Array) -> None:
        buffer = self.kernel.buffers[b]
        if self.kernel.mode == REDUCE and buffer.write and buffer.extent == Extent.TENSOR:
            sums = [k for k, x in enumerate(self.kernel.buffers) if x.write and x.extent == Extent.TENSOR]
            self.results[t * len(sums) + sums.index(b)] = at
        else:
            self.table[t, WIDTH + b] = at

    def _units(self) -> Array:
        """How many rows, blocks or elements each tensor has: what chunks are counted in."""
        found = []
        for instance in self.launch.instances:
            size = size_of(instance.domain)
            if self.kernel.mode == REDUCE:
                found.append(-(-size // BLOCK))
            elif self.kernel.rows:
                found.append(instance.domain[0] if instance.domain else 1)
            else:
                found.append(size)
        return np.array(found, np.int64)

    def _set_chunks(self) -> None:
        """Cut every tensor in chunks of about CHUNK elements."""
        cols = self.table[:, COLS]
        if self.kernel.mode == REDUCE:
            per = np.full(len(cols), CHUNK // BLOCK, np.int64)
        elif self.kernel.rows:
            per = np.maximum(CHUNK // np.maximum(cols, 1), 1)
        else:
            per = np.full(len(cols), CHUNK, np.int64)
        counts = -(-self.units // per)
        tensor = np.repeat(np.arange(len(cols)), counts)
        nth = np.arange(len(tensor)) - np.repeat(np.cumsum(counts) - counts, counts)
        start = nth * per[tensor]
        self.chunks = np.stack([tensor, start, np.minimum(start + per[tensor], self.units[tensor])], 1)
        self.chunks = np.ascontiguousarray(self.chunks, np.int64)
        self.job[1:3] = len(self.chunks), address(self.chunks)
        self.job[6] = address(self.results)

    def _bytes(self, listed: Listed) -> Array:
        """What each tensor moves, if its gradient lists so much."""
        found = (bytes_moved(self.kernel, i.domain, listed) for i in self.launch.instances)
        return np.fromiter(found, np.int64, len(self.launch.instances))

    # ---- each step

    def take_sparse(self) -> None:
        """Read the indices of every sparse gradient: check them, sort and group them if they need it."""
        arrays = [self.memory.sparse[name] for name in self._gradients]
        indices, data = [a.indices for a in arrays], [a.data for a in arrays]
        every, counts = check_all(self._gradients, arrays)
        table = self.table
        table[:, SEGMENTS], table[:, ROWS] = counts, addresses(indices)
        table[:, STARTS] = table[:, ORDER] = 0
        table[:, WIDTH + self.kernel.sparse] = addresses(data)
        self.tables = [*indices, *data]
        n_bytes = int((self._bytes_of_none + self._bytes_of_row * counts).sum())
        for t in disordered(every, counts):
            listed = self._group(t, indices[t])
            usual = int(self._bytes_of_none[t] + self._bytes_of_row[t] * counts[t])
            n_bytes += bytes_moved(self.kernel, self.launch.instances[t].domain, listed) - usual
        self.bytes = n_bytes
        if self.kernel.mode == LISTED and (self.units != table[:, SEGMENTS]).any():
            self.units[:] = table[:, SEGMENTS]
            self._set_chunks()
        self._reserve()

    def _group(self, t: int, indices: Array) -> Listed:
        """Sort the entries of a gradient by their rows."""
        n_rows = self.launch.instances[t].domain[0]
        rows, starts, order = (np.ascontiguousarray(x) for x in segments(indices, n_rows))
        self.tables += (rows, starts, order)
        row = self.table[t]
        row[SEGMENTS], row[ROWS] = len(rows), address(rows)
        row[STARTS], row[ORDER] = address(starts), address(order)
        return Listed(len(indices), len(rows), ordered=False)

    def _reserve(self) -> None:
        """One row of scratch for each thread, to sum duplicate rows in."""
        while len(self._scratch) < config.num_threads():
            width = int(self.table[:, COLS].max(initial=1))
            if self.kernel.buffers[self.kernel.sparse].dtype in COMPLEX:
                width *= 2
            self._scratch.append(np.zeros(max(width, 1), np.float64))
            self._scratch_at = address(self._scratch[0])

    def take_numbers(self, numbers: Numbers) -> None:
        """Evaluate the scalars of every instance and round them into the table."""
        changed = self.columns.take(numbers)
        if changed:
            with np.errstate(over="ignore"):
                for k in changed:
                    self._targets[k][...] = self.columns.found[k]

    def run(self, code: Compiled | None = None) -> None:
        """Run the launch, or another code on its tables."""
        code = code or self.code
        threads = threads_for(self.kernel.mode, self.bytes, len(self.chunks))
        if threads < 2:
            code.step(self.address, self._scratch_at)
            return
        self._counter.value = 0
        scratch = [address(s) for s in self._scratch[:threads]] or [0] * threads
        run_shared(code.run, self.address, scratch)
        code.finish(self.address)


def threads_for(mode: str, n_bytes: int, n_chunks: int) -> int:
    """How many threads share a launch that moves so many bytes; fewer than 2: the caller runs it alone."""
    threads = min(n_bytes // SHARED_BYTES.get(mode, SHARED_BYTES_DENSE), n_chunks)
    return min(threads, config.num_threads()) if threads > 1 else threads

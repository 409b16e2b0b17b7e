"""One launch of a CUDA kernel: the tables that it reads, kept in the device's memory, and the call."""

from __future__ import annotations

import numpy as np

from ...canonical import BLOCK
from ...codegen.cuda.layout import BY_VALUE, FOLD_FIELDS, chunk_fields, dtype_of_fields, scalar_fields
from ...codegen.nodes import SIZES, dtype_of
from ...expr import Extent
from ...hostmath import Column
from ...passes.calls import size_of
from ...passes.ir import LISTED, REDUCE, Launch, Program
from ..base import Memory, Numbers, locations
from ..scalars import Scalars
from .device import Code, Device, DeviceArray, HostArray
from .geometry import PER_MULTIPROCESSOR, Chunks, by_rows, shifts
from .gradients import Gradient
from .tables import Table


class CudaLaunch:
    """The tables of one launch, in the layout of codegen.cuda.layout.

    `gate`: address of the word that stops every kernel of a step if the step's gradients are wrong, or 0.
    `resident`: numbers go to the device's memory, never by value, so that the launch can be recorded once.
    `found`: where kernels with a guard say what they found; `guarded`: whether those of `code` have one.
    """

    def __init__(
        self,
        launch: Launch,
        program: Program,
        memory: Memory,
        device: Device,
        code: Code,
        gate: int,
        resident: bool = False,
        found: int = 0,
        guarded: bool = False,
    ) -> None:
        self.launch = launch
        self.kernel = launch.kernel
        self.device = device
        self.code = code
        self.gate = gate
        self.resident = resident
        self.found = np.uint64(found)
        self.guarded = guarded
        self.columns = Scalars(launch, memory)
        domains = [i.domain for i in launch.instances]
        self.sizes = np.array([size_of(d) for d in domains], np.int64)
        self.n_rows = np.array([d[0] if d else 1 for d in domains], np.int64)
        self.cols = self.sizes if self.kernel.mode == REDUCE else self.sizes // np.maximum(self.n_rows, 1)
        self.units = self._units()
        self.bases = np.zeros((len(domains), len(self.kernel.buffers)), np.uint64)
        self.gradients: list[Gradient | None] = [None] * len(domains)
        self._partials: list[DeviceArray] = []
        self._folds: Table | None = None
        self.numbers = np.zeros(1, dtype_of_fields(scalar_fields(self.kernel)))
        self._rows_of_numbers = Table(device, np.zeros((1, max(len(self.kernel.scalars), 1)), np.uint64))
        self._by_value = True
        self._table = Table(device, np.zeros(0, dtype_of_fields(chunk_fields(self.kernel))))
        self._call = (0, -1, 0, 0)  # where the tables are, and how many chunks
        self._uncut = False  # a tensor has another number of rows
        self._stale = False  # an array lies elsewhere
        self._uploaded = False  # the device has what the host has
        for key, location in locations(launch, program):
            self.point(location.tensor, location.buffer, device.address(memory.arrays[key]) + location.offset)
        self._make_partials()
        self._look_at_rows()
        self._cut()

    # ---- made once

    def _units(self) -> HostArray:
        """How many elements, rows or blocks each tensor has. Entries of a gradient are known at each step."""
        if self.kernel.mode == REDUCE:
            return -(-self.sizes // BLOCK)
        if self.kernel.mode == LISTED:
            return np.zeros(len(self.sizes), np.int64)
        if by_rows(self.kernel):
            return self.n_rows.copy()  # those of no column too: they may have a state
        return self.sizes

    def _make_partials(self) -> None:
        """Room for the partial results of each sum over a tensor; the bases point there, the results at `_folds`."""
        if self.kernel.mode != REDUCE:
            return
        buffers = self.kernel.buffers
        self.sums = [b for _, b in self.kernel.stores if buffers[b].extent == Extent.TENSOR]
        if not self.sums:
            return
        folds = np.zeros((len(self.units), len(self.sums)), dtype_of_fields(FOLD_FIELDS))
        for k, b in enumerate(self.sums):
            size = SIZES[self.kernel.buffers[b].dtype]
            parts = self.device.zeros(max(int(self.units.sum()), 1) * size, np.uint8)
            self._partials.append(parts)
            first = (np.cumsum(self.units) - self.units) * size + self.device.address(parts)
            folds["result"][:, k] = self.bases[:, b]
            self.bases[:, b] = folds["parts"][:, k] = first.astype(np.uint64)
            folds["n"][:, k] = self.units
        self._folds = Table(self.device, folds)

    def point(self, tensor: int | HostArray, buffer: int, address: int | HostArray) -> None:
        """Let a buffer of a tensor, or of several, be the array at `address`."""
        if self._folds is not None and buffer in self.sums:
            self._folds.host["result"][tensor, self.sums.index(buffer)] = address
            self._folds.changed = True
            self._uploaded = False
        elif (self.bases[tensor, buffer] != address).any():
            self.bases[tensor, buffer] = address
            self._stale = True

    # ---- chunks

    def _cut(self) -> None:
        chunks = self.chunks = Chunks(self.kernel, self.units, self.cols, self.device.multiprocessors)
        rows = np.zeros(len(chunks), dtype_of_fields(chunk_fields(self.kernel)))
        rows["n"], rows["first"], rows["tensor"] = chunks.count, chunks.start, chunks.tensor
        rows["cols"] = self.cols[chunks.tensor]
        if by_rows(self.kernel):
            rows["shift"] = shifts(self.kernel, self.cols)[chunks.tensor]
        self._table.host = rows
        self._offsets = (self._strides()[chunks.tensor] * chunks.start[:, None]).astype(np.uint64)
        self._fill()
        self._uncut = False

    def _fill(self) -> None:
        """The addresses of every chunk, from where its tensor's arrays are."""
        rows, chunks = self._table.host, self.chunks
        np.add(self.bases[chunks.tensor], self._offsets, out=rows["p"])
        bases_fit = (self.bases[:, self._in_bulk] % np.uint64(16) == 0).all(1)
        rows["aligned"] = (bases_fit & self._rows_fit)[chunks.tensor]
        for k, gradient in enumerate(self.gradients):
            if gradient is not None:
                of_tensor = chunks.tensor == k
                for field in ("rows", "order", "slots", "listed"):
                    rows[field][of_tensor] = getattr(gradient, field)
        self._table.changed = True
        self._stale = self._uploaded = False

    def _strides(self) -> HostArray:
        """Bytes from one unit of a tensor to the next, in each of its arrays; 0 where kernels find their rows alone."""
        found = np.zeros(self.bases.shape, np.int64)
        for b, buffer in enumerate(self.kernel.buffers):
            if b != self.kernel.sparse and self.kernel.mode != LISTED:
                found[:, b] = self._step(buffer.extent, buffer.write) * SIZES[buffer.dtype]
        return found

    def _step(self, extent: Extent, written: bool) -> HostArray | int:
        """Elements of an array from one unit of its tensor to the next."""
        if extent == Extent.TENSOR:
            return int(written and self.kernel.mode == REDUCE)
        if self.kernel.mode == REDUCE:
            return BLOCK
        return 1 if extent == Extent.ROW or not by_rows(self.kernel) else self.cols

    def _look_at_rows(self) -> None:
        """`_in_bulk`: the arrays whose elements are read or written several at a time. `_rows_fit`: of which tensors
        each row of them begins at a multiple of 16 bytes if the first one does."""
        buffers = self.kernel.buffers
        self._in_bulk = [
            b for b, x in enumerate(buffers) if x.extent == Extent.ELEMENT and (x.read or x.write)
        ]
        self._rows_fit = np.ones(len(self.cols), bool)
        if by_rows(self.kernel) and self.kernel.mode != REDUCE:
            for b in self._in_bulk:
                alone = (self.n_rows <= 1) & (b != self.kernel.sparse)
                self._rows_fit &= (self.cols * SIZES[buffers[b].dtype] % 16 == 0) | alone

    # ---- each step

    def take_gradient(self, tensor: int, gradient: Gradient) -> None:
        """Read the gradient of a tensor from other arrays, or of other rows, than before."""
        if gradient == self.gradients[tensor]:
            return
        self.gradients[tensor] = gradient
        self.bases[tensor, self.kernel.sparse] = gradient.data
        self._stale = True
        if self.kernel.mode == LISTED and self.units[tensor] != gradient.listed:
            self.units[tensor] = gradient.listed
            self._uncut = True

    def take_numbers(self, numbers: Numbers) -> None:
        """Evaluate the scalars of every instance: into the arguments of the launch if all tensors share them, else
        into the table."""
        if not self.columns.take(numbers):
            return
        columns = self.columns.found
        shared = not any(isinstance(x, np.ndarray) for x in columns)
        by_value = shared and not self.resident and len(columns) <= BY_VALUE
        if by_value:
            rows = self.numbers["values"]
        else:
            n_rows = 1 if shared else len(self.launch.instances)
            if len(self._rows_of_numbers.host) != n_rows:
                self._rows_of_numbers.host = np.zeros((n_rows, len(columns)), np.uint64)
            rows = self._rows_of_numbers.host
            self._rows_of_numbers.changed = True
        _round_into(rows, [dtype_of(node) for node in self.kernel.scalars], columns)
        if by_value != self._by_value or not by_value:
            self._by_value = by_value
            self.numbers["stride"] = 0 if shared else len(columns)
            self._uploaded = False

    def upload(self) -> bool:
        """Bring to the device what changed since the last step; whether the kernels have other arguments than before.
        Numbers given by value are not such: they are read at each launch."""
        if self._uncut:
            self._cut()
        elif self._stale:
            self._fill()
        if self._uploaded:
            return False
        self._uploaded = True
        self.numbers["table"] = 0 if self._by_value else self._rows_of_numbers.address()
        folds = self._folds.address() if self._folds is not None else 0
        call = (self._table.address(), len(self.chunks), int(self.numbers["table"][0]), folds)
        if call == self._call:
            return False
        self._call, gate = call, np.uint64(self.gate)
        self._run = (np.uint64(call[0]), np.int32(call[1]), self.numbers, gate)
        self._finish = (np.uint64(folds), np.int32(len(self.units)), gate)
        return True

    def run(self, guarded: Code | None = None) -> None:
        """One call of each kernel, on the current stream. `guarded`: others for the same tables, with a guard."""
        code = guarded or self.code
        more = (self.found,) if guarded or self.guarded else ()
        if len(self.chunks):
            grid = self.chunks.grid(self.device.multiprocessors)
            self.device.launch(code["run"], grid, (*self._run, *more))
        if self._folds is not None:
            grid = min(len(self.units), PER_MULTIPROCESSOR * self.device.multiprocessors)
            self.device.launch(code["finish"], grid, (*self._finish, *more))


def _round_into(rows: HostArray, dtypes: list[str], columns: list[Column]) -> None:
    """Numbers, 8 bytes each, as kernels read them: a float32 in the first four."""
    with np.errstate(over="ignore"):
        for k, (dtype, column) in enumerate(zip(dtypes, columns, strict=True)):
            if dtype == "float32":
                rows.view(np.float32)[:, 2 * k] = column
            else:
                rows.view(np.float64)[:, k] = column

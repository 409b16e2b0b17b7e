"""One call of a traced body in NumPy, on all of its domain or on a window of it: what every primitive means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..build import is_number, kernel_inputs
from ..canonical import canonical_fold
from ..dtypes import COMPUTE, to_numpy
from ..expr import Extent, Node, toposort
from ..hostmath import HostProgram
from ..passes.ir import DENSE, LISTED, REDUCE, STANDARD, Call, Shape, Source, Value
from ..prims import CAST, PAIR, PRIMS, REDUCTIONS
from ..segments import segments
from .base import Array, rounded

Watch = Callable[[Node, Any], None]


class Window(NamedTuple):
    """Some neighbouring rows and columns of a domain, whose rows are `width` long."""

    rows: range
    columns: range
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)


class Reader(Protocol):
    """Where a call gets what it works on, within a window."""

    def array(self, value: Value, extent: Extent, window: Window) -> Array:
        """(rows, columns) for elements, (rows, 1) for one value per row, () for one per tensor."""

    def entries(self, value: Value, window: Window) -> tuple[Array, Array]:
        """The rows in the window that a sparse gradient lists, counted from its first, as listed, and their data."""

    def number(self, source: Source) -> float:
        """A number of the host."""


def whole(domain: Shape) -> Window:
    """All of a domain."""
    n_rows = domain[0] if domain else 1
    n_columns = int(np.prod(domain[1:]))
    return Window(range(n_rows), range(n_columns), n_columns)


def interpret(
    call: Call,
    window: Window,
    reader: Reader,
    wanted: Sequence[int],
    watch: Watch | None = None,
    first: Array | None = None,
) -> list[Array]:
    """The outputs of a call, by number, in a window: (rows, columns), (rows, 1) or (), as they are stored. A reduction
    over the tensor needs all of it. `watch` sees each value that is computed on the way. `first`: the number of the
    first element of each row, int64, where rows do not follow each other in a tensor."""
    body, n_rows = call.body, len(window.rows)
    touched, summed = np.zeros(0, np.int64), np.zeros((0, 0))
    if body.mode not in (DENSE, REDUCE):
        touched, summed = _summed(call.inputs[body.sparse], window, reader)
    loads: list[Array] = []
    for k, (param, value) in enumerate(zip(body.params, call.inputs, strict=True)):
        if k == body.sparse:
            loads.append(summed if body.mode == LISTED else _scatter(summed, touched, n_rows))
            continue
        array = reader.array(value, param.extent, window)
        loads.append(array[touched] if body.mode == LISTED and param.extent != Extent.TENSOR else array)
    mask = np.zeros((n_rows, 1), bool)
    if body.mode == STANDARD:
        mask[touched] = True
    rows = np.arange(window.rows.start, window.rows.stop)
    leaves = {name: reader.number(s) for name, s in zip(body.scalars, call.scalars, strict=True)}
    run = _Run(loads, mask, leaves, rows[touched] if body.mode == LISTED else rows, window, watch, first)
    results = run.roots([body.roots[k] for k in wanted])
    outputs = []
    for k, made in zip(wanted, results, strict=True):
        result, extent = np.asarray(made), body.outputs[k].extent
        if body.mode == LISTED:
            old = reader.array(call.inputs[body.carries[k]], extent, window).copy()
            old[touched] = result
            result = old
        outputs.append(_spread(result, extent, window).astype(to_numpy(call.outputs[k].dtype)))
    return outputs


class _Run:
    """The primitives of one call on its arrays."""

    def __init__(
        self,
        loads: list[Array],
        mask: Array,
        leaves: dict[str, float],
        rows: Array,
        window: Window,
        watch: Watch | None,
        first: Array | None,
    ) -> None:
        self.first = first
        self.loads = loads
        self.mask = mask
        self.leaves = leaves
        self.rows = rows
        self.window = window
        self.watch = watch

    def roots(self, roots: Sequence[Node]) -> list[Any]:
        values: dict[int, Any] = {}
        for node in toposort(roots, kernel_inputs):
            values[id(node)] = self._value(node, [values[id(x)] for x in kernel_inputs(node)])
            if self.watch is not None:
                self.watch(node, values[id(node)])
        return [values[id(root)] for root in roots]

    def _value(self, node: Node, operands: list[Any]) -> Any:
        assert node.type is not None
        columns = self.window.columns
        if is_number(node):
            number = rounded(HostProgram([node])(self.leaves)[0], node.type.dtype)
            return number[:, None] if isinstance(number, np.ndarray) else number  # one for each row
        if node.op == "load":
            return _part(self.loads[node.attrs["index"]], node.attrs.get("part"))
        if node.op == PAIR:
            return _pair(*operands)
        if node.op == "touched":
            return self.mask
        if node.op == "index":
            return _indices(node.type.extent, self.rows, self.window, self.first)
        if node.op == "column":
            return np.arange(columns.start, columns.stop, dtype=to_numpy(node.type.dtype))[None, :]
        if node.op in REDUCTIONS:
            return _reduce(node, operands[0], (len(self.rows), len(columns)))
        if node.op == CAST:
            # A sum of duplicate rows is already in the dtype of the computation: widening it again changes nothing.
            return np.asarray(operands[0]).astype(to_numpy(node.type.dtype))
        return PRIMS[node.op].numpy(*operands)


def _part(array: Array, part: int | None) -> Array:
    return array if part is None else array.imag if part else array.real


def _pair(real: Any, imag: Any) -> Array:
    """A complex array of its parts: put there, since real + 1j * imag would turn infinities into NaN."""
    parts = np.broadcast_arrays(real, imag)
    pair = np.empty(parts[0].shape, np.result_type(parts[0], np.complex64))
    pair.real, pair.imag = parts
    return pair


def _indices(extent: Extent, rows: Array, window: Window, first: Array | None) -> Array:
    """The number of each element, or of each row, in the tensor."""
    if first is not None:
        starts = first[:, None]
        return (
            starts if extent <= Extent.ROW else starts + np.arange(window.columns.start, window.columns.stop)
        )
    if extent == Extent.TENSOR:
        return np.zeros((), np.int64)
    column = rows.astype(np.int64)[:, None]
    columns = np.arange(window.columns.start, window.columns.stop)
    return column if extent == Extent.ROW else column * window.width + columns


def _reduce(node: Node, x: Any, shape: tuple[int, ...]) -> Array:
    reduction = REDUCTIONS[node.op]
    full = np.broadcast_to(np.asarray(x), shape)
    rows = full if reduction.extent == Extent.ROW else full.reshape(1, -1)
    folded = canonical_fold(rows[:, :, None], reduction.combine, reduction.identity)[:, 0]
    return folded[:, None] if reduction.extent == Extent.ROW else folded.reshape(())


def _spread(result: Array, extent: Extent, window: Window) -> Array:
    """A result as there is one for each element or row."""
    if extent == Extent.ELEMENT:
        return np.broadcast_to(result, window.shape)
    return np.broadcast_to(result, (len(window.rows), 1)) if extent == Extent.ROW else result


def _summed(value: Value, window: Window, reader: Reader) -> tuple[Array, Array]:
    """The rows a gradient lists, ascending, and their data; repeated rows added up in order of occurrence."""
    indices, given = reader.entries(value, window)
    rows, starts, order = segments(indices, len(window.rows))
    compute = to_numpy(COMPUTE[value.dtype])
    data = given.astype(compute)
    total = np.zeros((len(rows), data.shape[1]), compute)
    for segment in range(len(rows)):
        positions = order[starts[segment] : starts[segment + 1]]
        total[segment] = data[positions[0]]
        for position in positions[1:]:
            total[segment] += data[position]
    return rows, total


def _scatter(data: Array, rows: Array, n_rows: int) -> Array:
    full = np.zeros((n_rows, data.shape[1]), data.dtype)
    full[rows] = data
    return full

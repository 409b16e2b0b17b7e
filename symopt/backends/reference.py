"""The NumPy interpreter of the lowered graph: the definition of what every op means. Slow and obvious.

It runs the calls one by one, before any fusion, keeps every value in an array of its own, and stores into the user's
arrays at the very end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..build import is_number, kernel_inputs
from ..canonical import canonical_fold
from ..dtypes import COMPUTE, to_numpy
from ..expr import Extent, Node, toposort
from ..grids import sizes
from ..hostmath import HostProgram
from ..passes.ir import DENSE, LIBRARY, LISTED, REDUCE, STANDARD, Body, Call, Program, Value
from ..prims import CAST, PAIR, PRIMS, REDUCTIONS
from ..routines import call_routine
from ..segments import segments
from ..sparse import RowSparseArray
from .base import Array, Memory, Numbers, rounded
from .watched import Found, NanGuard, found_in_numbers, look, rows_of, watched_values


class ReferenceEngine:
    """Interprets a program's lowered graph. `monitor(name, array)` sees every op's output, and the variables too if
    `variables` is set."""

    def __init__(
        self,
        program: Program,
        memory: Memory,
        monitor: Callable[[str, Array], None] | None = None,
        variables: bool = False,
        guard: NanGuard = None,
    ) -> None:
        self.program = program
        self.memory = memory
        self.numbers = Numbers(program, memory)
        self.monitor = monitor
        self.shows_variables = variables
        self.guard = guard
        self.found: list[Found] = []
        self.left_out = 1  # of a step that has found something
        self._watched = watched_values(program) if guard else []
        self.stale = True  # numbers are evaluated at every step

    def rebound(self, keys: set[str | int]) -> None:
        """Arrays are looked up at every step."""

    def prepare(self) -> None:
        self.found = []
        for name, array in self.memory.sparse.items():
            array.check_indices(f"argument {name!r}")
        self.numbers.evaluate()

    def synchronize(self) -> None:
        """Steps are done when `run` returns."""

    def run(self) -> None:
        made: dict[int, Array] = {}
        if self.monitor is not None and self.shows_variables:
            for name, array in self.memory.arrays.items():
                if isinstance(name, str):
                    self.monitor(name, array.copy())
        with np.errstate(all="ignore"):
            for call in self.program.lowered.calls:
                for value, array in zip(call.outputs, self._call(call, made), strict=True):
                    self._keep(value, array, made)
        if self.guard:
            self.found = self._look(made)
        if self.guard != "skip" or not self.found:
            self._store(made)
            self.numbers.commit()

    def _look(self, made: dict[int, Array]) -> list[Found]:
        """What is about to be stored that is not finite."""
        found = found_in_numbers(self.program, self.numbers)
        for w in self._watched:
            rows = rows_of(self.memory.sparse[w.listed]) if w.listed is not None else None
            bad = look(made[id(w.value)].reshape(w.value.shape), rows)
            found += [Found(w, bad)] if bad else []
        return found

    def _keep(self, value: Value, array: Array, made: dict[int, Array]) -> None:
        if value.base is not None:
            whole, index = value.base
            made.setdefault(id(whole), np.empty(whole.shape, to_numpy(whole.dtype)))[index] = array.reshape(
                ()
            )
        made[id(value)] = array
        if self.monitor is not None:
            self.monitor(f"{value.name}_output", array)

    def _store(self, made: dict[int, Array]) -> None:
        lowered = self.program.lowered
        for name, value in lowered.writes.items():
            if not value.host:
                self.memory.arrays[name][...] = made[id(value)].reshape(value.shape)
        for value in lowered.heads:
            key = self.program.storage.get(id(value))
            if isinstance(key, int):
                self.memory.arrays[key][...] = made[id(value)].reshape(value.shape)

    def _array(self, value: Value, made: dict[int, Array]) -> Array:
        if id(value) in made:
            return made[id(value)]
        if value.base is not None:
            return self._array(value.base[0], made)[value.base[1]]  # type: ignore[no-any-return]
        return self.memory.arrays[value.variable]  # type: ignore[index]

    # ---- one call

    def _call(self, call: Call, made: dict[int, Array]) -> list[Array]:
        body = call.body
        if body.mode == LIBRARY:
            return [self._library(call, made)]
        n_rows = call.domain[0] if call.domain else 1
        n_columns = int(np.prod(call.domain[1:]))
        rows_of = {DENSE: None, REDUCE: None}.get(body.mode, ())
        touched: Any = None
        sparse = None
        if rows_of is not None:
            sparse = self.memory.sparse[call.inputs[body.sparse].variable]  # type: ignore[index]
            touched, summed = _summed(sparse, n_rows)
        loads: list[Array] = []
        for k, (param, value) in enumerate(zip(body.params, call.inputs, strict=True)):
            if k == body.sparse:
                loads.append(summed if body.mode == LISTED else _scatter(summed, touched, n_rows))
                continue
            array = _as_rows(self._array(value, made), param.extent, n_rows, n_columns)
            loads.append(array[touched] if body.mode == LISTED and param.extent != Extent.TENSOR else array)
        mask = np.zeros((n_rows, 1), bool)
        if body.mode == STANDARD:
            mask[touched] = True
        shape = (len(touched) if body.mode == LISTED else n_rows, n_columns)
        rows = touched if body.mode == LISTED else np.arange(n_rows)
        results = self._evaluate(call, loads, mask, shape, rows)
        outputs = []
        for k, (param, value) in enumerate(zip(body.outputs, call.outputs, strict=True)):
            result = np.asarray(results[k])
            if body.mode == LISTED:
                old = self._array(call.inputs[body.carries[k]], made)
                whole = _as_rows(old, param.extent, n_rows, n_columns).copy()
                whole[touched] = result
                result = whole
            outputs.append(_spread(result, param.extent, value, n_rows, n_columns))
        return outputs

    def _library(self, call: Call, made: dict[int, Array]) -> Array:
        """A function of a library on whole matrices."""
        body, value = call.body, call.outputs[0]
        arrays = [
            self._array(v, made).reshape(sizes(p.grid, call.domain))
            for p, v in zip(body.params, call.inputs, strict=True)
        ]
        out = np.empty(sizes(body.outputs[0].grid, call.domain), to_numpy(value.dtype))
        call_routine(body.roots[0], arrays, out)
        return out.reshape(value.shape)

    def _evaluate(
        self, call: Call, loads: list[Array], mask: Array, shape: tuple[int, int], rows: Array
    ) -> list[Any]:
        body = call.body
        values: dict[int, Any] = {}
        leaves = {
            name: self.numbers.number(source) for name, source in zip(body.scalars, call.scalars, strict=True)
        }
        for node in toposort(body.roots, kernel_inputs):
            assert node.type is not None
            if is_number(node):
                values[id(node)] = rounded(HostProgram([node])(leaves)[0], node.type.dtype)
            elif node.op == "load":
                values[id(node)] = _part(loads[node.attrs["index"]], node.attrs.get("part"))
            elif node.op == PAIR:
                values[id(node)] = _pair(*(values[id(x)] for x in node.inputs))
            elif node.op == "touched":
                values[id(node)] = mask
            elif node.op == "index":
                values[id(node)] = _indices(node.type.extent, rows, shape[1])
            elif node.op == "column":
                values[id(node)] = np.arange(shape[1], dtype=to_numpy(node.type.dtype))[None, :]
            elif node.op in REDUCTIONS:
                values[id(node)] = _reduce(node, values[id(node.inputs[0])], shape)
            else:
                values[id(node)] = _primitive(node, [values[id(x)] for x in node.inputs], body)
        return [values[id(root)] for root in body.roots]


def _primitive(node: Node, operands: list[Any], body: Body) -> Any:
    assert node.type is not None
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


def _indices(extent: Extent, rows: Array, n_columns: int) -> Array:
    """The number of each element, or of each row, in the tensor."""
    if extent == Extent.TENSOR:
        return np.zeros((), np.int64)
    column = rows.astype(np.int64)[:, None]
    return column if extent == Extent.ROW else column * n_columns + np.arange(n_columns)


def _reduce(node: Node, x: Any, shape: tuple[int, ...]) -> Array:
    reduction = REDUCTIONS[node.op]
    full = np.broadcast_to(np.asarray(x), shape)
    rows = full if reduction.extent == Extent.ROW else full.reshape(1, -1)
    folded = canonical_fold(rows[:, :, None], reduction.combine, reduction.identity)[:, 0]
    return folded[:, None] if reduction.extent == Extent.ROW else folded.reshape(())


def _as_rows(array: Array, extent: Extent, n_rows: int, n_columns: int) -> Array:
    """(rows, columns) for elements, (rows, 1) for one value per row, () for one per tensor."""
    if extent == Extent.TENSOR:
        return array.reshape(())
    if extent == Extent.ROW:
        return array.reshape(n_rows, 1)
    return array.reshape(n_rows, n_columns)


def _spread(result: Array, extent: Extent, value: Value, n_rows: int, n_columns: int) -> Array:
    """A result as the array it is stored in: of the value's shape and dtype."""
    if extent == Extent.ELEMENT:
        result = np.broadcast_to(result, (n_rows, n_columns))
    elif extent == Extent.ROW:
        result = np.broadcast_to(result, (n_rows, 1))
    return result.astype(to_numpy(value.dtype)).reshape(value.shape)


def _summed(sparse: RowSparseArray, n_rows: int) -> tuple[Array, Array]:
    """The rows a gradient lists, ascending, and their data; repeated rows added up in order of occurrence."""
    rows, starts, order = segments(sparse.indices, n_rows)
    compute = to_numpy(COMPUTE[sparse.dtype.name])
    data = sparse.data.reshape(len(sparse.indices), int(np.prod(sparse.shape[1:]))).astype(compute)
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

"""Faults put into the arrays of a graph, and what each engine's guards make of them, against plain NumPy."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from device_graphs import Graph
from random_graphs import SHAPES, Drawing
from test_engines import bits, random_array, required, sparse_array, state_shape

import symopt as so
from symopt import sym
from symopt.dtypes import to_numpy
from symopt.opdef import STATE_KINDS, OpDef
from symopt.sparse import RowSparseArray

Firsts = dict[str, tuple[int, ...]]  # by name: the lowest index that is not finite


class Fault(NamedTuple):
    """A number put into an array, at a place of it as it lies in memory."""

    name: str
    at: int
    number: float

    def __str__(self) -> str:
        return f"{self.name}[{self.at}]={self.number:g}"


def data_of(value: Any) -> np.ndarray:
    return value.data if isinstance(value, RowSparseArray) else value


def copied(value: Any) -> Any:
    if isinstance(value, RowSparseArray):
        return RowSparseArray(value.data.copy(), value.indices.copy(), value.shape, value.canonical)
    return value.copy() if isinstance(value, np.ndarray) else value


def largest(dtype: np.dtype[Any]) -> float:
    """Nearly the largest number of a dtype: what a formula makes of it may overflow."""
    name = {"complex64": "float32", "complex128": "float64"}.get(dtype.name, dtype.name)
    return {"float16": 6e4, "bfloat16": 3e38, "float32": 3e38, "float64": 1.5e308}[name]


def faults(graph: Graph, listed_rows: bool = False) -> Iterator[Fault]:
    """NaN, infinity and a number that overflows, first, in the middle and last in every array. `listed_rows`: of what
    is no gradient only in rows that a sparse gradient has."""
    every = graph.args | graph.states
    sparse = [v for v in every.values() if isinstance(v, RowSparseArray)]
    for name, value in every.items():
        if not hasattr(value, "dtype"):
            yield from (Fault(name, 0, number) for number in (math.nan, math.inf))
            continue
        size, width = data_of(value).size, max(int(np.prod(value.shape[1:])), 1)
        places = sorted({0, size // 2, size - 1}) if size else []
        if sparse and listed_rows and value.shape[:1] == sparse[0].shape[:1] and value is not sparse[0]:
            rows = np.unique(sparse[0].indices)
            places = sorted({int(r) * width + c for r, c in ((rows[0], 0), (rows[-1], width - 1))})
        for k, at in enumerate(places):
            yield Fault(name, at, (math.nan, math.inf, -math.inf)[k % 3])
            yield Fault(name, at, largest(value.dtype))


class Trial:
    """A graph bound to one engine with one guard, on arrays that each run begins with anew."""

    def __init__(self, graph: Graph, engine: str, guard: Any) -> None:
        self.graph = graph
        self.guard = guard
        self.arrays = {name: copied(value) for name, value in (graph.args | graph.states).items()}
        self.numbers = {n: v for n, v in self.arrays.items() if not hasattr(v, "dtype")}
        args, states = ({n: self.arrays[n] for n in some} for some in (graph.args, graph.states))
        self.executor = graph.symbol.bind(
            so.cpu(), args=args, aux_states=states, engine=engine, nan_guard=guard
        )
        self.pristine = [np.array(x) for x in self.executor.outputs]

    def start(self, fault: Fault | None) -> None:
        """Fill the arrays, and put the fault in."""
        for name, value in (self.graph.args | self.graph.states).items():
            if hasattr(value, "dtype"):
                data_of(self.arrays[name])[...] = data_of(value)
        for array, before in zip(self.executor.outputs, self.pristine, strict=True):
            if not any(array is x for x in self.arrays.values()):
                array[...] = before
        numbers = dict(self.numbers)
        if fault is not None and fault.name in numbers:
            numbers[fault.name] = fault.number
        elif fault is not None:
            data_of(self.arrays[fault.name]).reshape(-1)[fault.at] = fault.number
        self.executor._take(numbers)

    def run(self, fault: Fault | None) -> Firsts:
        """One step; what the guard says of it."""
        self.start(fault)
        skipped = self.executor.skipped
        try:
            self.executor.forward()
            self.executor.synchronize()
        except so.errors.NonFiniteError as error:
            assert self.guard == "raise"
            return firsts(error.report)
        if self.executor.skipped == skipped:
            return {}
        assert self.executor.skipped == skipped + 1
        report = self.executor.last_skip
        assert report is not None
        return firsts(report)

    def held(self) -> dict[str, np.ndarray]:
        """All that can be seen of the executor: arrays, numbers, outputs."""
        found = {n: data_of(a) for n, a in self.arrays.items() if n not in self.numbers}
        found |= {n: np.array(self.executor._step.bound[n].read_number()) for n in self.numbers}
        found |= {f"output {k}": x for k, x in enumerate(self.executor.outputs)}
        return {n: np.array(a) for n, a in found.items()}

    def stored(self) -> Firsts:
        """By plain NumPy: what the last step wrote that is not finite. Rows that no gradient lists do not count."""
        step = self.executor._step
        names = list(step.program.lowered.writes)
        arrays = {n: step.bound[n].read_number() if step.is_number(n) else self.arrays[n] for n in names}
        for name, array in self.executor.output_dict.items():
            if not any(array is x for x in self.arrays.values()):
                arrays[name] = array
        rows = [np.unique(v.indices) for v in self.arrays.values() if isinstance(v, RowSparseArray)]
        found = {}
        for name, array in arrays.items():
            bad = ~np.isfinite(np.asarray(array, np.complex128))
            if rows and bad.ndim:
                unlisted = np.setdiff1d(np.arange(len(bad)), rows[0])
                before = (self.graph.args | self.graph.states)[name]
                bad[unlisted] &= changed(np.asarray(array), before)[unlisted]
            if bad.any():
                found[name] = tuple(int(k) for k in np.argwhere(bad)[0]) if bad.ndim else ()
        return found


def changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of which elements the bytes differ."""
    a, b = (np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, x.itemsize) for x in (one, other))
    found: np.ndarray = (a != b).any(-1)
    return found


def firsts(report: Any) -> Firsts:
    """The lowest index of each array that a report names."""
    found: Firsts = {}
    for finding in report:
        found[finding.name] = min(found.get(finding.name, finding.first), finding.first)
    return found


def raw(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in arrays.items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether all bits are the same, but for those of NaN, which processors choose by the order of operands."""
    return all(np.array_equal(bits(one[name]), bits(other[name])) for name in one)


def wrong(graph: Graph, engine: str, all_faults: list[Fault | None]) -> list[str]:
    """What the guards of an engine do wrong."""
    plain, raising, skipping = (Trial(graph, engine, guard) for guard in (None, "raise", "skip"))
    found = []
    for fault in all_faults:
        plain.run(fault)
        expected = plain.stored()
        said = raising.run(fault)
        if said != expected:
            found.append(f"{fault}: raise says {said}, not {expected}")
        if not same(raising.held(), plain.held()):
            found.append(f"{fault}: raise changes bits")
        skipping.start(fault)
        before = raw(skipping.held())
        said = skipping.run(fault)
        if said != expected:
            found.append(f"{fault}: skip says {said}, not {expected}")
        after = skipping.held()
        if expected and raw(after) != before:
            names = [n for n in before if before[n] != raw(after)[n]]
            found.append(f"{fault}: left out, but {names} changed")
        if not expected and not same(after, plain.held()):
            found.append(f"{fault}: not left out, and bits differ")
    return found


def op_graph(op: OpDef, storage: str, dtype: str, shape: tuple[int, ...]) -> Graph:
    """One update in place, on finite arrays."""
    rng = np.random.default_rng(zlib.crc32(f"{op.name}{storage}{dtype}".encode()))
    variables = [sym.var(i.name) for i in op.inputs]
    lazy = storage != "standard"
    symbol = getattr(sym, op.name)(*variables, out=variables[0], lazy_update=lazy, **required(op))
    kept = dict(zip(symbol.list_auxiliary_states(), symbol.infer_type_partial(weight=dtype)[2], strict=True))
    args: dict[str, Any] = {"weight": random_array(rng, shape, dtype)}
    states: dict[str, Any] = {}
    for spec in op.inputs[1:]:
        if spec.kind in STATE_KINDS or spec.kind == "master":
            state = random_array(rng, state_shape(op, spec, shape), to_numpy(kept[spec.name]).name)
            states[spec.name] = state if state.dtype.kind == "c" else np.abs(state)
        elif spec.kind == "scalar":
            args[spec.name] = np.array([0.5], np.float32)
        elif storage == "dense" or spec != op.inputs[1]:
            args[spec.name] = random_array(rng, shape, dtype)
        else:
            args[spec.name] = sparse_array(rng, shape, dtype, storage == "duplicates", edges=False)
    return Graph(symbol, args, states)


def drawn_graph(seed: int) -> Graph:
    """A random graph of ordinary and update ops on dense and row_sparse arrays."""
    drawn = random.Random(seed)
    dtype = drawn.choice(["float16", "bfloat16", "float32", "float64"])
    shape = drawn.choice(SHAPES)
    drawing = Drawing(lambda found: drawn.choice(list(found)), shape, dtype, np.random.default_rng(seed))
    for _ in range(drawn.randint(1, 12)):
        drawing.step()
    symbol = drawing.symbol()
    states, names = set(symbol.list_auxiliary_states()), set(symbol.list_inputs())
    bound = {n: value for n, value in drawing.bound.items() if n in names}
    args = {n: value for n, value in bound.items() if n not in states}
    return Graph(symbol, args, {n: value for n, value in bound.items() if n in states})


def unlike_reference(graph: Graph, engine: str, all_faults: list[Fault | None]) -> list[str]:
    """What the guards of an engine say or do that the interpreter's do not."""
    expected = Trial(graph, "reference", "skip")
    plain, raising, skipping = (Trial(graph, engine, guard) for guard in (None, "raise", "skip"))
    found = []
    for fault in all_faults:
        wanted = expected.run(fault)
        plain.run(fault)
        if raising.run(fault) != wanted or not same(raising.held(), plain.held()):
            found.append(f"{fault}: raise")
        skipping.start(fault)
        before = raw(skipping.held())
        if skipping.run(fault) != wanted:
            found.append(f"{fault}: skip says something else")
        after = skipping.held()
        if raw(after) != before if wanted else not same(after, plain.held()):
            found.append(f"{fault}: skip stores something else")
    return found

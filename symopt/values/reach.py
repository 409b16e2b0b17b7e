"""Any stretch of any value of a step, computed alone: only what it depends on is read, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends.base import Array, Numbers
from ..backends.interpret import Reader, Watch, Window, interpret
from ..backends.reference import library
from ..expr import Extent, Node, toposort
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, REDUCE, Body, Call, Program, Source, Value
from ..prims import REDUCTIONS
from .state import State

# Told before a call is computed for one element: the call, the output that is wanted, and its flat position. Gives who
# watches its primitives, and what to call when it is done.
Entered = Callable[[Call, int, int], tuple[Watch, Callable[[Any], None]]]


class Reach:
    """The values of one step on the arrays of a state.

    Elements are counted flat, in C order. Who watches sees whole windows: `at` is the row and column in them of the
    element, None where the call is computed for a whole row, or for the whole tensor.
    """

    def __init__(self, program: Program, state: State, entered: Entered) -> None:
        self.state = state
        self.entered = entered
        self.numbers = Numbers(program, state.memory)
        self.numbers.evaluate()
        self.at: tuple[int | None, int | None] = (None, None)
        self._makers = {
            id(v): (call, k) for call in program.lowered.calls for k, v in enumerate(call.outputs)
        }
        self._made: dict[tuple[int, int, int], Array] = {}
        self._lasting: dict[tuple[int, int, int], Array] = {}
        self._told: set[tuple[int, int]] = set()

    def read(self, value: Value, start: int, stop: int, focus: int | None) -> Array:
        """Elements [start, stop) of a value, as a flat array. `focus`: the element among them to be told of."""
        if id(value) in self._makers:
            return self._compute(value, start, stop, focus)
        if value.base is not None:
            whole, index = value.base
            return self.read(whole, index, index + 1, None if focus is None else index)
        if value.parts:
            parts = value.parts[start:stop]
            found = [self.read(p, 0, 1, 0 if focus == start + k else None) for k, p in enumerate(parts)]
            return np.concatenate([np.zeros(0, found[0].dtype) if found else np.zeros(0), *found])
        assert value.variable is not None
        return self.state.read(value.variable, start, stop)

    def forget(self) -> None:
        """Let go of what was computed, but not of sums and of functions of whole matrices, which cost too much."""
        self._made.clear()

    def _kept(self, value: Value) -> dict[tuple[int, int, int], Array]:
        mode = self._makers[id(value)][0].body.mode
        return self._lasting if mode in (LIBRARY, REDUCE) else self._made

    def _compute(self, value: Value, start: int, stop: int, focus: int | None) -> Array:
        key = (id(value), start, stop)
        tells = focus is not None and (id(value), focus) not in self._told
        kept = self._kept(value)
        if key not in kept or tells:
            if focus is not None:
                self._told.add((id(value), focus))
            kept[key] = self._run(value, start, stop, focus if tells else None)
        return kept[key]

    def _run(self, value: Value, start: int, stop: int, focus: int | None) -> Array:
        call, k = self._makers[id(value)]
        if focus is None:
            return self._stretch(call, k, start, stop, None, None)
        watch, done = self.entered(call, k, focus)
        found = self._stretch(call, k, start, stop, focus, watch)
        done(found[focus - start])
        return found

    def _stretch(
        self, call: Call, k: int, start: int, stop: int, focus: int | None, watch: Watch | None
    ) -> Array:
        if call.body.mode == LIBRARY:
            return self._library(call, watch, focus)[start:stop]
        extent = call.body.outputs[k].extent
        window = window_of(call, k, start, stop)
        reader = _Part(self, focus, extent, window)
        (result,) = interpret(call, window, reader, [k], reader.placed(watch))
        first = {
            Extent.ELEMENT: window.rows.start * window.width + window.columns.start,
            Extent.ROW: window.rows.start,
        }
        skipped = start - first.get(extent, 0)
        return result.reshape(-1)[skipped : skipped + stop - start]

    def _library(self, call: Call, watch: Watch | None, focus: int | None) -> Array:
        """A function of whole matrices, once for all of its elements."""
        value = call.outputs[0]
        key = (id(value), 0, size_of(value.shape))
        if key not in self._lasting:
            arrays = {id(v): self.read(v, 0, size_of(v.shape), None) for v in call.inputs}
            self._lasting[key] = library(call, lambda v: arrays[id(v)]).reshape(-1)
        if watch is not None and focus is not None:
            watch(call.body.roots[0], self._lasting[key][focus])
        return self._lasting[key]


class _Part:
    """What a call reads when it is computed in a window for the sake of one element."""

    def __init__(self, reach: Reach, focus: int | None, extent: Extent, window: Window) -> None:
        self.reach = reach
        self.window = window
        self.number: Callable[[Source], float] = reach.numbers.number
        self.told = focus is not None
        self.row: int | None = None  # of the element, in the domain
        self.column: int | None = None
        if focus is not None and extent == Extent.ELEMENT:
            self.row, self.column = divmod(focus, window.width)
        elif focus is not None and extent == Extent.ROW:
            self.row = focus

    def placed(self, watch: Watch | None) -> Watch | None:
        """The watcher, told where the element is in the arrays it sees."""
        if watch is None:
            return None
        window, row, column = self.window, self.row, self.column
        at = (
            None if row is None else row - window.rows.start,
            None if column is None else column - window.columns.start,
        )

        def seen(node: Node, value: Any) -> None:
            self.reach.at = at
            watch(node, value)

        return seen

    def array(self, value: Value, extent: Extent, window: Window) -> Array:
        read, rows, columns, width = self.reach.read, window.rows, window.columns, window.width
        if extent == Extent.TENSOR:
            return read(value, 0, 1, 0 if self.told else None).reshape(())
        if extent == Extent.ROW:
            return read(value, rows.start, rows.stop, self.row).reshape(-1, 1)
        focus = None if self.row is None or self.column is None else self.row * width + self.column
        if len(rows) == 1:
            start = rows.start * width
            return read(value, start + columns.start, start + columns.stop, focus).reshape(1, -1)
        found = read(value, rows.start * width, rows.stop * width, focus).reshape(len(rows), width)
        return found[:, columns.start : columns.stop]

    def entries(self, value: Value, window: Window) -> tuple[Array, Array]:
        assert value.variable is not None
        return self.reach.state.entries(value.variable, window)


def reader_of(reach: Reach, extent: Extent, window: Window) -> Reader:
    """What a call reads in a window, for no element in particular."""
    return _Part(reach, None, extent, window)


def window_of(call: Call, k: int, start: int, stop: int) -> Window:
    """The part of a call's domain that elements [start, stop) of its output k depend on."""
    domain = call.domain
    n_rows, width = (domain[0] if domain else 1), size_of(domain[1:])
    extent = call.body.outputs[k].extent
    folds = _folds(call.body, k)
    if folds == Extent.TENSOR:
        return Window(range(n_rows), range(width), width)
    every = range(width) if folds == Extent.ROW else range(min(width, 1))
    if extent == Extent.TENSOR:
        return Window(range(min(n_rows, 1)), every, width)
    if extent == Extent.ROW:
        return Window(range(start, stop), every, width)
    first, last = start // max(width, 1), -(-stop // max(width, 1))
    if folds == Extent.ROW or last - first != 1:
        return Window(range(first, last), range(width), width)
    return Window(range(first, last), range(start - first * width, stop - first * width), width)


def _folds(body: Body, k: int) -> Extent | None:
    """Whether an output of a body looks at its row or at the whole tensor; None: at single elements."""
    found = [REDUCTIONS[n.op].extent for n in toposort([body.roots[k]]) if n.op in REDUCTIONS]
    return min(found, default=None)

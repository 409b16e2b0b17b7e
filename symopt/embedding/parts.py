"""A segment within a table: its columns, its share of the graphs, and the numbers that these need."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import sym
from ..dtypes import ITEMSIZE
from ..errors import AttributeValueError
from ..passes.calls import size_of
from ..records.layout import Layout
from ..records.plan import Bound, Field, Target
from ..symbol import Symbol
from ..training.graph import Entry, number, variable_name
from ..training.hyper import Hyper
from ..training.update import Update, first_value, state_types
from .initializers import Custom
from .onebit import OneBit
from .segment import Segment

Array = npt.NDArray[Any]
GRADS, OUT = "grads", "out"
GLOBAL_STEP = "global_step"  # an attribute so called counts the table's steps from 0, all others count from 1
DECAYED = "decayed"  # a column: the logarithm of what decay has made of the row's weights, all told
ROUNDING = 1 << 20  # streams of random numbers from here on round weights; those below make them
Graph = tuple[Symbol, dict[str, Bound], list[Target]]


class Part:
    """Segment number `number` of a table, whose columns begin with `start` of those of a row."""

    def __init__(self, segment: Segment, number_: int, start: int) -> None:
        self.segment = segment
        self.name = str(number_)
        self.start = start
        self.hyper = segment.hyper(number_)
        self.shape = (segment.n_blocks, segment.dim // segment.n_blocks)
        self.decays = segment.decay != "l2" and segment.weight_decay > 0  # beside the rule
        self.is_global = self.decays and segment.decay == "decoupled_global"
        by_row = segment.clock == "row" and self.hyper.count != GLOBAL_STEP
        self.ages = _Ages(segment, number_) if by_row else None
        self._drawn = f"updates:{number_}"
        self.needs_updates = segment.rounds_to_float16 or bool(self.ages and self.ages.names)
        self.update = Update(
            segment.op, self.hyper.attrs(), segment.initial, scalars=self.hyper.scalar_inputs()
        )
        # What states begin with may be an attribute, whose number is known unless it is a function.
        known = {name: x for name, x in segment.attrs.items() if not callable(x)}
        self.born = Update(segment.op, {**self.update.attrs, **known}, segment.initial)
        self.states = state_types(self.update, self.shape, segment.dtype)
        self.weight = variable_name(self.name, "weight")

    # ---- what a row has

    def weights(self) -> tuple[str, str, int]:
        """The column of weights: name, dtype, width."""
        return self.weight, self.segment.dtype, self.segment.dim

    def state_columns(self) -> list[tuple[str, str, int]]:
        """The columns of states: name, dtype, width."""
        found = [(self._column(name), dtype, size_of(shape)) for name, (shape, dtype) in self.states.items()]
        return [*found, (self._column(DECAYED), "float64", 1)] if self.is_global else found

    def _column(self, kind: str) -> str:
        return variable_name(self.name, kind or "weight")

    @property
    def state_bytes(self) -> int:
        """Of the states of one row."""
        return sum(width * ITEMSIZE[dtype] for _, dtype, width in self.state_columns())

    # ---- graphs

    def updating(self) -> Graph:
        """What a gradient does to a row."""
        entry = Entry(self.name, self.update, decay=self._decay())
        grad, weight = entry.variable("grad"), entry.variable()
        grad = self.segment.compressor.backward(grad, weight, self.scale())
        if self.segment.decay == "l2" and self.segment.weight_decay:
            grad = grad + weight * self.segment.weight_decay
        bound = self._bound(self.states) | {f"{self.name}/grad": Bound(self._field(GRADS), self.shape)}
        if not self.segment.rounds_to_float16:
            return entry.updated(grad, out=weight), bound, [None]
        new = entry.updated(grad)
        drawn = sym.uniform_like(new, seed=number(self._drawn), stream=ROUNDING + int(self.name))
        return sym.monolith_stochastic_fp16(new, drawn, out=weight), bound, [None]

    def reading(self) -> Graph:
        """What a lookup shows of a row."""
        weight = sym.var(self.name)
        if self.is_global:
            weight = weight - weight * number(f"{DECAYED}:{self.name}")
        return self.segment.compressor.lookup(weight, self.scale()), self._bound(()), [self._field(OUT)]

    def assigning(self, adds: bool) -> Graph:
        """Weights that are given, in place of a row's or added to them."""
        weight, given = sym.var(self.name), sym.var(f"{self.name}/given")
        bound = self._bound(()) | {f"{self.name}/given": Bound(self._field(GRADS), self.shape)}
        return weight + given if adds else sym.identity(given), bound, [self.weight]

    def settling(self) -> Graph:
        """Decay that a row has not seen yet."""
        weight = sym.var(self.name)
        return weight - weight * number(f"{DECAYED}:{self.name}"), self._bound(()), [self.weight]

    def birth(self) -> Graph:
        """What a row begins with."""
        weight = sym.var(self.name)
        made = self.segment.initializer
        own = isinstance(made, Custom)  # those weights are written by the host
        first = (
            sym.zeros_like(weight) if own else made.symbol(weight, 0.0, f"{self.name}/first", int(self.name))
        )
        heads, targets = [first], [self.weight]
        for name in self.states:
            value = first_value(self.born, name)
            like = weight if isinstance(value, str) else sym.var(f"{self.name}/{name}")
            heads.append(sym.identity(first) if like is weight else sym.full_like(like, fill_value=value))
            targets.append(self._column(name))
        return sym.Group(heads), self._bound(self.states), [*targets]

    def _decay(self) -> Symbol | None:
        return number(f"{DECAYED}:{self.name}") if self.decays else None

    def scale(self) -> Symbol | None:
        """The number that a code's soft form has, if it has one."""
        return number(f"scale:{self.name}") if isinstance(self.segment.compressor, OneBit) else None

    def _field(self, array: str) -> Field:
        return Field(array, self.segment.dtype, self.segment.dim, self.start)

    def _bound(self, states: Any) -> dict[str, Bound]:
        found = {self.name: Bound(self.weight, self.shape)}
        return found | {self._column(n): Bound(self._column(n), self.states[n][0]) for n in states}

    # ---- numbers

    def numbers(self, done: int, rate: float | None) -> dict[str, Any]:
        """Those of an update that all rows share: schedules are asked. `rate`: in place of the learning rate."""
        found: dict[str, Any] = dict(self.hyper.numbers(done))
        if self.hyper.count == GLOBAL_STEP:
            found[f"@{GLOBAL_STEP}:{self.name}"] = float(done)
        if rate is not None and f"@lr:{self.name}" in found:
            found[f"@lr:{self.name}"] = rate
        return found

    def by_age(self, updates: Array) -> dict[str, Array]:
        """Those that each row has for itself, after so many updates of it."""
        found = {} if self.ages is None else self.ages.numbers(updates)
        if self.segment.rounds_to_float16:
            found[f"@{self._drawn}"] = updates.astype(np.float64)
        return found

    def shrinking(self, numbers: Mapping[str, Any]) -> float:
        """What part decay takes of the weights in a step with these numbers. AttributeValueError for all of it, where
        rows that come later are to make up for it."""
        rate = float(numbers.get(f"@lr:{self.name}", 1.0))  # of a rule without a rate: 1
        taken = rate * self.segment.weight_decay
        if self.is_global and not taken < 1:
            raise AttributeValueError(
                f"segment {self.name}: learning rate {rate:g} times weight_decay {self.segment.weight_decay:g} must be "
                "below 1: decay would leave nothing of any weight"
            )
        return taken


class _Ages:
    """Attributes that depend on how often a row was updated, for each number of updates once."""

    def __init__(self, segment: Segment, number_: int) -> None:
        self._hyper: Hyper = segment.hyper(number_)
        running = [self._hyper.op.running[name].factor for name in self._hyper.products]
        wanted = {name for factor in running for name in inspect.signature(factor).parameters}
        for name in (
            self._hyper.values.keys() - wanted
        ):  # schedules are of the table's steps: nobody asks them here
            del self._hyper.values[name]
        names = [self._hyper.count, *self._hyper.products]
        self.names = [f"@{name}:{number_}" for name in names if name]
        self._known: list[tuple[float, ...]] = []
        self._table = np.zeros((0, len(self.names)))

    def numbers(self, updates: Array) -> dict[str, Array]:
        """For rows with so many updates before this one."""
        if not self._hyper.products:
            return dict.fromkeys(self.names, updates + 1.0)
        most = int(updates.max(initial=0))
        if most >= len(self._table):
            for done in range(len(self._known), max(most + 1, 2 * len(self._known))):
                found = self._hyper.numbers(done)
                self._known.append(tuple(found[name] for name in self.names))
                self._hyper.advance(done)
            self._table = np.array(self._known)
        rows = self._table[updates]
        return {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(self.names)}


def layout_of(parts: Sequence[Part], alignment: int) -> Layout:
    """Weights of all segments, side by side; then states."""
    columns = [part.weights() for part in parts]
    columns += [column for part in parts for column in part.state_columns()]
    return Layout(columns, alignment=alignment)


def joined(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one."""
    bound: dict[str, Bound] = {}
    for _, own, _ in graphs:
        bound |= own
    return sym.Group([s for s, _, _ in graphs]), bound, [t for _, _, targets in graphs for t in targets]


def missed(column: Array, log: float) -> Array:
    """What part decay takes of weights that have not seen it since their column was written: 1 - exp(log - column)."""
    with np.errstate(invalid="ignore"):
        found: Array = np.where(
            column == log, 0.0, -np.expm1(log - column)
        )  # equal: also where all was taken
    return found


def log_of(part: float) -> float:
    """The logarithm of what is left of weights when decay takes a part of them."""
    return math.log1p(-part) if part < 1 else -math.inf

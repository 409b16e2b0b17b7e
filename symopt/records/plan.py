"""A graph on rows of records, planned: every value has a place in the record, in a batch array, or in scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..canonical import BLOCK
from ..dtypes import ITEMSIZE
from ..errors import RuleError
from ..infer import infer
from ..passes import compile_graph
from ..passes.calls import size_of
from ..passes.ir import DENSE, REDUCE, Kernel, Program, Value
from ..symbol import Symbol
from .layout import Layout

SCRATCH = -1  # in place of a batch array
RECORD = -2


class Field(NamedTuple):
    """`width` numbers, from column `offset` on, of each row of batch array `array`, all of one dtype."""

    array: str
    dtype: str
    width: int
    offset: int = 0


Target = str | Field | None  # of an output: a column, or part of a batch array


class Spot(NamedTuple):
    """Where a value of a row lies: in the record, in scratch, or in batch array number `base`; and how many bytes from
    where the row begins there."""

    base: int
    offset: int


class Bound(NamedTuple):
    """What a variable of the graph is: a column of the record or a field, and its shape in one row's graph."""

    place: str | Field
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RowPlan:
    """`arrays`: names of the batch arrays, by number. `scratch`: bytes that one row needs beside them. `outputs`: the
    columns or fields that the outputs go to; None: one that is stored in a variable anyway."""

    program: Program
    layout: Layout
    bound: Mapping[str, Bound]
    outputs: tuple[Target, ...]
    arrays: tuple[str, ...]
    spots: Mapping[str | int, Spot]
    scratch: int

    def spot(self, value: Value) -> Spot:
        """Where a value lies."""
        whole, index = value.base if value.base else (value, 0)
        found = self.spots[self.program.storage[id(whole)]]
        return found._replace(offset=found.offset + index * ITEMSIZE[value.dtype])

    def place(self, target: str | Field) -> Spot:
        """Where a column or field is."""
        if isinstance(target, str):
            return Spot(RECORD, self.layout[target].offset)
        return Spot(self.arrays.index(target.array), target.offset * ITEMSIZE[target.dtype])


def plan_rows(
    symbol: Symbol, layout: Layout, bound: Mapping[str, Bound], outputs: Sequence[Target], what: str
) -> RowPlan:
    """Plan a graph for one row. RuleError naming `what`, if its formulas can't be computed row by row."""
    roots = symbol._outputs
    dtypes = {name: _dtype(layout, b) for name, b in bound.items()}
    types = infer(roots, {name: b.shape for name, b in bound.items()}, dtypes)
    program = compile_graph(roots, types)
    for launch in program.launches:
        for instance in launch.instances:
            _check(launch.kernel, instance.domain, what)
    fields = [b.place for b in bound.values() if isinstance(b.place, Field)]
    fields += [f for f in outputs if isinstance(f, Field)]
    arrays = tuple(dict.fromkeys(f.array for f in fields))
    plan = RowPlan(program, layout, bound, tuple(outputs), arrays, {}, 0)
    spots, scratch = _spots(plan)
    return RowPlan(program, layout, bound, tuple(outputs), arrays, spots, scratch)


def _dtype(layout: Layout, bound: Bound) -> str:
    place = bound.place
    return place.dtype if isinstance(place, Field) else layout[place].dtype


def _check(kernel: Kernel, domain: tuple[int, ...], what: str) -> None:
    if kernel.mode not in (DENSE, REDUCE) or any(b.grid != "rc" for b in kernel.buffers):
        raise RuleError(f"{what}: its formula is on whole matrices, and a row of a table is a vector")
    if kernel.mode == REDUCE and size_of(domain) > BLOCK:
        raise RuleError(
            f"{what}: its formula has a sum over the tensor, which for a row of a table is the row: it may have "
            f"{BLOCK} elements, got {size_of(domain)}"
        )


def _spots(plan: RowPlan) -> tuple[dict[str | int, Spot], int]:
    """Where each storage of the program is, and how much scratch that takes."""
    spots: dict[str | int, Spot] = {}
    for name, b in plan.bound.items():
        spots[name] = plan.place(b.place)
    for target, head in zip(plan.outputs, plan.program.lowered.heads, strict=False):
        key = plan.program.storage.get(id(head))
        if target is not None and isinstance(key, int):
            spots[key] = plan.place(target)
    used = 0
    for number, (dtype, shape) in enumerate(plan.program.buffers):
        if number not in spots:
            spots[number] = Spot(SCRATCH, used)
            used = -(-(used + size_of(shape) * ITEMSIZE[dtype]) // 64) * 64
    return spots, used

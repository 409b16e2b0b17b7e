"""What a guarded step looks at: the values that it leaves behind, and who makes each."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from ..expr import Extent, Node
from ..finite import Bad, scan, scan_rows
from ..passes.ir import LISTED, STANDARD, Instance, Kernel, Program, Value, puts_back
from ..places import HOST, Place
from ..sparse import RowSparseArray
from .base import Array, Memory, Numbers

NanGuard = Literal["raise", "skip"] | None


class Watched(NamedTuple):
    """A value that a variable or an output holds after the step.

    `key`: the storage it is written to. `node`: the op that makes it, number `call` of the lowered calls. `launch`,
    `tensor`, `buffer`: where it is stored from. `listed`: the row_sparse variable whose rows alone are stored; other
    rows stay as they are. None: all of it is stored.
    """

    value: Value
    key: str | int
    node: Node
    call: int
    launch: int
    tensor: int
    buffer: int
    listed: str | None


class Found(NamedTuple):
    """What was not finite of a watched value."""

    watched: Watched
    bad: tuple[Bad, ...]


def watched_values(program: Program) -> list[Watched]:
    """Every array that the step changes for the user, in the order of the calls that make them. Temporaries are not
    among them: what they hold counts once it reaches a variable or an output."""
    lowered = program.lowered
    kept = {id(v) for v in (*lowered.writes.values(), *lowered.heads) if not v.host}
    position = {id(call): k for k, call in enumerate(lowered.calls)}
    found: dict[int, Watched] = {}  # a copy that a lazy update starts from comes before the update itself
    for k, launch in enumerate(program.launches):
        for t, instance in enumerate(launch.instances):
            makers = {id(v): call for call in instance.region.calls for v in call.outputs}
            for root, b in launch.kernel.stores:
                value = _new_value(instance, b, program)
                if not {id(value), id(value.whole)} & kept or _changes_nothing(launch.kernel, root, b):
                    continue
                call = makers[id(value)]
                listed = _listed(launch.kernel, instance, b)
                key = program.storage[id(value.whole)]
                at = position.get(id(call), -1)  # copies that the schedule adds are no calls of the graph
                found[id(value)] = Watched(value, key, call.node, at, k, t, b, listed)
    return sorted(found.values(), key=lambda watched: watched.call)


def _new_value(instance: Instance, buffer: int, program: Program) -> Value:
    """What an instance stores in a buffer. One that is written in place is known by its old value."""
    value = instance.values[buffer]
    return value if value.variable is None else program.lowered.writes[value.variable]


def _changes_nothing(kernel: Kernel, root: Node, buffer: int) -> bool:
    return kernel.mode != STANDARD and puts_back(root, buffer)


def _listed(kernel: Kernel, instance: Instance, buffer: int) -> str | None:
    """The sparse variable whose rows are the only ones that a kernel writes."""
    if kernel.buffers[buffer].extent == Extent.TENSOR:
        return None
    absent = {b: root for root, b in kernel.absent}
    if kernel.mode == LISTED or (kernel.mode == STANDARD and puts_back(absent[buffer], buffer)):
        return instance.values[kernel.sparse].variable
    return None


def rows_of(array: RowSparseArray) -> Array:
    """The rows that a sparse gradient has, ascending, each once; where the gradient lies."""
    with array.place.current():
        rows: Array = array.place.xp.unique(array.indices)
    return rows


def listed_rows(watched: Watched, memory: Memory) -> Array | None:
    """The rows that count of a watched value; None if all do."""
    return rows_of(memory.sparse[watched.listed]) if watched.listed is not None else None


def part_of(watched: Watched, array: Array) -> Array:
    """A watched value in the array of its storage, which may be one of several numbers there."""
    value = watched.value
    if value.base is not None:
        array = array.reshape(-1)[value.base[1] : value.base[1] + 1]
    return array.reshape(value.shape)


def found_in_numbers(program: Program, numbers: Numbers) -> list[Found]:
    """What is not finite of the numbers that the step makes on the host."""
    lowered = program.lowered
    makers = {id(call.output): call.node for call in lowered.host_calls}
    if not makers:
        return []
    places: list[tuple[str | int, Value]] = [(name, v) for name, v in lowered.writes.items() if v.host]
    places += [(k, v) for k, v in enumerate(lowered.heads) if v.host and id(v) in makers]
    found = []
    for key, value in places:
        number = numbers.values[id(value)]
        if not math.isfinite(number):
            what = "nan" if number != number else "inf" if number > 0 else "-inf"
            made = Watched(value, key, makers[id(value)], -1, -1, -1, -1, None)
            found.append(Found(made, (Bad(what, 1, ()),)))
    return found


def look(array: Array, rows: Array | None, place: Place = HOST) -> tuple[Bad, ...]:
    """What is not finite of a value. `rows`: those that were stored, None for all."""
    return scan(array, place) if rows is None else scan_rows(array, rows, place)

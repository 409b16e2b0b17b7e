"""When each region runs, and which variables can be written in place.

Every read of a variable means its value at the start of the step, so a region that reads it runs before the one
that overwrites it. Where that is impossible the new value goes to a buffer, and is copied when all else is done.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ..expr import Extent
from .calls import copy_call
from .ir import DENSE, LIBRARY, LISTED, Lowered, Region, Value
from .reasons import Copied, Kept


@dataclass(eq=False)
class Schedule:
    """`levels[k]`: regions that may run together after all before. `in_place[id(value)]`: the variable whose array it
    is computed in. `deferred`: values copied into their variable at the end."""

    levels: list[list[Region]]
    in_place: dict[int, str]
    deferred: list[tuple[Value, str]]
    needed: set[int]  # ids of the values that some other region, a head or a variable takes


def schedule(lowered: Lowered, regions: list[Region], log: list[Copied] | None = None) -> Schedule:
    """Order regions by data flow and by reads before writes. `log`: gains what is not written in place, and why."""
    log = [] if log is None else log
    producer = {id(v): r for r, region in enumerate(regions) for c in region.calls for v in c.outputs}
    reads = [_external_reads(region, producer, r) for r, region in enumerate(regions)]
    in_place = _candidates(lowered, regions, producer, log)
    before: list[set[int]] = [set() for _ in regions]
    for r, values in enumerate(reads):
        for value in values.values():
            for v in value.sources:
                if id(v) in producer and producer[id(v)] != r:
                    before[r].add(producer[id(v)])
    order = _Order(before, _reads_before_writes(reads, in_place, producer), in_place)
    level = order.levels()
    for name, reader in order.given_up:
        log.append(Copied(Kept.READERS, name, lowered.writes[name], tuple(regions[reader].calls)))
    needed = {id(v) for values in reads for read in values.values() for v in read.sources}
    needed |= {id(v) for values in reads for v in values.values()} | {id(v) for v in lowered.heads}
    needed |= {id(v) for v in lowered.writes.values()}
    final = [(v, name) for name, v in lowered.writes.items() if id(v) not in in_place and not v.host]
    levels: list[list[Region]] = [[] for _ in range(max(level, default=-1) + 1)]
    for r, region in enumerate(regions):
        levels[level[r]].append(region)
    return _with_copies(Schedule(levels, in_place, final, needed))


def _external_reads(region: Region, producer: dict[int, int], r: int) -> dict[int, Value]:
    found: dict[int, Value] = {}
    for call in region.calls:
        for value in call.inputs:
            if producer.get(id(value)) != r:
                found[id(value)] = value
    return found


def _candidates(
    lowered: Lowered, regions: list[Region], producer: dict[int, int], log: list[Copied]
) -> dict[int, str]:
    """Values that their own region could compute in the array of the variable they are written to."""
    in_place: dict[int, str] = {}
    for name, value in lowered.writes.items():
        if value.host:
            continue
        if id(value) not in producer or value.base is not None or value.parts:
            kept: Kept | None = Kept.ELSEWHERE
        else:
            kept = _misaligned(regions[producer[id(value)]], value, lowered.variables[name])
        if kept is None:
            in_place.setdefault(id(value), name)
        else:
            log.append(Copied(kept, name, value))
    return in_place


def _misaligned(region: Region, value: Value, variable: Value) -> Kept | None:
    """None if the region reads the variable only where it writes the value: same element or row, before the write."""
    extent = next(
        p.extent for c in region.calls for p, v in zip(c.body.outputs, c.outputs, strict=True) if v is value
    )
    if region.mode == LIBRARY and any(v is variable for v in region.calls[0].inputs):
        return Kept.LIBRARY
    for call in region.calls:
        if region.mode == LISTED and value in call.outputs:
            carried = call.body.carries[call.outputs.index(value)]
            if call.inputs[carried] is not variable:
                return Kept.ROWS
        for param, read in zip(call.body.params, call.inputs, strict=True):
            if read.whole is variable and (param.extent != extent or extent == Extent.TENSOR):
                return Kept.NEIGHBOURS
    return None


def _reads_before_writes(
    reads: list[dict[int, Value]], in_place: dict[int, str], producer: dict[int, int]
) -> list[dict[int, list[int]]]:
    """For each region: who must run first because it reads what the region overwrites, and the values at stake."""
    writers = {name: (producer[key], key) for key, name in in_place.items()}
    found: list[dict[int, list[int]]] = [{} for _ in reads]
    for r, values in enumerate(reads):
        for value in values.values():
            if value.whole.variable in writers:
                writer, key = writers[value.whole.variable]
                if writer != r:
                    found[writer].setdefault(r, []).append(key)
    return found


class _Order:
    """Kahn's algorithm over data flow and reads before writes. When only the latter are in the way, the lowest
    region in waiting gives up writing in place."""

    def __init__(
        self, before: list[set[int]], readers: list[dict[int, list[int]]], in_place: dict[int, str]
    ) -> None:
        n = len(before)
        self.readers = readers
        self.in_place = in_place
        self.data_left = [len(b) for b in before]
        self.reads_left = [set(r) for r in readers]
        self.after: list[list[int]] = [[] for _ in range(n)]
        self.writes_after: list[list[int]] = [[] for _ in range(n)]
        for r in range(n):
            for b in before[r]:
                self.after[b].append(r)
            for b in readers[r]:
                self.writes_after[b].append(r)
        self.ready = [r for r in range(n) if not self.data_left[r] and not self.reads_left[r]]
        self.waiting = [r for r in range(n) if not self.data_left[r] and self.reads_left[r]]
        heapq.heapify(self.ready)
        heapq.heapify(self.waiting)
        self.level = [0] * n
        self.done = [False] * n
        self.given_up: list[tuple[str, int]] = []  # variables not written in place, and a reader of each

    def levels(self) -> list[int]:
        while self.ready or self.waiting:
            if self.ready:
                self._finish(heapq.heappop(self.ready))
            else:
                self._give_up(heapq.heappop(self.waiting))
        assert all(self.done), "regions have a cycle"
        return self.level

    def _give_up(self, r: int) -> None:
        if self.done[r] or not self.reads_left[r]:
            return
        for reader in sorted(self.reads_left[r]):
            for key in self.readers[r][reader]:
                if key in self.in_place:
                    self.given_up.append((self.in_place.pop(key), reader))
        self.reads_left[r].clear()
        heapq.heappush(self.ready, r)

    def _finish(self, r: int) -> None:
        if self.done[r]:
            return
        self.done[r] = True
        for s in self.after[r]:
            self.level[s] = max(self.level[s], self.level[r] + 1)
            self.data_left[s] -= 1
            if not self.data_left[s]:
                heapq.heappush(self.waiting if self.reads_left[s] else self.ready, s)
        for s in self.writes_after[r]:
            if r in self.reads_left[s]:
                self.level[s] = max(self.level[s], self.level[r] + 1)
                self.reads_left[s].discard(r)
                if not self.reads_left[s] and not self.data_left[s]:
                    heapq.heappush(self.ready, s)


def _with_copies(plan: Schedule) -> Schedule:
    """A lazy update that is not in place starts from a copy of the whole array, made one level earlier."""
    levels: list[list[Region]] = []
    for level in plan.levels:
        copies = [
            Region([copy_call(call.inputs[call.body.carries[k]], value, call.node)], value.shape, DENSE)
            for region in level
            if region.mode == LISTED
            for call in region.calls
            for k, value in enumerate(call.outputs)
            if id(value) not in plan.in_place
        ]
        if copies:
            levels.append(copies)
        levels.append(level)
    return Schedule(levels, plan.in_place, plan.deferred, plan.needed)

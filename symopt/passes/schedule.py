"""When each region runs, and which variables can be written in place.

Every read of a variable means its value at the start of the step, so a region that reads it runs before the one
that overwrites it. Where that is impossible the new value goes to a buffer, and is copied when all else is done.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from ..expr import Extent
from .ir import DENSE, LISTED, Lowered, Region, Value
from .lower import copy_call


@dataclass(eq=False)
class Schedule:
    """`levels[k]`: regions that may run together after all before. `in_place[id(value)]`: the variable whose array it
    is computed in. `deferred`: values copied into their variable at the end."""

    levels: list[list[Region]]
    in_place: dict[int, str]
    deferred: list[tuple[Value, str]]
    needed: set[int]  # ids of the values that some other region, a head or a variable takes


def schedule(lowered: Lowered, regions: list[Region]) -> Schedule:
    """Order regions by data flow and by reads before writes."""
    producer = {id(v): r for r, region in enumerate(regions) for c in region.calls for v in c.outputs}
    reads = [_external_reads(region, producer, r) for r, region in enumerate(regions)]
    in_place, deferred = _candidates(lowered, regions, reads, producer)
    before: list[set[int]] = [set() for _ in regions]
    for r, values in enumerate(reads):
        for value in values.values():
            for part in value.parts or (value,):
                if id(part) in producer and producer[id(part)] != r:
                    before[r].add(producer[id(part)])
    must_precede = _reads_before_writes(reads, in_place, producer)
    level = _levels(before, must_precede, in_place, producer)
    needed = {id(v) for values in reads for v in values.values()} | {id(v) for v in lowered.heads}
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
    lowered: Lowered, regions: list[Region], reads: list[dict[int, Value]], producer: dict[int, int]
) -> tuple[dict[int, str], list[str]]:
    """Values that could be computed in the array of the variable they are written to, as far as their own region goes."""
    in_place: dict[int, str] = {}
    for name, value in lowered.writes.items():
        if value.host or id(value) not in producer or value.base is not None or value.parts:
            continue
        region = regions[producer[id(value)]]
        variable = lowered.variables[name]
        if _aligned(region, value, variable):
            in_place.setdefault(id(value), name)
    return in_place, []


def _aligned(region: Region, value: Value, variable: Value) -> bool:
    """Whether the region reads the variable only where it writes the value: same element or row, before the write."""
    extent = next(
        p.extent for c in region.calls for p, v in zip(c.body.outputs, c.outputs, strict=True) if v is value
    )
    for call in region.calls:
        for param, read in zip(call.body.params, call.inputs, strict=True):
            if read is variable and (param.extent != extent or extent == Extent.TENSOR):
                return False
    return True


def _reads_before_writes(
    reads: list[dict[int, Value]], in_place: dict[int, str], producer: dict[int, int]
) -> list[dict[int, list[int]]]:
    """For each region: the regions that must run first because they read what it overwrites, and the values at stake."""
    writers = {name: (producer[key], key) for key, name in in_place.items()}
    found: list[dict[int, list[int]]] = [{} for _ in reads]
    for r, values in enumerate(reads):
        for value in values.values():
            if value.variable in writers:
                writer, key = writers[value.variable]
                if writer != r:
                    found[writer].setdefault(r, []).append(key)
    return found


def _levels(
    before: list[set[int]], must_precede: list[dict[int, list[int]]], in_place: dict[int, str], producer: dict[int, int]
) -> list[int]:
    """Kahn's algorithm; when only reads before writes are left in the way, the lowest region gives up writing in place."""
    n = len(before)
    data_left = [len(b) for b in before]
    war_left = [set(w) for w in must_precede]
    after: list[list[int]] = [[] for _ in range(n)]
    war_after: list[list[int]] = [[] for _ in range(n)]
    for r in range(n):
        for b in before[r]:
            after[b].append(r)
        for b in must_precede[r]:
            war_after[b].append(r)
    ready = [r for r in range(n) if not data_left[r] and not war_left[r]]
    heapq.heapify(ready)
    waiting = [r for r in range(n) if not data_left[r] and war_left[r]]
    heapq.heapify(waiting)
    level = [0] * n
    done = [False] * n
    while ready or waiting:
        if not ready:
            r = heapq.heappop(waiting)
            if done[r] or not war_left[r]:
                continue
            for reader in war_left[r]:
                for key in must_precede[r][reader]:
                    in_place.pop(key, None)
            war_left[r].clear()
            heapq.heappush(ready, r)
            continue
        r = heapq.heappop(ready)
        if done[r]:
            continue
        done[r] = True
        for s in after[r]:
            level[s] = max(level[s], level[r] + 1)
            data_left[s] -= 1
            if not data_left[s]:
                heapq.heappush(waiting if war_left[s] else ready, s)
        for s in war_after[r]:
            if r in war_left[s]:
                level[s] = max(level[s], level[r] + 1)
                war_left[s].discard(r)
                if not war_left[s] and not data_left[s] and not done[s]:
                    heapq.heappush(ready, s)
    assert all(done), "regions have a cycle"
    return level


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

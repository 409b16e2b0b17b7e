"""Calls to regions: what runs as one kernel.

A call joins the region of what it reads when both run over the same domain and nothing it needs comes later. A
sum over a tensor is complete only when its kernel is: what reads it starts a later region.
"""

from __future__ import annotations

from ..expr import Extent, toposort
from ..prims import REDUCTIONS
from .ir import DENSE, LISTED, REDUCE, STANDARD, Body, Call, Region, Shape, Value


def partition(calls: list[Call]) -> list[Region]:
    """The regions, in an order that respects data flow; calls keep their order inside."""
    regions: list[Region] = []
    by_rows: list[bool] = []
    home: dict[int, int] = {}  # of each value made so far: its region
    sums: dict[tuple[tuple[int, ...], Shape], int] = {}  # reductions of one array, to make them in one pass
    for call in calls:
        latest = max((_home(v, home) for v in call.inputs), default=-1)
        key = (tuple(id(v) for v in call.inputs if v.shape == call.domain), call.domain)
        place = sums.get(key, latest) if call.body.mode == REDUCE else latest
        if place < latest or place < 0 or not _fits(call, regions[place], by_rows[place]):
            place = len(regions)
            regions.append(Region([], call.domain, call.body.mode))
            by_rows.append(False)
        region = regions[place]
        region.calls.append(call)
        by_rows[place] = by_rows[place] or needs_rows(call.body)
        if call.body.mode == REDUCE:
            region.mode = REDUCE
            sums[key] = place
        for value in call.outputs:
            home[id(value)] = place
    return regions


def _home(value: Value, home: dict[int, int]) -> int:
    if value.parts:
        return max(home[id(part)] for part in value.parts)
    return home.get(id(value), -1)


def _fits(call: Call, region: Region, region_by_rows: bool) -> bool:
    if call.domain != region.domain or LISTED in (call.body.mode, region.mode) or call.body.mode == STANDARD:
        return False
    made = {id(v): (c, k) for c in region.calls for k, v in enumerate(c.outputs)}
    for value in call.inputs:
        if value.parts and any(id(part) in made for part in value.parts):
            return False
        if id(value) in made:
            producer, k = made[id(value)]
            if producer.body.mode == REDUCE or producer.body.outputs[k].extent == Extent.TENSOR != _extent(call, value):
                return False
    if REDUCE in (call.body.mode, region.mode):
        return region.mode in (DENSE, REDUCE) and not region_by_rows and not needs_rows(call.body)
    return True


def _extent(call: Call, value: Value) -> Extent:
    return next(p.extent for p, v in zip(call.body.params, call.inputs, strict=True) if v is value)


_NEEDS_ROWS: dict[int, tuple[Body, bool]] = {}


def needs_rows(body: Body) -> bool:
    """Whether a body has anything per row, so that its domain is rows rather than a flat run of elements."""
    known = _NEEDS_ROWS.get(id(body))
    if known is None:
        per_row = any(p.extent == Extent.ROW for p in (*body.params, *body.outputs)) or any(
            n.op in REDUCTIONS and REDUCTIONS[n.op].extent == Extent.ROW for n in toposort(body.roots)
        )
        known = _NEEDS_ROWS[id(body)] = (body, per_row or body.mode in (LISTED, STANDARD))
    return known[1]

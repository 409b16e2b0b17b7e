"""Calls to regions: what runs as one kernel.

A call joins the regions of what it reads when all run over the same domain and nothing in between needs or feeds
them. A sum over a tensor is complete only when its kernel is: what reads it starts a later region.
"""

from __future__ import annotations

from ..expr import Extent, toposort
from ..prims import NEED_ROWS
from .ir import DENSE, LIBRARY, LISTED, REDUCE, STANDARD, Body, Call, Lowered, Region, Shape, Value
from .reasons import MAX_CALLS, Apart, Misfit, Refusal

# Made once: a large graph has many calls that fit nowhere.
_LISTED, _LIBRARY, _SHAPES, _FULL = map(Misfit, (Apart.LISTED, Apart.LIBRARY, Apart.SHAPES, Apart.FULL))
_SPARSE_SUM, _BLOCKS, _LATER, _BETWEEN = map(
    Misfit, (Apart.SPARSE_SUM, Apart.BLOCKS, Apart.LATER, Apart.BETWEEN)
)


def partition(lowered: Lowered, log: list[Refusal] | None = None) -> list[Region]:
    """The regions, in an order that respects data flow; calls keep their order inside. `log`: gains who was refused
    by whom, and why."""
    return _Partition(lowered, log).run()


class _Open:
    """A region that may still grow. `needs`, `users`: the regions it reads from and those that read from it. `made`, by
    id of a value: who makes it, as which output; `begun`: vectors of which an element is made."""

    __slots__ = ("begun", "by_rows", "made", "needs", "region", "users")

    def __init__(self, region: Region) -> None:
        self.region = region
        self.by_rows = False
        self.made: dict[int, tuple[Call, int]] = {}
        self.begun: dict[int, Call] = {}
        self.needs: set[int] = set()
        self.users: set[int] = set()


class _Partition:
    def __init__(self, lowered: Lowered, log: list[Refusal] | None) -> None:
        self.calls = lowered.calls
        self.log = log
        self.open: list[_Open] = []
        self.moved: dict[int, int] = {}  # regions that were merged into another
        self.home: dict[int, int] = {}  # of each value made so far: its region
        self.sums: dict[
            tuple[tuple[int, ...], Shape], int
        ] = {}  # reductions of one array, to make in one pass
        # Variables that the step writes: regions that read or write one of them had better be the same region.
        self.written = {name for name, value in lowered.writes.items() if not value.host}
        self.target = {id(v): name for name, v in lowered.writes.items() if not v.host}
        self.touched: dict[str, int] = {}

    def run(self) -> list[Region]:
        for call in self.calls:
            needed = self._needed(call)
            place = self._gather(call, needed)
            if place < 0:
                place = len(self.open)
                self.open.append(_Open(Region([], call.domain, call.body.mode)))
            self._add(call, place, needed)
        return [o.region for k, o in enumerate(self.open) if k not in self.moved]

    def _find(self, r: int) -> int:
        """Where region r is now, after merges."""
        while r in self.moved:
            r = self.moved[r]
        return r

    def _needed(self, call: Call) -> set[int]:
        """The regions that make what the call reads."""
        home = self.home
        found = set()
        for value in call.inputs:
            for v in value.sources:
                if id(v) in home:
                    found.add(self._find(home[id(v)]))
        return found

    def _gather(self, call: Call, needed: set[int]) -> int:
        """The region that the call joins: the producers it fits, merged if they can be; -1 for a region of its own."""
        latest = max(needed, default=-1)
        fitting = sorted(r for r in needed if self._admits(r, call))
        for r in self._neighbours(call):
            if r not in needed and self._admits(r, call):
                if r >= latest:
                    fitting.append(r)
                else:
                    self._refuse(_LATER, [call], r)
        if not fitting:
            return -1
        place = fitting[0]
        for other in fitting[1:]:
            place, other = self._find(place), self._find(other)
            merged = self._merge(min(place, other), max(place, other), call)
            place = merged if merged >= 0 else max(place, other)
        rest = {self._find(r) for r in needed} - {place}
        if max(rest, default=-1) > place:
            self._refuse(_LATER, [call], place)
            return -1
        return place if self._admits(place, call) else -1

    def _admits(self, r: int, call: Call) -> bool:
        """Whether a call fits region r."""
        misfit = _misfit(call, self.open[r])
        if misfit is None:
            return True
        if self.log is not None:
            self._refuse(misfit, [call], r)
        return False

    def _refuse(self, misfit: Misfit, calls: list[Call], r: int) -> None:
        if self.log is None:
            return
        target = self.open[r]
        if misfit is _SHAPES:  # the first reason found; if there is this one as well, no shape would help
            misfit = _unfinished(calls[-1], target) or misfit
        self.log.append(Refusal(misfit.reason, tuple(calls), tuple(target.region.calls), misfit.culprit))

    def _neighbours(self, call: Call) -> list[int]:
        """Regions without data in common that still save a pass: sums of one array, writers of what is read here."""
        found = []
        if call.body.mode == REDUCE:
            found.append(self.sums.get(_read(call), -1))
        if self.touched:
            names = [v.variable for v in call.inputs if v.variable in self.written]
            names += [self.target[id(v)] for v in call.outputs if id(v) in self.target]
            found += [self.touched.get(name, -1) for name in names if name is not None]
        return list(dict.fromkeys(self._find(r) for r in found if r >= 0))

    def _merge(self, low: int, high: int, call: Call) -> int:
        """Merge two regions, both of which `call` fits, where one can move to the other's place; the place, or -1."""
        if low == high:
            return low
        a, b = self.open[low], self.open[high]
        misfit = _mismatch(a, b)
        if misfit is not None:
            self._refuse(misfit, [*b.region.calls, call], low)
            return -1
        if max((self._find(r) for r in b.needs), default=-1) <= low:
            place, gone = low, high
        elif min((self._find(r) for r in a.users), default=high) >= high:
            place, gone = high, low
        else:
            self._refuse(_BETWEEN, [*b.region.calls, call], low)
            return -1
        self.moved[gone] = place
        merged = self.open[place] = _Open(Region([*a.region.calls, *b.region.calls], a.region.domain, DENSE))
        merged.region.mode = _joint_mode(a.region.mode, b.region.mode)
        merged.by_rows = a.by_rows or b.by_rows
        merged.made = {**a.made, **b.made}
        merged.begun = {**a.begun, **b.begun}
        merged.needs = {r for r in (a.needs | b.needs) if self._find(r) != place}
        merged.users = {r for r in (a.users | b.users) if self._find(r) != place}
        return place

    def _add(self, call: Call, place: int, needed: set[int]) -> None:
        target = self.open[place]
        target.region.calls.append(call)
        target.region.mode = _joint_mode(target.region.mode, call.body.mode)
        target.by_rows = target.by_rows or needs_rows(call.body)
        for r in needed:
            r = self._find(r)
            if r != place:
                target.needs.add(r)
                self.open[r].users.add(place)
        for k, value in enumerate(call.outputs):
            self.home[id(value)] = place
            target.made[id(value)] = (call, k)
            if value.base is not None:
                target.begun[id(value.base[0])] = call
            if id(value) in self.target:
                self.touched[self.target[id(value)]] = place
        for value in call.inputs:
            if value.variable is not None and value.variable in self.written:
                self.touched[value.variable] = place
        if call.body.mode == REDUCE:
            self.sums[_read(call)] = place


def _read(call: Call) -> tuple[tuple[int, ...], Shape]:
    params = zip(call.body.params, call.inputs, strict=True)
    return tuple(id(v) for p, v in params if p.extent == Extent.ELEMENT), call.domain


def _joint_mode(a: str, b: str) -> str:
    """Plain element work can be done in any kernel's pass."""
    return a if b == DENSE else b


def _mismatch(a: _Open, b: _Open) -> Misfit | None:
    """Why the calls of b do not fit a; None if they do."""
    if len(a.region.calls) + len(b.region.calls) > MAX_CALLS:
        return _FULL
    for call in b.region.calls:
        misfit = _misfit(call, a)
        if misfit is not None:
            return misfit
    return None


def _misfit(call: Call, target: _Open) -> Misfit | None:
    """Why a call does not fit a region; None if it does."""
    region, mode = target.region, call.body.mode
    modes = (mode, region.mode)
    if LISTED in modes:
        return _LISTED
    if LIBRARY in modes:
        return _LIBRARY
    if call.domain != region.domain:
        return _SHAPES
    if len(region.calls) >= MAX_CALLS:
        return _FULL
    if mode == STANDARD:
        return Misfit(Apart.STARTS, call)
    if REDUCE in modes:
        if STANDARD in modes:
            return _SPARSE_SUM
        if target.by_rows or needs_rows(call.body):
            return _BLOCKS
    return _unfinished(call, target)


def _unfinished(call: Call, target: _Open) -> Misfit | None:
    """Whether the call reads what the region has not made before its end."""
    made, begun = target.made, target.begun
    for value in call.inputs:
        if id(value) in made:
            producer, k = made[id(value)]
            extent = producer.body.outputs[k].extent
            if producer.body.mode == REDUCE:
                return Misfit(Apart.REDUCTION, producer)
            if extent == Extent.TENSOR and _extent(call, value) != extent:
                return Misfit(Apart.NUMBER, producer)
        elif id(value) in begun:
            return Misfit(Apart.PARTS, begun[id(value)])
        elif value.base is not None and id(value.base[0]) in made:
            return Misfit(Apart.PARTS, made[id(value.base[0])][0])
    return None


def _extent(call: Call, value: Value) -> Extent:
    return next(p.extent for p, v in zip(call.body.params, call.inputs, strict=True) if v is value)


_NEEDS_ROWS: dict[int, tuple[Body, bool]] = {}


def needs_rows(body: Body) -> bool:
    """Whether a body has anything per row, so that its domain is rows rather than a flat run of elements."""
    known = _NEEDS_ROWS.get(id(body))
    if known is None:
        per_row = any(p.extent == Extent.ROW for p in (*body.params, *body.outputs)) or any(
            n.op in NEED_ROWS for n in toposort(body.roots)
        )
        known = _NEEDS_ROWS[id(body)] = (body, per_row or body.mode in (LISTED, STANDARD))
    return known[1]

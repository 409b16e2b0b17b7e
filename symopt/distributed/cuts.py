"""How dense parameters are cut over owners: where a rule lets them be cut, and who gets which piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import lcm, prod
from typing import Any, NamedTuple

import numpy as np

from ..canonical import BLOCK
from ..expr import Extent, toposort
from ..opdef import OpDef
from ..shapes import formula_inputs, reach
from ..trace import trace
from ..training.update import Update

LINE = 64  # bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements `start` to `stop` of a parameter of `size` elements, counted as they lie in memory.

    `shape`: of the array that the owner has: the parameter's own if it is whole, (rows, ...) if it is cut between rows,
    else (elements,).
    """

    name: str
    start: int
    stop: int
    size: int
    shape: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it is the parameter."""
        return (self.start, self.stop) == (0, self.size)

    def of(self, array: Any) -> Any:
        """Its part, flat, of an array of the parameter's: of one with a value for each element, or for each row."""
        flat = array.reshape(-1)
        if self.is_whole:
            return flat
        return flat[self.start * flat.size // self.size : self.stop * flat.size // self.size]


class Cuttable(NamedTuple):
    """A parameter to be cut. `grain`: elements between places where it may be; `cost`: bytes for each element."""

    name: str
    shape: tuple[int, ...]
    grain: int
    cost: float


def span(update: Update) -> Extent:
    """How far a rule looks from one element: it may be cut between ELEMENTs, between ROWs, or not within the TENSOR."""
    op = update.op
    flags = tuple((n, update.attrs.get(n, op.attrs[n].default)) for n in op.structural)
    if update.attrs.get("rounding") == "stochastic":  # made from the index of the element in its tensor
        return Extent.TENSOR
    return min(reach(op, flags), _places(op, flags))


@cache
def _places(op: OpDef, flags: tuple[tuple[str, Any], ...]) -> Extent:
    """What of its place in the tensor an element must know."""
    if op.is_matrix:
        return Extent.TENSOR
    _, outputs = trace(op, formula_inputs(op, {}), dict(flags), {}, {})
    nodes = toposort(outputs.values())
    seen = {node.op for node in nodes} | {node.attrs["name"] for node in nodes if node.op == "scalar"}
    if seen & {"index", "count:tensor", "count:column"}:
        return Extent.TENSOR
    by_row = bool(seen & {"column", "count:row"}) or any(i.kind == "row_state" for i in op.inputs)
    return Extent.ROW if by_row else Extent.ELEMENT


def grain(span: Extent, shape: tuple[int, ...], itemsize: int, has_sums: bool = False) -> int:
    """Elements between places where a parameter may be cut, at least 1. `has_sums`: sums over it are made of sums over
    the pieces, which the order of the canonical sum allows between its blocks.

    >>> extents = Extent.ROW, Extent.ELEMENT, Extent.TENSOR
    >>> [grain(extent, (100, 12), 4) for extent in extents]
    [12, 16, 1200]
    """
    size = prod(shape)
    if span == Extent.TENSOR:
        return max(size, 1)
    found = max(prod(shape[1:]), 1) if span == Extent.ROW else max(LINE // itemsize, 1)
    return lcm(found, BLOCK) if has_sums else found


def cut(params: Sequence[Cuttable], n_owners: int) -> list[list[Piece]]:
    """The pieces of each owner. What can't be cut goes to the one that has least, the largest first; the others are one
    flat space in their order, cut so that all have equally much. No owner has two pieces of a parameter.

    >>> owners = cut([Cuttable("a", (100,), 16, 4.0), Cuttable("b", (30, 2), 60, 4.0)], 2)
    >>> [[(p.name, p.start, p.stop) for p in pieces] for pieces in owners]
    [[('a', 0, 16), ('b', 0, 60)], [('a', 16, 100)]]
    """
    loads = np.zeros(n_owners)
    places: dict[str, list[tuple[int, int, int]]] = {}
    whole = [p for p in params if p.grain >= prod(p.shape)]
    loose = [p for p in params if p.grain < prod(p.shape)]
    for p in sorted(whole, key=lambda p: -p.cost * prod(p.shape)):
        owner = int(np.argmin(loads))
        loads[owner] += p.cost * prod(p.shape)
        places[p.name] = [(owner, 0, prod(p.shape))]
    places |= _flat(loose, np.cumsum(_quotas(loads, sum(p.cost * prod(p.shape) for p in loose))))
    found: list[list[Piece]] = [[] for _ in range(n_owners)]
    for p in params:
        for owner, start, stop in places[p.name]:
            found[owner].append(_piece(p, start, stop))
    return found


def _quotas(loads: Any, rest: float) -> Any:
    """What each owner gets of the rest, so that the smallest loads are levelled: (n_owners,)."""
    ordered = np.sort(loads)
    filled = np.arange(1, len(ordered) + 1) * ordered - np.cumsum(ordered)  # to lift all before to this one
    n = int(np.count_nonzero(filled <= rest))
    level = (rest + ordered[:n].sum()) / n
    return np.maximum(level - loads, 0)


def _flat(params: Sequence[Cuttable], bounds: Any) -> dict[str, list[tuple[int, int, int]]]:
    """Owner, start and stop of each piece of each parameter; `bounds`: where each owner's share of the space ends."""
    found, before = {}, 0.0
    for p in params:
        size = prod(p.shape)
        wished = np.rint((bounds[:-1] - before) / p.cost / p.grain) * p.grain
        edges = [0, *np.clip(wished, 0, size).astype(int).tolist(), size]
        found[p.name] = [(k, a, b) for k, (a, b) in enumerate(pairwise(edges)) if a < b]
        before += p.cost * size
    return found


def _piece(p: Cuttable, start: int, stop: int) -> Piece:
    size, row = prod(p.shape), prod(p.shape[1:])
    if (start, stop) == (0, size):
        return Piece(p.name, start, stop, size, p.shape)
    by_rows = len(p.shape) > 1 and start % row == 0 and stop % row == 0
    shape = ((stop - start) // row, *p.shape[1:]) if by_rows else (stop - start,)
    return Piece(p.name, start, stop, size, shape)

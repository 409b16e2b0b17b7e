"""Which items of a View are alike, so that a thousand updates can be drawn as one.

Two items are alike if they are the same kind of thing and so are their neighbours, up to a distance. What hangs together
without the items that many share is a *unit*: one tensor's update with its weight, gradient and states. Units of the same
make-up fold and unfold together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from .model import Item, View

RADIUS = 3  # how far neighbours are compared
FEW = 12  # an item with more neighbours is shared: a norm of all gradients, a learning rate


class Alike(NamedTuple):
    """Two numbers for each item: its class (all items alike have the same), and its unit."""

    classes: list[int]
    units: list[int]


def find_alike(view: View) -> Alike:
    """Classes and units of a View's items, in time linear in its size."""
    reads, feeds = _neighbours(view)
    classes = _classes(view, reads, feeds)
    return Alike(classes, _units(classes, reads, feeds))


Neighbours = Sequence[Sequence[tuple[int, int]]]  # of each item: (the other item, how it is linked)


def _neighbours(view: View) -> tuple[Neighbours, Neighbours]:
    """What each item reads and feeds. Among many inputs the position says nothing."""
    reads: list[list[tuple[int, int]]] = [[] for _ in view.items]
    feeds: list[list[tuple[int, int]]] = [[] for _ in view.items]
    n_inputs = [0] * len(view.items)
    for link in view.links:
        n_inputs[link.target] += 1
    for link in view.links:
        port = link.port if n_inputs[link.target] <= FEW else -1
        how = port * 64 + link.output
        reads[link.target].append((link.source, how))
        feeds[link.source].append((link.target, how))
    return reads, feeds


def _classes(view: View, reads: Neighbours, feeds: Neighbours) -> list[int]:
    classes = _numbered([_look(item) for item in view.items])
    for _ in range(RADIUS):
        keys = [
            (
                classes[i],
                tuple(sorted({(how, classes[j]) for j, how in reads[i]})),
                tuple(sorted({(how, classes[j]) for j, how in feeds[i]})),
            )
            for i in range(len(view.items))
        ]
        finer = _numbered(keys)
        if max(finer, default=0) == max(classes, default=0):
            break
        classes = finer
    return classes


def _look(item: Item) -> Hashable:
    """What an item is without its neighbours, its name, its size and its numbers."""
    return item.kind, item.op, item.dtype, item.stype, item.kernels, tuple(item.attrs)


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """Equal keys get equal numbers, in the order of first use."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _units(classes: Sequence[int], reads: Neighbours, feeds: Neighbours) -> list[int]:
    """Connected components without shared items; each of those is a unit of its own."""
    shared = [
        len({j for j, _ in reads[i]}) > FEW
        or len({j for j, _ in feeds[i]}) > FEW
        or any(classes[j] == classes[i] for j, _ in feeds[i])  # a link of a chain: a + b + c + ...
        or any(classes[j] == classes[i] for j, _ in reads[i])
        for i in range(len(classes))
    ]
    units = [-1] * len(classes)
    for start in range(len(classes)):
        if units[start] >= 0:
            continue
        units[start] = start
        open_ = [] if shared[start] else [start]
        while open_:
            i = open_.pop()
            for j, _ in (*reads[i], *feeds[i]):
                if units[j] < 0 and not shared[j]:
                    units[j] = start
                    open_.append(j)
    return _numbered(units)

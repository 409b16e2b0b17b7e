"""Which items of a View are alike, so that a thousand updates can be drawn as one.

Two items are alike if they are the same kind of thing and so are their neighbours, up to a distance. What hangs
together without the items that many share is a *unit*: one tensor's update with its weight, gradient and states. Units
of the same make-up fold and unfold together.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
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
    names = {kernel.number: kernel.name for kernel in view.kernels}
    looks = _numbered([_look(item, names) for item in view.items])
    runs = _runs(view)
    reads, feeds = _neighbours(view, runs)
    classes = _classes([looks[run] for run in runs], reads, feeds)
    classes = _numbered([classes[run] for run in runs])
    units = _units(_shared(runs, reads, feeds), reads, feeds)
    chained = _repeated(classes, units)
    if any(chained):
        shared = [a or b for a, b in zip(_shared(runs, reads, feeds), chained, strict=True)]
        units = _units(shared, reads, feeds)
    return Alike(classes, units)


Neighbours = Sequence[Sequence[tuple[int, int]]]  # of each item: (the other item, how it is linked)


def _runs(view: View) -> list[int]:
    """For each item the first of its run, or itself: a + b + c + ... is one sum, however many links it has."""
    first = list(range(len(view.items)))
    for link in view.links:  # they lead forward, so a source's run is known
        source, target = view.items[link.source], view.items[link.target]
        if (source.kind, source.op) == (target.kind, target.op):
            first[link.target] = first[link.source]
    size: dict[int, int] = {}
    for run in first:
        size[run] = size.get(run, 0) + 1
    return [run if size[run] > FEW else i for i, run in enumerate(first)]


def _neighbours(view: View, runs: Sequence[int]) -> tuple[Neighbours, Neighbours]:
    """What each item, or run, reads and feeds. Among many inputs or outputs the position says nothing."""
    reads: list[list[tuple[int, int]]] = [[] for _ in view.items]
    feeds: list[list[tuple[int, int]]] = [[] for _ in view.items]
    n_inputs, last_output = [0] * len(view.items), [0] * len(view.items)
    for link in view.links:
        n_inputs[runs[link.target]] += 1
        last_output[link.source] = max(last_output[link.source], link.output)
    for link in view.links:
        source, target = runs[link.source], runs[link.target]
        if source != target:
            port = link.port if n_inputs[target] <= FEW else FEW
            how = port * 64 + (link.output if last_output[link.source] <= FEW else FEW)
            reads[target].append((source, how))
            feeds[source].append((target, how))
    return reads, feeds


def _classes(looks: Sequence[int], reads: Neighbours, feeds: Neighbours) -> list[int]:
    classes = _numbered(looks)
    for _ in range(RADIUS):
        keys = [
            (
                classes[i],
                tuple(sorted({(how, classes[j]) for j, how in reads[i]})),
                tuple(sorted({(how, classes[j]) for j, how in feeds[i]})),
            )
            for i in range(len(looks))
        ]
        finer = _numbered(keys)
        if max(finer, default=0) == max(classes, default=0):
            break
        classes = finer
    return classes


def _look(item: Item, names: Mapping[int, str]) -> Hashable:
    """What an item is without its neighbours, its name, its size and its numbers."""
    kernels = tuple(names.get(number, "") for number in item.kernels)
    return item.kind, item.op, item.dtype, item.stype, kernels, tuple(item.attrs)


def _numbered(keys: Sequence[Hashable]) -> list[int]:
    """Equal keys get equal numbers, in the order of first use."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _shared(runs: Sequence[int], reads: Neighbours, feeds: Neighbours) -> list[bool]:
    """Whether an item has many neighbours, or is of a run."""
    length: dict[int, int] = {}
    for run in runs:
        length[run] = length.get(run, 0) + 1
    return [
        length[run] > 1 or any(len({j for j, _ in linked[run]}) > FEW for linked in (reads, feeds))
        for run in runs
    ]


def _repeated(classes: Sequence[int], units: Sequence[int]) -> list[bool]:
    """Whether many of an item's class are in its own unit: a chain of launches, each with the array it makes."""
    count: dict[tuple[int, int], int] = {}
    for pair in zip(classes, units, strict=True):
        count[pair] = count.get(pair, 0) + 1
    return [count[pair] > FEW for pair in zip(classes, units, strict=True)]


def _units(shared: Sequence[bool], reads: Neighbours, feeds: Neighbours) -> list[int]:
    """Connected components without shared items; each of those is a unit of its own."""
    units = [-1] * len(shared)
    for start in range(len(shared)):
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

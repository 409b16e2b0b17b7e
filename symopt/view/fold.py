"""A shown graph with what is alike drawn once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from .model import Item, Link, View


def folded(view: View) -> View:
    """The view with items alike as one, whose `count` is the sum of theirs.

    Items are alike if they differ in name, shape and place in the source only, are made of items alike, and items alike
    are made of them. Which of those alike belong together is no longer seen.
    """
    classes = _classes(view)
    first: dict[int, int] = {}  # by class: the position of its item in the new view
    items: list[Item] = []
    counts: list[int] = []
    for item, number in zip(view.items, classes, strict=True):
        if number not in first:
            first[number] = len(items)
            items.append(item)
            counts.append(0)
        counts[first[number]] += item.count
    place = [first[number] for number in classes]
    links = {Link(place[x.source], place[x.target], x.port, x.output): None for x in view.links}
    made = [replace(item, count=count) for item, count in zip(items, counts, strict=True)]
    return _in_order(replace(view, items=tuple(made), links=tuple(links)))


def _classes(view: View) -> list[int]:
    """The class of each item: first by what it is made of, then by what is made of it as well."""
    inputs: list[list[Link]] = [[] for _ in view.items]
    users: list[list[Link]] = [[] for _ in view.items]
    for link in view.links:
        inputs[link.target].append(link)
        users[link.source].append(link)
    numbers: dict[Hashable, int] = {}
    below: list[int] = []
    for item, links in zip(view.items, inputs, strict=True):
        made_of = tuple(sorted({(below[x.source], x.port, x.output) for x in links}))
        key = (item.kind, item.op, item.dtype, item.stype, item.kernels, _attrs(item), made_of)
        below.append(numbers.setdefault(key, len(numbers)))
    found = [0] * len(view.items)
    for k in reversed(range(len(view.items))):
        used = tuple(sorted({(found[x.target], x.port, x.output) for x in users[k]}))
        found[k] = numbers.setdefault((below[k], used), len(numbers))
    return found


def _attrs(item: Item) -> Hashable:
    """Attributes that tell items apart: not the names of what they write."""
    return tuple(sorted((k, v) for k, v in item.attrs.items() if k not in ("out", "kept in", "stored")))


def _in_order(view: View) -> View:
    """The view with items after those that they read, which were first met in any order."""
    inputs: list[set[int]] = [set() for _ in view.items]
    for link in view.links:
        inputs[link.target].add(link.source)
    order = _toposort(inputs)
    place = {old: new for new, old in enumerate(order)}
    links = tuple(Link(place[x.source], place[x.target], x.port, x.output) for x in view.links)
    return replace(view, items=tuple(view.items[old] for old in order), links=links)


def _toposort(inputs: Sequence[set[int]]) -> list[int]:
    order: list[int] = []
    state = [0] * len(inputs)  # 1: its inputs are being placed; 2: placed
    for start in range(len(inputs)):
        stack = [start]
        while stack:
            k = stack[-1]
            if state[k]:
                stack.pop()
                if state[k] == 1:
                    state[k] = 2
                    order.append(k)
                continue
            state[k] = 1
            stack.extend(sorted((x for x in inputs[k] if not state[x]), reverse=True))
    return order

"""A shown graph with what is alike drawn once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

from ..forms import find_op
from .model import Item, Link, View


def folded(view: View) -> View:
    """The view with items alike as one, whose `count` is the sum of theirs.

    Items are alike if they differ in name, shape and place in the source only, are made of items alike, and items alike
    are made of them. Which of those alike belong together is no longer seen. The inputs of an op of any number of
    tensors that play one part have one port.
    """
    view = replace(view, links=tuple(_by_part(view)))
    classes, depths = _classes(view)
    members: dict[int, list[int]] = {}
    for k, number in enumerate(classes):
        members.setdefault(number, []).append(k)
    order = sorted(members.values(), key=lambda found: depths[found[0]])  # links lead to what is deeper
    place = {classes[found[0]]: new for new, found in enumerate(order)}
    items = [replace(view.items[found[0]], count=sum(view.items[k].count for k in found)) for found in order]
    links = (replace(x, source=place[classes[x.source]], target=place[classes[x.target]]) for x in view.links)
    return replace(view, items=tuple(items), links=tuple(dict.fromkeys(links)))


def _by_part(view: View) -> Iterator[Link]:
    """The links, with the port of the first tensor for all tensors of one op."""
    each: dict[str, int] = {}
    for link in view.links:
        op = view.items[link.target].op
        if op not in each:
            each[op] = _inputs_of_each(op)
        yield replace(link, port=link.port % each[op]) if each[op] else link


def _inputs_of_each(name: str) -> int:
    """Of an op of any number of tensors, how many inputs each has; 0 if it is none, or has inputs besides."""
    op = find_op(name)
    if op is None or not op.is_variadic:
        return 0
    if op.base is None:
        return 1
    besides = bool(op.preloaded) or any(spec.kind == "scalar" for spec in op.base.inputs)
    return 0 if besides else len(op.base.inputs)


def _classes(view: View) -> tuple[list[int], list[int]]:
    """The class of each item: first by what it is made of, then by what is made of it as well. And how deep each is."""
    inputs: list[list[Link]] = [[] for _ in view.items]
    users: list[list[Link]] = [[] for _ in view.items]
    for link in view.links:
        inputs[link.target].append(link)
        users[link.source].append(link)
    numbers: dict[Hashable, int] = {}
    below: list[int] = []
    depths: list[int] = []
    for item, links in zip(view.items, inputs, strict=True):
        made_of = tuple(sorted({(below[x.source], x.port, x.output) for x in links}))
        key = (item.kind, item.op, item.dtype, item.stype, item.kernels, _attrs(item), made_of)
        below.append(numbers.setdefault(key, len(numbers)))
        depths.append(1 + max((depths[x.source] for x in links), default=-1))
    found = [0] * len(view.items)
    for k in reversed(range(len(view.items))):
        used = tuple(sorted({(found[x.target], x.port, x.output) for x in users[k]}))
        found[k] = numbers.setdefault((below[k], used), len(numbers))
    return found, depths


def _attrs(item: Item) -> Hashable:
    """Attributes that tell items apart: not the names of what they write."""
    return tuple(sorted((k, v) for k, v in item.attrs.items() if k not in ("out", "kept in", "stored")))

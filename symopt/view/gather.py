"""Items and links while they are being collected."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from .model import Item, Link


class Gathering:
    """Items by key, in the order they were first added, and the links between them, each once."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        self.items: list[Item] = []
        self.links: dict[Link, None] = {}

    def add(self, key: Hashable, item: Item) -> int:
        """The number of the item with this key, which is `item` if there was none."""
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = len(self.items)
            self.items.append(item)
        return found

    def link(self, source: int, target: int, port: int = 0, output: int = 0) -> None:
        self.links[Link(source, target, port, output)] = None

    def mark(self, number: int, **attrs: str) -> None:
        """Add attributes to an item."""
        item = self.items[number]
        self.items[number] = replace(item, attrs={**item.attrs, **attrs})

    def done(self) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
        return tuple(self.items), tuple(self.links)

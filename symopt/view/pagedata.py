"""Views as data for the page: columns of numbers, and each text, shape and formula once."""

from __future__ import annotations

import linecache
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..errors import Where
from .alike import Alike
from .model import Item, KernelItem, View

NONE = -1  # in a column of positions: there is nothing


class Table:
    """Values by position, equal ones once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._positions: dict[Hashable, int] = {}

    def add(self, key: Hashable, value: Any) -> int:
        """The position of the value with this key."""
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = len(self.values)
            self.values.append(value)
        return position


class Tables:
    """What levels share. A formula is positions of its lines; attributes are positions of keys and values in turn."""

    def __init__(self) -> None:
        self.texts, self.shapes, self.sets, self.formulas = Table(), Table(), Table(), Table()
        self.attrs, self.places = Table(), Table()
        self.written: dict[Hashable, dict[str, int]] = {}  # code of kernels

    def text(self, text: str | None) -> int:
        return NONE if text is None else self.texts.add(text, text)

    def shape(self, shape: tuple[int, ...] | None) -> int:
        return NONE if shape is None else self.shapes.add(shape, shape)

    def formula(self, lines: Sequence[str]) -> int:
        key = tuple(lines)
        return self.formulas.add(key, [self.text(line) for line in key]) if key else NONE

    def attributes(self, attrs: Mapping[str, str]) -> int:
        key = tuple(attrs.items())
        return self.attrs.add(key, [self.text(x) for pair in key for x in pair]) if key else NONE

    def place(self, where: Where | None) -> int:
        """A line of source: file, number, and what it says if the file can be read."""
        if where is None:
            return NONE
        return self.places.add(where, [self.text(where.file), where.line, self.text(_quoted(where))])


def _quoted(where: Where) -> str:
    try:
        return linecache.getline(where.file, where.line).strip()
    except ValueError:  # no file can have such a name
        return ""


def encode(views: Sequence[View], alike: Sequence[Alike], title: str) -> dict[str, Any]:
    """What the page's script reads: `tables`, and for each level columns that point into them."""
    tables = Tables()
    levels = [_level(view, found, tables) for view, found in zip(views, alike, strict=True)]
    named = {name: table.values for name, table in vars(tables).items() if isinstance(table, Table)}
    return {"title": title, "tables": named, "levels": levels}


def _level(view: View, alike: Alike, tables: Tables) -> dict[str, Any]:
    return {
        "level": view.level,
        "title": view.title,
        "items": _columns(view.items, tables) | {"cls": alike.classes, "unit": alike.units},
        "links": [x for link in view.links for x in (link.source, link.target, link.port, link.output)],
        "kernels": [_kernel(kernel, tables) for kernel in view.kernels],
    }


def _columns(items: Sequence[Item], tables: Tables) -> dict[str, list[Any]]:
    text = tables.text
    return {
        "kind": [text(i.kind) for i in items],
        "op": [text(i.op) for i in items],
        "name": [i.name for i in items],
        "shape": [tables.shape(i.shape) for i in items],
        "dtype": [text(i.dtype) for i in items],
        "stype": [text(i.stype) for i in items],
        "bytes": [i.bytes for i in items],
        "kernels": [tables.sets.add(i.kernels, i.kernels) for i in items],
        "group": [text(i.group) for i in items],
        "formula": [tables.formula(i.formula) for i in items],
        "attrs": [tables.attributes(i.attrs) for i in items],
        "where": [tables.place(i.where) for i in items],
        "count": [i.count for i in items],
    }


def _kernel(kernel: KernelItem, tables: Tables) -> dict[str, Any]:
    return {
        "number": kernel.number,
        "name": kernel.name,
        "over": kernel.over,
        "tensors": kernel.tensors,
        "elements": kernel.elements,
        "bytes": kernel.bytes,
        "formula": tables.formula(kernel.formula),
        "code": _code(kernel, tables),
        "seconds": kernel.seconds,
        "predicted": kernel.predicted,
    }


def _code(kernel: KernelItem, tables: Tables) -> dict[str, int]:
    """Written once for kernels of one formula, at whatever level: to write code takes longer than to show it."""
    key = (kernel.name, kernel.formula, tuple(kernel.code))
    if key not in tables.written:
        tables.written[key] = {form: tables.text(code) for form, code in kernel.code.items()}
    return tables.written[key]

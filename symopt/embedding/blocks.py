"""Rows of a table as arrays by column, in blocks of slots: what checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..checkpoint.streamed import Streamed
from ..given import Given
from ..records.layout import ABSENT, ID, TIMESTAMP, UPDATES, Layout
from .batches import Ids
from .placed import shown
from .store import RowStore

SLOT = "slot"
HEADER = (SLOT, ID, TIMESTAMP, UPDATES)
BLOCK_BYTES = (
    1 << 28
)  # of records: while its columns are written, one after the other, they may stay in memory
_AT_ONCE = 1 << 15  # rows

Block = Mapping[str, Array]


def cut(slots: Ids, stride: int, files: int) -> list[Ids]:
    """Slots in runs, the same number of runs for each of so many files."""
    in_file = max(1, -(-len(slots) * stride // (files * BLOCK_BYTES)))
    return np.array_split(slots, files * in_file)


def block_of(store: RowStore, slots: Ids) -> dict[str, Any]:
    """All columns of the rows in these slots, on the host: views where these follow each other, else copies."""
    store.fetch(slots)
    at = span(slots)
    return {SLOT: slots, **{name: shown(column, at) for name, column in store.columns.items()}}


def streamed_block(store: RowStore, slots: Ids) -> dict[str, Any]:
    """The same for `store` of checkpoints, which asks for some rows at a time."""
    found: dict[str, Any] = {SLOT: slots}
    for name, column in store.columns.items():
        shape = (len(slots), *column.shape[1:])
        found[name] = Streamed(shape, column.dtype, partial(_pieces, store, name, slots))
    return found


def _pieces(store: RowStore, name: str, slots: Ids) -> Iterator[Array]:
    for begin in range(0, len(slots), _AT_ONCE):
        some = slots[begin : begin + _AT_ONCE]
        store.fetch(some)
        yield shown(store.columns[name], span(some))


def span(slots: Ids) -> Any:
    """What takes these slots out of a column: a slice, which copies nothing, if they follow each other."""
    n = len(slots)
    if n and slots[-1] - slots[0] == n - 1 and bool((np.diff(slots) == 1).all()):
        return slice(int(slots[0]), int(slots[0]) + n)
    return slots


Shapes = Mapping[str, tuple[str, tuple[int, ...]]]


def read_blocks(given: Given, name: str, columns: Shapes) -> list[Block]:
    """The blocks of a state, with those of `columns` (dtype and shape behind the rows, by name) that they have."""
    value = given.get(name, [])
    if not isinstance(value, list | tuple):
        given.found.different.append(f"{given.at(name)}: expected a list of blocks of rows")
        return []
    return [_read(Given(each, given.found, f"{given.at(name)}/{k}"), columns) for k, each in enumerate(value)]


def _read(given: Given, columns: Shapes) -> Block:
    found: dict[str, Array] = {}
    n = np.size(given.get(ID, ()))
    for name, (dtype, tail) in columns.items():
        value = given.get(name)
        shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
        if name not in given:
            lines = given.found.different if name in HEADER else given.found.missing
            lines.append(
                f"{given.at(name)}" + (": missing; there are no rows without it" if name in HEADER else "")
            )
        elif shape == (n, *tail) and kind is not None and kind.name == dtype:
            found[name] = np.asarray(value)
        else:
            got = f"{kind} {shape}" if shape is not None else type(value).__name__
            line = f"{given.at(name)}: expected {dtype} {(n, *tail)}, the state has {got}"
            given.found.different.append(line)
    if UPDATES in found and bool((found[UPDATES] == ABSENT).any()):
        given.found.different.append(f"{given.at(UPDATES)}: {ABSENT} is no number of updates")
    return found


def shapes_of(layout: Layout) -> Shapes:
    """Dtype and shape behind the rows of all columns, and of the slots."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {SLOT: ("int64", ())}
    for column in layout.columns.values():
        found[column.name] = (column.dtype, (column.width,) if "/" in column.name else ())
    return found

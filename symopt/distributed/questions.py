"""What can be asked of a shard about its part of a table. Answers are plain data and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..embedding.batches import Array, Ids
from ..embedding.delta import LatestRows
from ..embedding.leaving import NONE
from ..embedding.table import Table
from ..idmap import unique
from .raised import sendable
from .transport import LOST


def have(table: Table, ids: Ids) -> Array:
    """Which ids (n,) have a row."""
    return table._have(ids)


def n_missing(table: Table, ids: Ids) -> int:
    """How many distinct ids have no row."""
    return table._n_missing(ids)


def columns(table: Table, names: list[str]) -> dict[str, Array]:
    """Columns of all rows, by name: "id", "timestamp", "updates", "weight"."""
    found = table._columns()
    return {name: found[name] for name in names}


def entries(table: Table, ids: Ids) -> tuple[Any, ...]:
    """All that there is of ids: the fields of `Entries`."""
    return tuple(table.lookup_entry(ids))


def latest(table: Table, ids: Ids, states: bool) -> LatestRows:
    """What a delta has of ids that have a row."""
    return table._latest_rows(ids, states)


def places(table: Table) -> tuple[Ids, Ids, Ids, int]:
    """All ids and their slots; free slots; how many slots there are."""
    found = table._rows.map
    return *found.pairs(), found.free(), found.n_slots


def column(table: Table, name: str, slots: Ids) -> Array:
    """A column of the rows in these slots."""
    return table._rows.copied(name, slots)


def numbers(table: Table) -> dict[str, Any]:
    """What the table keeps beside its rows; the driver, and all shards, have the same."""
    rows = table._rows
    products = [dict(part.hyper.products) for part in rows.parts]
    return {"steps": rows.steps, "logs": list(rows.logs), "scales": list(rows.scales), "products": products}


def size(table: Table) -> tuple[int, int]:
    """Rows, and bytes in use or reserved."""
    return len(table), table.memory_bytes()


def try_first_weights(table: Table, ids: Ids, gone: Ids, anew: bool) -> Exception | None:
    """Ask functions for the weights of ids that have no row, or won't when some are `gone`, or are all born `anew`.
    Raises what a function raises, or says of what it gave; what would look like the loss of this process is the
    answer."""
    born = ids if anew else ids[~table._have(ids) | np.isin(ids, gone)]
    if len(born):
        try:
            table._rows.first_weights(unique(born).ids)
        except LOST as error:
            return sendable(error)
    return None


def try_first_weights_unread(table: Table, *parts: tuple[Ids, Array]) -> Exception | None:
    """The same for the ids of gradients, in parts of several ranks."""
    return try_first_weights(table, np.concatenate([ids for ids, _ in parts]), NONE, False)


def raise_first(answers: Iterable[Exception | None]) -> None:
    """Raise what one of the shards was told by a function, if any was."""
    for error in answers:
        if error is not None:
            raise error


def reserve(table: Table, n: int) -> None:
    """Have room for `n` rows."""
    table.reserve(n)


QUESTIONS: dict[str, Callable[..., Any]] = {
    "have": have,
    "n_missing": n_missing,
    "ids": lambda table: table.ids(),
    "columns": columns,
    "entries": entries,
    "latest_rows": latest,
    "places": places,
    "column": column,
    "numbers": numbers,
    "size": size,
    "try_first_weights": try_first_weights,
    "try_first_weights_unread": try_first_weights_unread,
    "reserve": reserve,
}

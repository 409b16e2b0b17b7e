"""Weights as they would be if every row had seen all decay."""

from __future__ import annotations

import numpy as np

from .accounts import Accounts
from .batches import Array, Ids
from .parts import DECAYED, missed
from .rows import Rows


def settled(rows: Rows, slots: Ids) -> Array:
    """The weights (n, dim) of rows in these slots, before any compression; nothing is changed."""
    rows.store.fetch(slots)
    found = np.empty((len(slots), rows.dim), rows.dtype)
    for part, log in zip(rows.parts, rows.logs, strict=True):
        weight = rows.copied(part.weight, slots)
        own = slice(part.start, part.start + part.segment.dim)
        column = rows.column(part, DECAYED)[slots, 0] if part.is_global else None
        found[:, own] = weight if column is None else decayed(weight, column, log)
    return found


def decayed(weight: Array, column: Array, log: float) -> Array:
    """Weights (n, dim) after the decay that they have not seen: as the graph of a table computes it."""
    part = missed(column, log).astype(weight.dtype)
    found: Array = weight - weight * part[:, None]
    return found


def split(rows: Accounts, weights: Array) -> dict[str, Array]:
    """Rows (n, dim) as the columns of weights that they are made of."""
    return {p.weight: weights[:, p.start : p.start + p.segment.dim] for p in rows.parts}

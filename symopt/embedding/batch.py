"""One step of one table or of several: what may fail is done for all of them before any is written to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import AttributeValueError
from ..idmap import Unique, unique
from ..idmap.unique import add_by
from ..places import HOST, place_of_array
from .bags import Bags, given_ids
from .batches import Array, Ids, rows_of, second
from .checks import DUPLICATES, rates, step
from .commands import Update
from .doing import Doing, carry_out
from .placed import joined_rows, sum_runs, taken
from .results import Applied

if TYPE_CHECKING:
    from .core import Core

# What it is for errors; ids of any shape, or Bags; gradients of that shape and (dim,).
Given = tuple[str, Any, Any]


class Part(NamedTuple):
    """Ids (n,) and gradients: of the ids (n, dim), or of what a lookup of Bags of them gives."""

    ids: Ids
    grads: Array
    bags: Bags | None

    @classmethod
    def of(cls, table: Core, what: str, ids: Any, grads: Any) -> Part:
        """What a user gave, checked."""
        flat, shape = given_ids(ids, what)
        rows = rows_of(grads, shape, table.dim, table.dtype, f"{what}: gradients", table.place)
        return cls(flat, rows, ids if isinstance(ids, Bags) else None)

    def entries(self) -> Array:
        """A gradient for each id, (n, dim)."""
        return self.grads if self.bags is None else self.bags.entries(self.grads)

    def add_to(self, sums: Array, inverse: Ids, native: bool) -> None:
        """Add the gradients to the sums of their ids, in order."""
        if not native:
            np.add.at(sums, inverse, self.entries())
        elif self.bags is None or self.bags.n is not None:
            add_by(inverse, self.entries(), sums, np.ones(len(sums), np.uint8))
        else:
            self.bags.add_to(sums, inverse, self.grads)


def summed(ids: Ids, parts: Sequence[Part], native: bool) -> tuple[Unique, Array]:
    """Each id once, in order of first occurrence, and the sum of its gradients, added in order of occurrence."""
    found = unique(ids, engine="native" if native else "reference")
    if len(found.ids) == len(ids) and len(parts) == 1:
        return found, parts[0].entries()
    place = place_of_array(parts[0].grads)
    if place is not HOST:
        starts = np.concatenate([[0], np.cumsum(found.counts)])
        entries = joined_rows([part.entries() for part in parts])
        return found, sum_runs(place, starts, np.argsort(found.inverse, kind="stable"), entries)
    sums = np.empty((len(found.ids), parts[0].grads.shape[1]), parts[0].grads.dtype)
    sums.fill(-0.0)  # what is added to it stays as it is
    at = 0
    for part in parts:
        part.add_to(sums, found.inverse[at : at + len(part.ids)], native)
        at += len(part.ids)
    return found, sums


class Batch:
    """Gradients for one table. `given`: ids and gradients, once or several times; the same ids may be in all.

    Made, it is checked as far as it can be without the table's rows; `admit` and then `doings`, with the table's
    lock held, are the rest. `admit` counts occurrences; only what `doings` gives writes rows, when it is carried out.
    """

    def __init__(
        self,
        table: Core,
        given: Sequence[Given],
        global_step: int | None = None,
        req_time: float | None = None,
        duplicates: str | None = None,
        learning_rate: float | Sequence[float] | None = None,
        *,
        what: str,
    ) -> None:
        self.table, self.what = table, what
        self.parts = [Part.of(table, *each) for each in given]
        self.ids = self.parts[0].ids if len(self.parts) == 1 else np.concatenate([p.ids for p in self.parts])
        self.grads: Array | None = None  # of `ids`, once they are admitted
        self.now, self.rates = second(req_time, what), rates(learning_rate, len(table.segments), what)
        self.done = None if global_step is None else step(global_step, what)
        mode = table.duplicates if duplicates is None else duplicates
        if mode not in DUPLICATES:
            raise AttributeValueError(f"{what}: duplicates is one of {', '.join(DUPLICATES)}, got {mode!r}")
        self.is_summed = mode == "sum"
        self.counts: Ids | None = None  # of each id in the batch, once they are summed
        self.blocked = 0
        self.leaving: Ids | None = None

    def admit(self) -> None:
        """Add up the gradients of repeated ids, drop those of ids that are not admitted, and choose the rows that have
        to leave. TooLateError if the table is full."""
        if self.is_summed:
            found, self.grads = summed(self.ids, self.parts, self.table.engine == "native")
            self.ids, self.counts = found.ids, found.counts
        else:
            every = [part.entries() for part in self.parts]
            self.grads = joined_rows(every)
        admitted = self.table._admitted(self.ids, self.counts)
        if admitted is not None:
            dropped = ~admitted
            self.blocked = int(dropped.sum() if self.counts is None else self.counts[dropped].sum())
            self.table.stats.blocked += self.blocked
            self.ids, self.grads = self.ids[admitted], taken(self.grads, admitted)
        self.leaving = self.table._leaving(self.ids)

    def doings(self) -> list[Doing]:
        """What lets rows leave and runs every rule."""
        assert self.leaving is not None and self.grads is not None
        done = self.table.steps if self.done is None else self.done
        update = Update(self.ids, self.grads, done, self.rates, self.now, repeats=not self.is_summed)
        return self.table._doings(self.leaving, update)


def apply_all(batches: Sequence[Batch]) -> list[Applied]:
    """Apply batches of different tables: all of them, or, if this raises, none.

    Occurrences that admissions have counted by then stay counted. Locks are taken in one order, whoever asks.
    """
    if len(batches) == 1:
        with batches[0].table._batch():
            return _applied(batches)
    with ExitStack() as held:
        for batch in sorted(batches, key=lambda b: id(b.table._lock)):  # some tables share one
            held.enter_context(batch.table._batch())
        return _applied(batches)


def _applied(batches: Sequence[Batch]) -> list[Applied]:
    for batch in batches:
        batch.admit()
    doings = [doing for batch in batches for doing in batch.doings()]
    before = [batch.table.stats.born for batch in batches]
    carry_out(doings, holds=any(batch.table._journal is None for batch in batches))
    for batch in batches:
        batch.table._finish()
    found = []
    for batch, n in zip(batches, before, strict=True):
        assert batch.leaving is not None
        found.append(Applied(len(batch.ids), batch.table.stats.born - n, batch.blocked, batch.leaving))
    return found

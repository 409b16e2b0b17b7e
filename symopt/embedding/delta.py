"""What changed in a table since somebody last asked, as rows that can be sent, stored, and applied elsewhere."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoint import load, save
from ..errors import DeltaIncompleteError, FormatError, TooLateError
from ..records.layout import TIMESTAMP, UPDATES
from ..state import Differences
from .accounts import Accounts
from .batches import Array, Ids
from .commands import Command, Decayed, GoOn, Put
from .leaving import NONE, check_room
from .parts import DECAYED
from .rows import Rows
from .settled import settled, split
from .touched import Changes

if TYPE_CHECKING:
    from .table import Table

FORMAT = "symopt embedding delta"
VERSION = 1
LatestRows = tuple[Array, Array, Array | None, dict[str, Array]]


@dataclass(frozen=True, eq=False)
class Delta:
    """Rows that were written since the last delta, as they are now, and ids whose rows left. No id is in both.
    Rows that were only touched are not in it.

    `ids` (n,), `weights` (n, dim) without any compression, `timestamps` (n,), `gone` (k,); `dims`: columns of each
    segment; `scales` (segments,): of soft codes. If states were asked for: `states` by column name, `updates` (n,), the
    `steps` of the table, and the running `products` of each segment's rule. `complete`: False if more ids changed
    than the table remembers: then it has no rows, and can be neither applied nor saved. `is_whole`: it has all rows of
    the table, in place of whatever the receiver has. `decay` (segments,): logarithm of what `decoupled_global` made
    of all other rows meanwhile.

    >>> import symopt as so, numpy as np
    >>> segment = so.embedding.Segment(2, "sgd", learning_rate=1.0)
    >>> table, copy = so.embedding.Table(segment, track=1000), so.embedding.Table(segment)
    >>> _ = table.apply_gradients([7, 8], np.ones((2, 2)))
    >>> copy.apply_delta(table.take_delta())
    >>> copy.lookup([7, 8]).tolist()
    [[-1.0, -1.0], [-1.0, -1.0]]
    """

    ids: Ids
    weights: Array
    timestamps: Array
    gone: Ids
    dims: tuple[int, ...]
    decay: Array
    complete: bool = True
    is_whole: bool = False
    updates: Array | None = None
    states: Mapping[str, Array] = field(default_factory=dict)
    scales: Array | None = None
    steps: int | None = None
    products: Sequence[Mapping[str, float]] = ()

    def __len__(self) -> int:
        """How many rows it has."""
        return len(self.ids)

    def __repr__(self) -> str:
        if not self.complete:
            return "<Delta: incomplete, a whole export is needed>"
        kind = "whole table" if self.is_whole else "Delta"
        return f"<{kind}: {len(self.ids)} rows of {sum(self.dims)} columns, {len(self.gone)} gone>"

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.ids, self.weights, self.timestamps, self.gone, *self.states.values())
        return sum(array.nbytes for array in arrays)

    def check(self) -> None:
        """DeltaIncompleteError if it is not complete."""
        if not self.complete:
            raise DeltaIncompleteError(
                "more ids changed than the table remembers (`track`), or it does not know what was sent before, so "
                "this delta is not all that changed: send the whole table, by take_delta(whole=True), save or "
                "export, before the next delta; or track more"
            )

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as a checkpoint at `path`. DeltaIncompleteError if it is not complete. If it fails, `untake` it."""
        self.check()
        state: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "dims": list(self.dims),
            "is_whole": self.is_whole,
            "decay": self.decay,
            "ids": self.ids,
            "weights": self.weights,
            "timestamps": self.timestamps,
            "gone": self.gone,
            "states": dict(self.states),
            "products": [dict(each) for each in self.products],
        }
        for name in ("updates", "scales", "steps"):
            if getattr(self, name) is not None:
                state[name] = getattr(self, name)
        save(path, state, overwrite=overwrite)

    def apply_to(self, target: Any, *, decay: bool = True) -> None:
        """Give a serving table, or anything with `assign(ids, values)` and `erase(ids)` or `evict(ids)`, these rows.

        Its other rows can't decay: DeltaIncompleteError if they would have to, unless decay=False leaves them alone.
        """
        self.check()
        if decay and self.decay.any():
            raise DeltaIncompleteError(
                "all rows decayed meanwhile (decoupled_global), and this target can't: export the table again, or "
                "leave rows that were not written as they were, by decay=False"
            )
        erase = target.erase if hasattr(target, "erase") else target.evict
        if self.is_whole:
            old = target.ids()
            erase(old[~np.isin(old, self.ids)])
        elif len(self.gone):
            erase(self.gone)
        if len(self.ids):
            target.assign(self.ids, self.weights)


def load_delta(path: str | os.PathLike[str], *, verify: str = "full") -> Delta:
    """The delta that was saved at `path`, with its arrays mapped from the file. FormatError if it is none."""
    state = load(path, verify=verify)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise FormatError(
            f"{os.fspath(path)!r} is no delta of an embedding table; so.load reads other checkpoints"
        )
    if state.get("version") != VERSION:
        raise FormatError(
            f"{os.fspath(path)!r} is a delta of version {state.get('version')!r}: upgrade symopt"
        )
    given = {name: value for name, value in state.items() if name not in ("format", "version", "dims")}
    try:
        delta = Delta(dims=tuple(state["dims"]), **given)
        n, n_rows = delta.ids.shape, (len(delta.ids), sum(delta.dims))
        fits = (
            delta.weights.shape == n_rows
            and delta.timestamps.shape == n
            and delta.decay.shape == (len(delta.dims),)
            and (delta.scales is None or delta.scales.shape == delta.decay.shape)
        )
        fits = fits and all(x.ndim == 2 and x.shape[:1] == n for x in delta.states.values())
    except (TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            f"{os.fspath(path)!r}: an entry of the delta is missing or malformed: {error}"
        ) from None
    if not fits or delta.ids.dtype != np.int64 or delta.gone.dtype != np.int64:
        raise FormatError(f"{os.fspath(path)!r}: the arrays of the delta do not fit each other")
    return delta


def take(table: Table, states: bool, whole: bool) -> Delta:
    """See Table.take_delta."""
    if table.touched is None and not whole:
        raise TooLateError(
            f"{table.name}: nothing is tracked: make the table with track=2**21, or so many ids as may change"
        )
    changes = _NO_CHANGES if table.touched is None else table.touched.take()
    try:
        delta = _delta(table, Changes(table.ids(), NONE, True) if whole else changes, states, whole)
    except BaseException:
        if table.touched is not None:
            table.touched.put_back(changes)
        raise
    table._sent, table._taken = list(table._rows.logs), weakref.ref(delta)
    return delta


def _delta(table: Table, changes: Changes, states: bool, whole: bool) -> Delta:
    rows = table._rows
    weights, timestamps, updates, kept = table._latest_rows(changes.ids, states)
    decay = np.zeros(len(rows.parts)) if whole else np.array(rows.logs) - np.array(table._sent)
    return Delta(
        changes.ids,
        weights,
        timestamps,
        changes.gone,
        dims_of(rows),
        decay,
        changes.complete,
        whole,
        updates,
        kept,
        np.array(rows.scales),
        rows.steps if states else None,
        _products(rows) if states else (),
    )


def latest_rows(rows: Rows, ids: Ids, states: bool) -> LatestRows:
    """What a delta has of ids that have a row: weights, times, and, if asked for, updates and states."""
    slots = rows.map.get(ids)
    weights, columns = settled(rows, slots), rows.store.columns
    updates = columns[UPDATES][slots] if states else None
    kept = {name: rows.copied(name, slots) for name in states_of(rows)} if states else {}
    return weights, columns[TIMESTAMP][slots], updates, kept


def untake(table: Table, delta: Delta) -> None:
    """See Table.untake."""
    if table.touched is None:
        return
    is_latest = table._taken is not None and table._taken() is delta
    table._sent = (np.array(table._sent) - delta.decay).tolist()
    if delta.is_whole or (delta.decay.any() and not is_latest):
        table.touched.overflow()  # what it was to replace is not known, or later rows were sent with its decay in them
        return
    ids = np.concatenate(
        [delta.ids, delta.gone]
    )  # if it was not the latest, others may have left, or come back
    has_row = table._have(ids)
    table.touched.put_back(Changes(ids[has_row], ids[~has_row], delta.complete))


def apply(table: Table, delta: Delta) -> None:
    """See Table.apply_delta."""
    _check_fits(table, delta)
    rows, ids = table._rows, np.ascontiguousarray(delta.ids)
    columns = {**split(rows, delta.weights), TIMESTAMP: delta.timestamps, **delta.states}
    if delta.updates is not None:
        columns[UPDATES] = delta.updates
    own = table.ids() if delta.is_whole else np.ascontiguousarray(delta.gone)
    gone = own[table._have(own) & ~np.isin(own, ids)]
    check_room(table, ids, len(gone))
    table._carry_out(gone)
    done: list[Command] = [Decayed(tuple(delta.decay.tolist()))] if delta.decay.any() else []
    if delta.scales is not None:
        done.append(GoOn(tuple(delta.scales.tolist()), delta.steps, tuple(delta.products)))
    if len(ids):
        done.append(Put(ids, columns, int(delta.timestamps.max()), anew=delta.updates is not None))
    table._carry_out(table._leaving(ids), *done)


def _check_fits(table: Table, delta: Delta) -> None:
    delta.check()
    rows = table._rows
    found = Differences()
    found.compare("dims", "columns of segments", dims_of(rows), tuple(delta.dims))
    if delta.updates is not None:
        widths = {name: array.shape[1] for name, array in delta.states.items()}
        found.compare("states", "columns of states", states_of(rows), widths)
        names, given = ([sorted(each) for each in x] for x in (_products(rows), delta.products))
        found.compare("products", "running products of rules", names, given)
    for part, decay in zip(rows.parts, delta.decay if not found else (), strict=not found):
        if decay and not part.is_global:
            found.different.append(
                f"segment {part.name}: all rows decayed (decoupled_global), and here it has not that"
            )
    found.check(f"{table.name}.apply_delta", strict=True)


def states_of(rows: Accounts) -> dict[str, int]:
    """The columns of states, but for what keeps account of decay, and how wide they are."""
    columns = [column for part in rows.parts for column in part.state_columns()]
    return {name: width for name, _, width in columns if not name.endswith(f"/{DECAYED}")}


def _products(rows: Accounts) -> tuple[dict[str, float], ...]:
    return tuple(dict(part.hyper.products) for part in rows.parts)


def dims_of(rows: Accounts) -> tuple[int, ...]:
    """Columns of each segment."""
    return tuple(part.segment.dim for part in rows.parts)


_NO_CHANGES = Changes(NONE, NONE, True)

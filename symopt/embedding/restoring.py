"""Rows of saved states into a table: some of them, only their weights, or among those that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array
from ..records.layout import ID, TIMESTAMP, UPDATES
from ..state import Commit, Differences
from .batches import Ids
from .blocks import Block
from .commands import Put, Resume
from .joined import plan_counts
from .leaving import NONE, check_room
from .parts import DECAYED
from .settled import decayed
from .state import each_of
from .wanted import Source, Wanted, look

if TYPE_CHECKING:
    from .table import Table

_AT_ONCE = 1 << 15  # rows


def restore(table: Table, states: Mapping[str, Any], wanted: Wanted, strict: bool) -> Differences:
    """Restore what is wanted of states, by their names for errors: all of it or nothing."""
    what = f"{table.name}.restore"
    found = Differences()
    sources = look(table, states, wanted, found)
    adopt_counts: Commit | None = None
    if wanted.adopts and table.admission is not None:
        givens = [source.given for source in sources]
        adopt_counts = plan_counts(table.admission, givens, lambda ids: wanted.rows(ids, what))
    found.check(what, strict)
    ids = np.concatenate([source.ids() for source in sources])
    with table._replacing():
        own = table.ids()
        gone = own[:0] if wanted.merge else own[~np.isin(own, ids)]
        check_room(table, ids, len(gone), may_leave=True)
        table._carry_out(gone)
        if table.max_rows is None or len(ids) <= table.max_rows:
            table._carry_out(table._leaving(ids))
        if wanted.adopts:
            _adopt(table, sources, wanted)
        for source in sources:
            for block, rows in zip(source.blocks, source.rows, strict=True):
                for put in _puts(table, source, block, rows, wanted):
                    table._carry_out(NONE, put)
        if adopt_counts is not None:
            adopt_counts()
        elif table.admission is not None:
            table.admission.forget(ids)
        table._carry_out(table._leaving(NONE))  # more rows than a policy lets be here
    _note_left(table, sources, wanted, found)
    return found


def _adopt(table: Table, sources: list[Source], wanted: Wanted) -> None:
    latest = max(source.latest for source in sources)
    numbers = tuple((k, *sources[0].numbers[k]) for k in wanted.states)
    table._carry_out(NONE, Resume(sources[0].steps, latest, numbers))
    table._sent = list(table._rows.logs)  # all rows that are here now are sent next, as they are then


def _puts(table: Table, source: Source, block: Block, rows: Ids, wanted: Wanted) -> Iterator[Put]:
    """The rows that are wanted of a block, some at a time."""
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        columns = {TIMESTAMP: block[TIMESTAMP][some]}
        if wanted.states:
            columns[UPDATES] = block[UPDATES][some]
        for k in wanted.segments:
            columns |= _columns(table, source, block, some, k, wanted)
        yield Put(block[ID][some].astype(np.int64), columns, int(columns[TIMESTAMP].max()), anew=True)


def _columns(
    table: Table, source: Source, block: Block, some: Ids, k: int, wanted: Wanted
) -> dict[str, Array]:
    """The columns of one segment. Decay that its weights have not seen is kept account of as before, if the table goes
    on with the same account; else they see it now."""
    part, takes_states = table._rows.parts[k], k in wanted.states
    kept = f"{k}/{DECAYED}"
    goes_on = takes_states and wanted.adopts
    names = [name for name, _, _ in part.state_columns() if name in block and (name != kept or goes_on)]
    columns = {name: block[name][some] for name in (names if takes_states else ())}
    weight = block[part.weight][some]
    if kept in block and kept not in columns:
        weight = decayed(weight, block[kept][some, 0], source.numbers[k].log)
    return {part.weight: weight, **columns}


def _note_left(table: Table, sources: list[Source], wanted: Wanted, found: Differences) -> None:
    """Say what was left in the states, and what is as in a new row, because that was asked for."""
    for k, part in enumerate(table._rows.parts):
        if k not in wanted.segments:
            found.missing.append(f"{part.weight}: as in a new row")
        if k not in wanted.states:
            found.missing += [f"{name}: as in a new row" for name, _, _ in part.state_columns()]
    for source in sources:
        for k, segment in enumerate(each_of(source.given, "segments")):
            path = source.given.path
            if k not in wanted.segments:
                found.unexpected.append(
                    f"{path}: the weights of segment {k} were left" if path else f"{k}/weight"
                )
            if k not in wanted.states:
                found.unexpected += [f"{path}/{name}" if path else name for name in segment.part("states")]

"""The state of a table: all that it takes to go on elsewhere with the same bits."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError
from ..given import Given
from ..idmap import IdMap
from ..records.layout import ID
from ..state import Commit, Differences
from .accounts import Accounts
from .batches import LATEST
from .blocks import SLOT, Block, block_of, cut, read_blocks, shapes_of, span, streamed_block
from .commands import Resume
from .described import compare, described
from .leaving import NONE, expired
from .loading import vector
from .numbers import Numbers, numbers_state, read_numbers
from .placed import write
from .rows import Rows
from .store import vacate
from .touched import TouchedSet

if TYPE_CHECKING:
    from .batches import Ids
    from .table import Table

FORMAT = "symopt embedding table"
VERSION = 1


def state_of(
    table: Table, files: int = 1, *, streamed: bool = False, keep_expired: bool = True
) -> dict[str, Any]:
    """The state, with rows in blocks: for each of so many files as many.

    `streamed`: columns are given some rows at a time, for `store` of checkpoints. Without `keep_expired` the state is
    that after `expire`.
    """
    rows = table._rows
    gone = NONE if keep_expired else expired(table, table.latest)
    free, blocks = table._blocks(gone, files, streamed)
    found: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "seed": table.seed,
        "segments": [described(part) for part in rows.parts],
        "numbers": [numbers_state(rows, k) for k in range(len(rows.parts))],
        "steps": rows.steps,
        "latest": table.latest,
        "free": free,
        "rows": blocks,
    }
    if table.admission is not None:
        found["admission"] = table.admission.state_dict()
    if table.touched is not None:
        found["touched"] = _touched(table.touched, gone)
        found["sent"] = np.array(table._sent)
    return found


def blocks_of(rows: Rows, gone: Ids, files: int, streamed: bool) -> tuple[Ids, list[Block]]:
    """The slots that would be free without the ids that are gone, and the other rows in blocks."""
    left, slots = rows.map.get(gone), rows.map.slots()
    slots = slots[~np.isin(slots, left)] if len(left) else slots
    block = streamed_block if streamed else block_of
    free = np.concatenate([rows.map.free(), left])
    return free, [block(rows.store, run) for run in cut(slots, rows.layout.stride, files)]


def _touched(touched: TouchedSet, gone: Ids) -> dict[str, Any]:
    if len(gone):
        touched = copy.deepcopy(touched)
        touched.evicted(gone)
    return touched.state_dict()


def plan(table: Table, state: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Compare a state with a table, and give the function that takes it over."""
    given, n_before = Given(state, found, path), len(found.different)
    given.names(dict.fromkeys(_names(table)))
    check_format(given)
    given.same("seed", table.seed)
    numbers = _plan_segments(table._rows, given)
    latest, steps = given.count("latest", table.latest, LATEST), given.count("steps", table._rows.steps)
    sent = _plan_sent(given)
    fresh, blocks = _plan_rows(table, given) if len(found.different) == n_before else (None, [])
    others = {"admission": table.admission, "touched": table.touched}
    commits = [
        x.plan_load(given.get(name), found, given.at(name))
        for name, x in others.items()
        if x is not None and name in given
    ]

    def commit() -> None:
        with table._replacing():
            resumed = Resume(steps, latest, tuple((k, *each) for k, each in enumerate(numbers)))
            table._take_over(fresh, blocks, resumed)
            table.latest = latest
            table._sent = sent if len(sent) == len(table._sent) else list(table._rows.logs)
            if table.touched is not None and "touched" not in given:
                table.touched.overflow()  # who knows what was sent
            for write in commits:
                write()
            table._carry_out(table._leaving(NONE))  # more rows than a policy lets be here

    return commit


def _plan_sent(given: Given) -> list[float]:
    sent = vector(given, "sent", np.float64)
    if not bool((sent <= 0).all()):
        given.found.different.append(
            f"{given.at('sent')}: expected logarithms of parts, the state has {sent}"
        )
    return list(sent.tolist())


def _names(table: Table) -> list[str]:
    always = ["format", "version", "seed", "segments", "numbers", "steps", "latest", "free", "rows"]
    admission = ["admission"] if table.admission is not None else []
    return [*always, *admission, *(["touched", "sent"] if table.touched is not None else [])]


def check_format(given: Given) -> None:
    """Note a state that is none of a table, or of another version."""
    given.needs("format", "version")
    given.same("format", FORMAT)
    given.same("version", VERSION)


def each_of(given: Given, name: str) -> list[Given]:
    """The dicts in a list, which has one for each segment."""
    value = given.get(name, [])
    if not isinstance(value, list | tuple):
        given.found.different.append(f"{given.at(name)}: expected a list, with a dict for each segment")
        return []
    return [Given(each, given.found, f"{given.at(name)}/{k}") for k, each in enumerate(value)]


def _plan_segments(rows: Accounts, given: Given) -> list[Numbers]:
    for name in ("segments", "numbers"):
        if name in given:
            given.found.compare(given.at(name), "how many", len(rows.parts), len(each_of(given, name)))
    for part, segment in zip(rows.parts, each_of(given, "segments"), strict=False):
        compare(part, segment)
    return [
        read_numbers(each, rows, k) for k, each in enumerate(each_of(given, "numbers")[: len(rows.parts)])
    ]


def _plan_rows(table: Table, given: Given) -> tuple[IdMap | None, list[Block]]:
    """A map with the ids of the state, and its blocks of rows."""
    shapes, n_before = shapes_of(table._rows.layout), len(given.found.different)
    blocks = read_blocks(given, "rows", shapes)
    free = vector(given, "free", np.int64)
    if "rows" not in given or "free" not in given or len(given.found.different) > n_before:
        return None, []
    ids, slots = (np.concatenate([NONE, *(b[name] for b in blocks)]) for name in (ID, SLOT))
    if table.max_rows is not None and table.policy is None and len(ids) > table.max_rows:
        line = f"{given.at('rows')}: {len(ids)} rows, and max_rows is {table.max_rows} here"
        given.found.different.append(line)
        return None, []
    fresh = table._empty_map()
    try:
        fresh.restore(ids, slots, free)
    except StateError as error:
        given.found.different.append(f"{given.at('rows')}: {error}")
        return None, []
    return fresh, blocks


def take_over(table: Table, fresh: IdMap | None, blocks: list[Block], resumed: Resume) -> None:
    """See Table._take_over."""
    if fresh is not None:
        _replace(table._rows, fresh, blocks)
    table._rows.do(resumed)


def _replace(rows: Rows, fresh: IdMap, blocks: list[Block]) -> None:
    """Have these rows and no others. Columns that a block lacks are as in a new row."""
    rows.store.reserve(fresh.n_slots)
    vacate(rows.store, rows.map.slots())
    rows.map = fresh
    columns = rows.store.columns
    for block in blocks:
        slots, at = block[SLOT], span(block[SLOT])
        rows.store.fetch(slots)
        rows.store.changing(slots)
        if any(name not in block for name in columns):
            ids = np.ascontiguousarray(block[ID])
            rows.bear(slots, ids, 0, rows.first_weights(ids))
        for name, values in block.items():
            if name != SLOT:
                write(columns[name], at, values)

"""What commands do to rows, but for updates: each in three parts (`doing.Doing`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..places import HOST
from ..records.layout import TIMESTAMP
from .batches import waves
from .commands import Assign, Decayed, Evict, GoOn, Have, Put, Renew, Resume, Settle, Touch
from .doing import Doing
from .numbers import Numbers
from .parts import GRADS
from .placed import write
from .store import vacate

if TYPE_CHECKING:
    from .rows import Rows


def assign(rows: Rows, c: Assign, n_leaving: int) -> Doing:
    """Weights as they are given; states are kept."""
    steps = list(waves(c.ids, c.values)) if c.adds else [(c.ids, c.values)]
    ids = steps[0][0]  # all of them
    graph = rows.assigning(c.adds)
    graph.reserve(len(ids))
    rows.ready_to_settle(len(ids))
    found = rows.find(ids, n_leaving)
    yield
    with rows.having(found, ids, c.now) as slots:
        rows.settle(slots)
        for nth, (its, values) in enumerate(steps):
            graph.run(rows.store.records, slots if nth == 0 else rows.map.get(its), {GRADS: values})
        rows.store.columns[TIMESTAMP][slots] = c.now
        yield


def renew(rows: Rows, c: Renew, n_leaving: int) -> Doing:
    """Rows as they are born."""
    rows.born.reserve(len(c.ids))
    first = rows.first_weights(c.ids)
    found = rows.find(c.ids, n_leaving, asks=False)
    yield
    with rows.having(found, c.ids, c.now) as slots:
        rows.bear(slots, c.ids, c.now, first)
        yield


def put(rows: Rows, c: Put, n_leaving: int) -> Doing:
    """Columns as they are given."""
    first = rows.first_weights(c.ids) if c.anew else ()
    found = rows.find(c.ids, n_leaving, asks=not c.anew)
    yield
    with rows.having(found, c.ids, c.now) as slots:
        if c.anew:
            rows.bear(slots, c.ids, c.now, first)
        else:
            rows.settle(slots)
        for name, values in c.columns.items():
            write(rows.store.columns[name], slots, values)
        yield


def have(rows: Rows, c: Have, n_leaving: int) -> Doing:
    """Rows as they are born, for ids that have none."""
    found = rows.find(c.ids, n_leaving)
    yield
    with rows.having(found, c.ids, c.now, keeps=False):
        yield


def touch(rows: Rows, c: Touch, _: int) -> Doing:
    """The second only."""
    slots = rows.map.get(c.ids)
    slots = slots[slots >= 0]
    yield
    rows.take(slots)
    yield
    rows.store.columns[TIMESTAMP][slots] = c.now


def evict(rows: Rows, c: Evict, is_last: bool) -> Doing:
    """Give rows up; their slots are used again."""
    yield
    before = None
    if (
        not is_last and rows.place is HOST
    ):  # a device has no memory to spare, and all that may fail was done before
        slots = rows.map.get(c.ids)
        rows.store.fetch(slots)
        before = rows.store.records[slots]
    slots = rows.map.remove(c.ids)
    vacate(rows.store, slots[slots >= 0])
    try:
        yield
    except BaseException:
        if before is not None:
            rows.store.records[rows.map.get_or_insert(c.ids).slots] = before
        raise


def decay(rows: Rows, c: Decayed, _: int) -> Doing:
    """Decay of all rows, which they make up for."""
    logs = rows.decay(c.logs)
    yield
    before, rows.logs = rows.logs, logs  # which rows that are put behind this see
    try:
        yield
    except BaseException:
        rows.logs = before
        raise


def go_on(rows: Rows, c: GoOn, _: int) -> Doing:
    """Numbers of another table."""
    yield
    yield
    rows.go_on(c.scales, c.steps, c.products)


def resume(rows: Rows, c: Resume, _: int) -> Doing:
    """Numbers as they were saved."""
    yield
    yield
    rows.steps = c.steps
    for k, log, scale, products in c.numbers:
        Numbers(log, scale, products).into(rows, k)


def settle(rows: Rows, c: Settle, _: int) -> Doing:
    """The decay that rows have not seen."""
    slots = rows.map.get(c.ids)
    slots = slots[slots >= 0]
    yield
    rows.take(slots)
    with rows.kept(slots):
        rows.settle(slots)
        yield

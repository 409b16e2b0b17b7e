"""One step of every rule of a table, on the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records.layout import ABSENT, UPDATES
from .batches import waves
from .commands import Array, Ids, Update
from .doing import Doing
from .parts import DECAYED, GRADS, Part, missed

if TYPE_CHECKING:
    from .rows import Rows

_MOST_UPDATES = ABSENT - 1  # where counts stop


def update(rows: Rows, c: Update, n_leaving: int) -> Doing:
    """Carry out an Update, in three parts (`doing.Doing`)."""
    step = rows.step(c)
    numbers, taken, logs = step.numbers, step.taken, step.logs
    steps = list(waves(c.ids, c.grads)) if c.repeats else [(c.ids, c.grads)]
    ids = steps[0][0]  # all of them
    rows.updating.reserve(len(ids))
    found = rows.find(ids, n_leaving)
    yield
    with rows.having(found, ids, c.now, keeps=rows.engine == "reference") as slots:
        runs = [
            _ready(rows, slots if nth == 0 else rows.map.get(its), grads, numbers, taken, logs, nth, c.now)
            for nth, (its, grads) in enumerate(steps)
        ]
        yield
        for run in runs:
            run()
        for part, log in zip(rows.parts, logs, strict=True):
            if part.is_global:
                rows.column(part, DECAYED)[slots, 0] = log
    rows.finish(step, c.done)


def _ready(
    rows: Rows,
    slots: Ids,
    grads: Array,
    numbers: dict[str, Any],
    taken: list[float],
    logs: list[float],
    nth: int,
    now: int,
) -> Callable[[], None]:
    """What updates these rows, once they were updated `nth` times within this step."""
    numbers = dict(numbers)
    if rows.needs_updates:
        updates = rows.store.columns[UPDATES][slots]
        if nth:
            updates = np.minimum(updates.astype(np.int64) + nth, _MOST_UPDATES)
        for part in rows.parts:
            numbers |= part.by_age(updates)
    for part, lost, log in zip(rows.parts, taken, logs, strict=True):
        if part.decays:
            numbers[f"@{DECAYED}:{part.name}"] = _lost(rows, part, slots, lost, log, nth)
    return rows.updating.ready(rows.store.records, slots, {GRADS: grads}, numbers, now)


def _lost(rows: Rows, part: Part, slots: Ids, lost: float, log: float, nth: int) -> float | Array:
    """What part decay takes of the weights of these rows."""
    if not part.is_global:
        return lost
    return 0.0 if nth else missed(rows.column(part, DECAYED)[slots, 0], log)

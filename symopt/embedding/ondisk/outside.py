"""What a table knows that is in no record: numbers, counts, which slots are free. And what it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DamagedError
from ...records.layout import ABSENT, ID, UPDATES
from ...state import Differences
from ..initializers import Custom
from ..rows import Rows
from ..segment import Segment

if TYPE_CHECKING:
    from ..table import Table

_AT_ONCE = 1 << 24  # bytes of records that are looked through at once


def outside(table: Table) -> dict[str, Any]:
    """All of it, as a tree that `so.save` takes."""
    rows = table._rows
    return {
        "rows": len(rows.map),
        "free": rows.map.free(),
        "steps": rows.steps,
        "logs": np.array(rows.logs),
        "scales": np.array(rows.scales),
        "products": [dict(part.hyper.products) for part in rows.parts],
        "latest": table.latest,
        "admission": None if table.admission is None else table.admission.state_dict(),
        "touched": None if table.touched is None else table.touched.state_dict(),
        "sent": np.array(table._sent),
    }


def take_outside(table: Table, state: Mapping[str, Any], what: str) -> None:
    """Take it over; StateError, and nothing is changed, where counts do not fit what is to count."""
    found = Differences()
    commits = []
    for name, target in (("admission", table.admission), ("touched", table.touched)):
        if target is not None and state[name] is not None:
            commits.append(target.plan_load(state[name], found, name))
    found.check(what, strict=True)
    rows = table._rows
    _find_ids(rows, int(state["rows"]), np.asarray(state["free"]), what)
    rows.steps, table.latest = int(state["steps"]), int(state["latest"])
    rows.logs, rows.scales = state["logs"].tolist(), state["scales"].tolist()
    table._sent = state["sent"].tolist()
    for part, products in zip(rows.parts, state["products"], strict=True):
        part.hyper.products.update({n: v for n, v in products.items() if n in part.hyper.products})
    for commit in commits:
        commit()
    if table.touched is not None and state["touched"] is None:
        table.touched.overflow()  # what was written before is not known


def _find_ids(rows: Rows, n: int, free: np.ndarray[Any, Any], what: str) -> None:
    """The map of ids, from the records themselves: some at a time, front to back."""
    columns, n_slots = rows.store.columns, n + len(free)
    ids, slots = np.empty(n, np.int64), np.empty(n, np.int64)
    at, step = 0, max(1, _AT_ONCE // rows.layout.stride)
    for begin in range(0, n_slots, step):
        some = np.arange(begin, min(begin + step, n_slots))
        rows.store.fetch(some)
        used = begin + np.flatnonzero(columns[UPDATES][begin : begin + len(some)] != ABSENT)
        if at + len(used) > n:
            break
        ids[at : at + len(used)], slots[at : at + len(used)] = columns[ID][used], used
        at += len(used)
    else:
        if at == n:
            rows.map.restore(ids, slots, free)
            return
    raise DamagedError(f"{what}: expected {n} rows in {n_slots} records, others are marked as rows")


def made_with(table: Table) -> dict[str, Any]:
    """What a batch that is done again must find as it was: strings by what they are about."""
    said = {f"segments/{part.name}": _segment(part.segment) for part in table._rows.parts}
    return said | {
        "admission": repr(table.admission),
        "track": repr(None if table.touched is None else table.touched.capacity),
    }


def _segment(segment: Segment) -> str:
    """A segment as text. Functions are functions: what they said is in the log."""
    hyper = segment.hyper(0)
    numbers = {n: "a function" if callable(v) else v for n, v in hyper.values.items()}
    initial = {n: "a function" if callable(v) else v for n, v in sorted(segment.initial.items())}
    made = segment.initializer
    fields = {
        "dim": segment.dim, "rule": segment.op.name, **hyper.fixed, **numbers, "initial": initial,
        "initializer": "a function" if isinstance(made, Custom) else made, "compressor": segment.compressor,
        "weight_decay": segment.weight_decay, "decay": segment.decay, "clock": segment.clock,
        "dtype": segment.dtype, "n_blocks": segment.n_blocks,
    }  # fmt: skip
    return ", ".join(f"{name}={value}" for name, value in fields.items())

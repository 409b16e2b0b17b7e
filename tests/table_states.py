"""Tables driven by random operations, and all that there is to know of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from symopt.embedding import Admission, Expiry, FixedR8, OneBit, RandomUniform, Segment, Table

DIM = 5


def decaying(step: int) -> float:
    return 0.5 / (1 + step)


def segments() -> list[Segment]:
    """Rules with states, running products, row and table clocks, all kinds of decay, a code with a scale."""
    return [
        Segment(2, "adam", learning_rate=decaying, initializer=RandomUniform(-1, 1), clock="table"),
        Segment(1, "adagrad", learning_rate=0.1, weight_decay=0.01, compressor=FixedR8()),
        Segment(1, "adam", learning_rate=0.1, weight_decay=0.5, decay="decoupled_global", initializer=1.0),
        Segment(1, "sgd", learning_rate=0.1, compressor=OneBit(step_size=2)),
    ]


def full(**options: Any) -> Table:
    """A table with everything."""
    given: dict[str, Any] = {"admission": Admission(1), "expiry": Expiry(2), "track": 12, "seed": 3}
    given |= {"max_rows": 6, "policy": "least_frequent"}
    return Table(segments(), **{**given, **options})


def plain(**options: Any) -> Table:
    """The same rows without limits."""
    return Table(segments(), seed=3, **options)


IDS = st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["apply", "assign", "add", "touch", "evict", "expire", "renew", "lookup", "flush"]),
        IDS,
        st.integers(0, 40),
    ),
    max_size=12,
)
Step = tuple[str, Sequence[int], int]


def drive(table: Table, steps: Sequence[Step], dim: int = DIM) -> list[Any]:
    """Do steps; what the table answered."""
    told: list[Any] = []
    for kind, ids, number in steps:
        values = (np.arange(len(ids) * dim).reshape(-1, dim) - number) / 16
        now = number * 20_000
        if kind == "apply":
            told.append([np.asarray(x).tolist() for x in table.apply_gradients(ids, values, req_time=now)])
        elif kind == "assign":
            table.assign(ids, values, req_time=now)
        elif kind == "add":
            table.assign_add(ids, values, req_time=now)
        elif kind == "touch":
            told.append(table.touch(ids, req_time=now).tolist())
        elif kind == "renew":
            told.append(table.reinitialize(ids, req_time=now).tolist())
        elif kind == "evict":
            told.append(table.evict(ids).tolist())
        elif kind == "expire":
            told.append(table.expire().tolist())
        elif kind == "flush":
            table.flush()
        else:
            told.append(table.lookup(ids, missing="initialize", req_time=now).tobytes())
    return told


def used(table: Table, ids: Any = range(8)) -> Table:
    """After three steps."""
    ids = np.array(list(ids))
    for k in range(3):
        grads = (ids[:, None] + np.arange(table.dim)) / (k + 2)
        table.apply_gradients(ids, grads, req_time=1000 + k)
    return table


def rows_of(table: Table) -> dict[int, dict[str, bytes]]:
    """The bits of every column, by id."""
    store, slots = table._rows.store, table._rows.map.slots()
    columns = {name: column[slots] for name, column in store.columns.items()}
    return {
        id_: {name: column[k].tobytes() for name, column in columns.items()}
        for k, id_ in enumerate(table.ids().tolist())
    }


def numbers_of(table: Table) -> dict[str, Any]:
    """What a table knows beside its rows."""
    rows = table._rows
    found: dict[str, Any] = {
        "steps": rows.steps,
        "latest": table.latest,
        "logs": list(rows.logs),
        "scales": list(rows.scales),
        "products": [dict(part.hyper.products) for part in rows.parts],
    }
    if table.admission is not None:
        counts = table.admission.state_dict()["counts"]
        pairs = {age: map(np.ndarray.tolist, x.values()) for age, x in counts.items()}
        found["counts"] = {age: dict(zip(*x, strict=True)) for age, x in pairs.items()}
        found["blocked"] = table.admission.blocked
    if table.touched is not None:
        touched = table.touched.state_dict()
        found["touched"] = {name: np.asarray(x).tolist() for name, x in touched.items()}
    return found


def everything(table: Table) -> dict[str, Any]:
    """All of it, with which slots are in use and which are given next."""
    where = {"slots": table._rows.map.slots().tolist(), "free": table._rows.map.free().tolist()}
    return {"rows": rows_of(table), **where, **numbers_of(table)}


def reloaded(table: Table, fresh: Table) -> Table:
    """Another table with the state of the first, by its dict."""
    fresh.load_state_dict(table.state_dict())
    return fresh

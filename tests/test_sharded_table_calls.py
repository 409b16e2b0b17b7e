"""Wrong calls of a sharded table raise what a table raises, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sharded_tables import assert_same, cluster

from symopt.distributed import ShardedTable
from symopt.embedding import Bags, Policy, Segment, Table

ONES = np.ones((2, 4))


def schedule(done: int) -> float:
    """One that is wrong after five steps."""
    return 0.1 if done < 5 else float("nan")


def large(done: int) -> float:
    """One with which decay leaves nothing after six steps."""
    return 0.1 if done < 6 else 11.0


def broken(rows: Any) -> Any:
    raise ZeroDivisionError


CALLS: dict[str, Callable[[Any], Any]] = {
    "words": lambda t: t.lookup(["a"]),
    "too large": lambda t: t.lookup([2**64]),
    "none": lambda t: t.apply_gradients(None, ONES),
    "ragged": lambda t: t.lookup([[1], [2, 3]]),
    "shape": lambda t: t.apply_gradients([1, 2], np.ones((2, 3))),
    "words as gradients": lambda t: t.apply_gradients([1, 2], np.full((2, 4), "x")),
    "rate": lambda t: t.apply_gradients([1, 2], ONES, learning_rate="x"),
    "rates": lambda t: t.apply_gradients([1, 2], ONES, learning_rate=[0.1]),
    "step": lambda t: t.apply_gradients([1, 2], ONES, global_step=-1),
    "time": lambda t: t.apply_gradients([1, 2], ONES, req_time=-3),
    "duplicates": lambda t: t.apply_gradients([1, 2], ONES, duplicates="last"),
    "nan of a schedule": lambda t: t.apply_gradients([1, 2], ONES, global_step=5),
    "decay of all": lambda t: t.apply_gradients([1, 2], ONES, global_step=7, learning_rate=[0.1, 11.0]),
    "values": lambda t: t.assign([1], ONES),
    "missing": lambda t: t.lookup([1], missing="none"),
    "no row": lambda t: t.lookup([1, 99, 98], missing="raise"),
    "out": lambda t: t.lookup([1], out=np.zeros((1, 3))),
    "out of bags": lambda t: t.lookup(Bags.from_lists([[1]], "sum"), out=np.zeros((2, 4), np.float32)),
    "full": lambda t: t.apply_gradients(np.arange(100, 140), np.ones((40, 4))),
    "full of values": lambda t: t.assign(np.arange(100, 140), np.ones((40, 4))),
    "two ways": lambda t: t.evict([1], n=1),
    "no way": lambda t: t.evict(),
    "where": lambda t: t.evict(where=3),
    "numbers of where": lambda t: t.evict(where=lambda rows: rows["id"]),
    "shape of where": lambda t: t.evict(where=lambda rows: np.array([True])),
    "broken where": lambda t: t.evict(where=broken),
    "column": lambda t: t.evict(where=lambda rows: rows["age"]),
    "policy": lambda t: t.evict(n=1, policy="oldest"),
    "broken policy": lambda t: t.evict(n=1, policy=Policy(broken)),
    "n": lambda t: t.evict(n=-1),
    "expire": lambda t: t.expire("now"),
    "entries": lambda t: list(t.entries(start=-1)),
    "delta": lambda t: t.take_delta(),
    "reserve": lambda t: t.reserve(-1),
    "other delta": lambda t: t.apply_delta(Table(Segment(3, "sgd", learning_rate=1.0), track=3).take_delta()),
    "files": lambda t: t.save("/nowhere", files=0),
    "part": lambda t: t.save("/nowhere", part=(2, 2)),
    "nothing there": lambda t: t.restore("/nowhere/at/all"),
    "state": lambda t: t.load_state_dict({}),
    "no state": lambda t: t.load_state_dict({"format": 3, "rows": 4}),
}


def made(kind: Callable[..., Any]) -> Any:
    segments = [
        Segment(2, "adagrad", learning_rate=schedule),
        Segment(2, "adam", learning_rate=0.1, weight_decay=0.1, decay="decoupled_global"),
    ]
    table = kind(segments, max_rows=30, name="users")
    table.apply_gradients([1, 2, 3], np.ones((3, 4)), req_time=7)
    return table


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_wrong_calls(call: Callable[[Any], Any]) -> None:
    table, sharded = made(Table), made(lambda *args, **options: ShardedTable(cluster(3), *args, **options))
    said = []
    for each in (table, sharded):
        with pytest.raises(Exception) as found:
            call(each)
        said.append((found.type, str(found.value)))
    assert said[0] == said[1]
    assert sharded._stream.step == 1
    assert_same(table, sharded)
    for each in (table, sharded):
        each.apply_gradients([3, 4], ONES, req_time=8)
    assert_same(table, sharded)

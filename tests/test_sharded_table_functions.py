"""First weights by functions that raise: a sharded table refuses what a table refuses, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded_tables import Mortal, assert_same, cluster

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import RandomUniform, Segment, Table
from symopt.errors import PushFailedError, ShapeError, TooLateError


def positive(ids: Any, dim: int) -> Any:
    """Weights for ids that are not below zero."""
    if (ids < 0).any():
        raise ValueError("no weights for ids below zero")
    return np.sin(ids.astype(np.float64)[:, None] + np.arange(dim))


def narrow(ids: Any, dim: int) -> Any:
    """Too few columns for some."""
    return np.ones((len(ids), dim - int((ids < 0).any())))


def segments(function: Any) -> list[Segment]:
    return [
        Segment(2, "adagrad", learning_rate=0.1, initializer=RandomUniform()),
        Segment(2, "adam", learning_rate=0.1, initializer=function),
    ]


def rows(n: int) -> Any:
    return np.random.default_rng(n).normal(size=(n, 4))


def push(table: Any) -> Any:
    return table.push if isinstance(table, ShardedTable) else table.apply_gradients


BAD = [3, 50, 51, -5, 7, 52]
CALLS: dict[str, Callable[[Any], Any]] = {
    "apply_gradients": lambda t: t.apply_gradients(BAD, rows(6)),
    "sequential": lambda t: t.apply_gradients([*BAD, 50, -5], rows(8), duplicates="sequential"),
    "assign": lambda t: t.assign(BAD, rows(6)),
    "assign_add": lambda t: t.assign_add([*BAD, -5], rows(7)),
    "push": lambda t: push(t)(BAD, rows(6)),
    "sequential push": lambda t: push(t)([*BAD, 50, -5], rows(8), duplicates="sequential"),
    "lookup": lambda t: t.lookup(BAD, missing="initialize"),
    "reinitialize": lambda t: t.reinitialize([1, -1]),
}


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"max_rows": 30, "policy": "least_recent"}, {"admission": 1, "track": 90}],
    ids=["", "full", "admission"],
)
@pytest.mark.parametrize("call", CALLS)
def test_what_raises_writes_nothing(n: int, call: str, options: dict[str, Any]) -> None:
    made = cluster(n)
    table = Table(segments(positive), **options)
    sharded = ShardedTable(made, segments(positive), **options)
    for each in (table, sharded):
        for _ in range(2):  # ids may have to be seen twice
            push(each)(np.arange(30), rows(30), req_time=5)
        push(each)([*BAD[1:3], BAD[5]], rows(3), learning_rate=0.0, req_time=5)
    for each in (table, sharded):
        if "admission" in options:
            push(each)(BAD[3:4], rows(1), req_time=6)  # which is only counted
        with pytest.raises(ValueError, match="no weights for ids below zero"):
            CALLS[call](each)
    assert_same(table, sharded, with_stats=call != "lookup")
    for each in (table, sharded):
        each.apply_gradients(np.arange(20, 40), rows(20), req_time=6)
        each.lookup(np.arange(40, 44), missing="initialize", req_time=7)
    assert_same(table, sharded, with_stats=call != "lookup")


def test_what_gives_too_few_columns() -> None:
    for each in (Table(segments(narrow)), ShardedTable(cluster(2), segments(narrow))):
        with pytest.raises(ShapeError, match=r"narrow gave an array of shape"):
            each.apply_gradients(BAD, rows(6))
        assert len(each) == 0
        each.apply_gradients([1, 2], rows(2))
        assert len(each) == 2


ASKED: list[int] = []


def once(ids: Any, dim: int) -> Any:
    """Weights that are given once."""
    ASKED.append(len(ids))
    if len(ASKED) > 1:
        raise ValueError("no weights any more")
    return np.ones((len(ids), dim))


@pytest.mark.parametrize("has_path", [True, False])
def test_what_raises_when_it_is_asked_again_is_gone_back_from(has_path: bool, tmp_path: Path) -> None:
    """Shards ask functions before a step is sent, and then for good."""
    made = cluster(3, path=tmp_path if has_path else None)
    table, sharded = Table(segments(once)), ShardedTable(made, segments(once))
    if has_path:
        made.checkpoint()
    ASKED.clear()
    sharded.push([7], rows(1))
    with pytest.raises(
        PushFailedError, match=r"ValueError: no weights any more.*restore\(\) .* in a cluster with path="
    ):
        made.settle()
    if not has_path:
        with pytest.raises(TooLateError, match="no folder for checkpoints"):
            made.restore()
        return
    made.restore()
    assert_same(table, sharded, with_stats=False)


def far_away(ids: Any, dim: int) -> Any:
    """Weights from somewhere that does not answer."""
    raise TimeoutError("no answer from there")


def test_what_raises_like_a_lost_process_replaces_none() -> None:
    transport = Mortal()
    made = Cluster(2, transport=transport)
    sharded = ShardedTable(made, segments(far_away))
    for call in (sharded.push, sharded.apply_gradients):
        with pytest.raises(TimeoutError, match="no answer from there"):
            call(BAD, rows(6))
    assert made.recoveries == 0 and len(transport.processes) == 2
    assert len(sharded) == sharded.steps == 0

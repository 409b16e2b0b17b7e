"""What else a sharded table does as a table does: orders, several tables together, batches of one shard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sharded_tables import SEGMENTS, assert_equal, assert_same, cluster, kill

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Segment, Table, Tables
from symopt.errors import TooLateError

OPTIONS: dict[str, Any] = {"max_rows": 40, "policy": "least_frequent", "track": 100}


def steps(table: Any, n: int = 12) -> list[Any]:
    """What batches of all kinds answer."""
    told: list[Any] = []
    for k in range(n):
        rng = np.random.default_rng(k)
        ids, rows = rng.integers(-(2**63), 2**63, 16) // (1 << 59), rng.normal(size=(16, table.dim))
        told += [table.apply_gradients(ids, rows, req_time=k), table.evict(ids[:2]), table.touch(ids[3:5], k)]
        told.append(table.evict(where=lambda rows: rows["updates"] > 2))
    return told


def test_one_shard_has_the_order_of_a_table() -> None:
    table, sharded = (
        Table(SEGMENTS["several"](), **OPTIONS),
        ShardedTable(cluster(1), SEGMENTS["several"](), **OPTIONS),
    )
    assert_equal(steps(table, 6), steps(sharded, 6))
    kill(sharded.cluster, 0)
    assert_equal(table.ids(), sharded.ids())
    assert_equal(list(table.entries(batch=7)), [*sharded.entries(batch=7)])
    assert_equal(table.take_delta().ids, sharded.take_delta().ids)


@pytest.mark.parametrize("method", ["apply_gradients", "assign", "assign_add"])
@pytest.mark.parametrize("owner", [None, 0, 2])
def test_batches_of_one_shard_or_of_none(method: str, owner: int | None) -> None:
    table, sharded = Table(SEGMENTS["several"]()), ShardedTable(cluster(3), SEGMENTS["several"]())
    ids = np.arange(-60, 60)
    ids = ids[:0] if owner is None else ids[sharded.cluster.partition.owner(ids) == owner]
    rows = np.random.default_rng(0).normal(size=(len(ids), table.dim))
    for each in (table, sharded):
        for k in range(3):
            getattr(each, method)(ids, rows, req_time=k)
        assert each.lookup(ids).shape == (len(ids), table.dim)
    assert_same(table, sharded)


def test_a_full_table_makes_no_rows_for_lookups() -> None:
    options: dict[str, Any] = {"missing": "initialize", "max_rows": 4}
    table, sharded = (
        Table(SEGMENTS["sgd"](), **options),
        ShardedTable(cluster(2), SEGMENTS["sgd"](), **options),
    )
    for each in (table, sharded):
        each.lookup([1, 2, 3])
        with pytest.raises(TooLateError, match="2 new ids and 3 rows are more than max_rows=4"):
            each.lookup([3, 4, 5, 4])
        each.lookup([4, 1])
        with pytest.raises(TooLateError, match="max_rows=4"):
            each.push([9], np.ones((1, 3))) if each is sharded else each.apply_gradients([9], np.ones((1, 3)))
    for each in (table, sharded):
        each.touch(each.ids(), 5)
    assert_same(table, sharded)


def test_tables_of_both_kinds_make_steps_together() -> None:
    one, other = cluster(2), Cluster(3)
    mixed = Tables(
        {
            "a": ShardedTable(one, SEGMENTS["sgd"](), name="a", max_rows=9),
            "b": Table(SEGMENTS["sgd"]()),
            "c": ShardedTable(one, SEGMENTS["sgd"](), name="c", admission=1),
            "d": ShardedTable(other, SEGMENTS["sgd"](), name="d"),
        }
    )
    plain = Tables(
        {
            name: Table(
                SEGMENTS["sgd"](), max_rows=9 if name == "a" else None, admission=1 if name == "c" else None
            )
            for name in "abcd"
        }
    )
    rng = np.random.default_rng(0)
    for tables in (mixed, plain):
        rng = np.random.default_rng(0)
        for k in range(4):
            batch = {
                name: (rng.integers(0, 9, 6), rng.normal(size=(6, 3)).astype(np.float32)) for name in "abcd"
            }
            tables.apply_gradients(batch, req_time=k)
        with pytest.raises(TooLateError):
            tables.apply_gradients(
                {name: (np.arange(20), np.ones((20, 3), np.float32)) for name in "bdac"}, req_time=9
            )
    for name in "acd":
        assert_same(plain[name], mixed[name])
    fused = [np.asarray(t.fused_lookup([1, 2, 3, 4], [1, 1, 1, 1]).embeddings) for t in (plain, mixed)]
    assert_equal(fused[0], fused[1])
    state = plain.state_dict()
    mixed.load_state_dict(state)
    for name in "acd":
        assert_same(plain[name], mixed[name], with_stats=False)


def test_only_lookups_may_be_stale() -> None:
    segment = Segment(1, "sgd", learning_rate=1.0)
    table = ShardedTable(Cluster(2, staleness=2), segment, admission=1, max_rows=3)
    for _ in range(3):
        table.push([1, 2], np.ones((2, 1)))
    assert table.lookup([1, 2]).tolist() in ([[0.0]] * 2, [[-1.0]] * 2, [[-2.0]] * 2)
    assert table.contains([1, 2]).all()
    assert len(table) == 2
    with pytest.raises(TooLateError):
        table.reinitialize([3, 4])

"""Bounded staleness: how old rows may be, and that every gradient counts once all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worker_losses import Losing

import symopt as so

D = so.distributed
IDS = [3, 5, -1, 1 << 40]


def counted(cluster: Any, steps: int, ranks: int, **more: Any) -> tuple[Any, list[Any]]:
    """A table whose rows count the gradients that they got; and the lag of each step and rank."""
    segment = so.embedding.Segment(2, "sgd", learning_rate=1.0)
    users = D.ShardedTable(cluster, segment, name="users")
    given = {"ids": IDS, **more.pop("given", {})}
    workers = D.Workers(cluster, "worker_steps:count", [users], ranks=ranks, given=given, **more)
    lags = []
    for done in workers.steps(steps):
        for step, seen in done.reports:
            assert step == done.step
            applied = np.array(seen) / ranks
            assert (applied == np.round(applied)).all(), "rows are seen between steps only"
            lags.append(step - 1 - applied.min())
            assert (applied <= step - 1).all()
    return users, lags


@pytest.mark.parametrize("staleness", [0, 1, 3])
@pytest.mark.parametrize(("n", "ranks"), [(1, 1), (2, 3)])
def test_rows_are_as_old_as_they_may_be(staleness: int, n: int, ranks: int) -> None:
    with D.Cluster(n, staleness=staleness) as cluster:
        users, lags = counted(cluster, 10, ranks)
        assert max(lags) == staleness  # it does run ahead
        cluster.settle()
        assert (users.lookup(IDS) == 10 * ranks).all()
        assert users.steps == 10


@pytest.mark.parametrize("seed", range(6))
def test_losses_neither_lose_nor_double_gradients(seed: int) -> None:
    staleness, ranks = 1 + seed % 3, 1 + seed % 2
    transport = Losing(seed, rate=0.0)
    with D.Cluster(2, staleness=staleness, transport=transport) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        workers = D.Workers(
            cluster, "worker_steps:count", [users], ranks=ranks, given={"ids": IDS}, processes=1 + seed % 3
        )
        transport.rate = 0.02
        for done in workers.steps(20):
            for step, seen in done.reports:
                assert min(seen) >= (step - 1 - staleness) * ranks
        transport.rate = 0.0
        cluster.settle()
        assert sum(transport.seen.values()) > transport.seen["twice"] > 0
        np.testing.assert_array_equal(users.lookup(IDS), np.full((4, 2), 20.0 * ranks))


def test_what_the_program_pushes_itself_does_not_loosen_the_bound() -> None:
    with D.Cluster(2, staleness=1) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        workers = D.Workers(cluster, "worker_steps:count", [users], given={"ids": IDS})
        for done in workers.steps(6):
            ((step, seen),) = done.reports
            assert min(seen) >= step - 2
            users.push([77], np.ones((1, 2)))
            users.push([78], np.ones((1, 2)))
        cluster.settle()
        assert (users.lookup(IDS) == 6).all()


def test_what_is_under_way_is_cut_again_for_other_shards(tmp_path: Any) -> None:
    with D.Cluster(2, staleness=3, path=tmp_path) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        workers = D.Workers(cluster, "worker_steps:count", [users], ranks=3, given={"ids": IDS})
        for done in workers.steps(12):
            if done.step in (3, 7):
                cluster.reshard(done.step)
            workers.resize(1 + done.step % 4)
        assert (users.lookup(IDS) >= 36 - 9).all()
        cluster.settle()
        assert (users.lookup(IDS) == 36).all()
        assert workers.redone >= 18  # three steps of three ranks, twice

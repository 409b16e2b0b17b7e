"""Workers in processes of Ray: the bits of one, whatever is killed."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
import rays
import worker_dense
import worker_steps
from test_workers import plain, sharded
from test_workers_stale import IDS, counted
from worker_steps import assert_same, one_process

import symopt as so
from symopt.distributed.transport import size

pytest.importorskip("ray", reason="Ray has no wheel for this Python")

D = so.distributed


@pytest.fixture(scope="module", autouse=True)
def ray_runs() -> None:
    """Clusters of this module use Ray as it runs, and leave it running."""
    rays.instance()


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 3000])
def test_processes_have_the_bits_of_one(n: int) -> None:
    expected = plain()
    reports = one_process(worker_steps.learn, expected, 5, 2, n=n)
    with D.Cluster(2, ray=True) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, worker_steps.learn, [*tables.values()], ranks=2, given={"n": n})
        assert [done.reports for done in workers.steps(5)] == reports
        assert len({*workers.process_ids, os.getpid()}) == 3
        assert_same(tables, expected)


@pytest.mark.slow
def test_workers_and_shards_that_are_killed_change_no_bit(tmp_path: Any) -> None:
    expected = plain(missing="initialize")
    reports = one_process(worker_steps.learn, expected, 8, 2, n=3000)
    at = {"2-0": "begin", "4-1": "rows", "6-0": "rows", "6-1": "begin"}
    with D.Cluster(2, ray=True) as cluster:
        tables = sharded(cluster, missing="initialize")
        given = {"folder": str(tmp_path), "at": at, "n": 3000}
        workers = D.Workers(
            cluster, "worker_steps:kill_once", [*tables.values()], ranks=2, processes=3, given=given
        )
        found = []
        for done in workers.steps(8):
            found.append(done.reports)
            if done.step in (3, 5):
                kill(cluster.lines[done.step % 2].process_id)
            if done.step == 7:
                kill(workers.process_ids[0])
        assert found == reports
        assert (workers.lost, workers.redone) == (5, 5)
        assert workers.processes == 3
        assert cluster.recoveries == 2
        assert_same(tables, expected)


@pytest.mark.slow
def test_staleness_is_bounded_and_loses_nothing() -> None:
    for staleness in (0, 2):
        with D.Cluster(2, ray=True, staleness=staleness) as cluster:
            users, lags = counted(cluster, 12, 2, given={"slow": 0.005})
            assert max(lags) <= staleness
            cluster.settle()
            np.testing.assert_array_equal(users.lookup(IDS), np.full((4, 2), 24.0))


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced() -> None:
    with D.Cluster(1, ray=True) as cluster:
        segment = so.embedding.Segment(2, "sgd", learning_rate=1.0)
        users = D.ShardedTable(cluster, segment, name="users")
        given = {"ids": IDS}
        with D.Workers(cluster, "worker_steps:count", [users], ranks=2, given=given, timeout=10.0) as workers:
            for done in workers.steps(3):
                if done.step == 1:
                    os.kill(workers.process_ids[1] or 0, signal.SIGSTOP)
            assert workers.lost == workers.redone == 1
            assert (users.lookup(IDS) == 6).all()


@pytest.mark.slow
@pytest.mark.parametrize(("wire", "share"), [("bfloat16", True), (None, False)])
def test_dense_gradients_of_the_killed_change_no_bit_and_are_not_read(
    wire: Any, share: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"rule": "adam", "clip_global_norm": 0.5, "wire": wire, "lr": 0.1}
    expected = worker_dense.in_one_process(ranks=2, **options)
    on_ray, read = rays.instance(share), [0]
    wait = on_ray.wait

    def counted(*args: Any, **more: Any) -> Any:
        found = wait(*args, **more)
        read[0] += size(found)
        return found

    monkeypatch.setattr(on_ray, "wait", counted)
    cluster = D.Cluster(2, transport=on_ray)
    given = {"kill": ["2-1", "5-0"], "folder": str(tmp_path)}
    params, optimizer, workers = worker_dense.made(cluster, ranks=2, **options, workers_given=given)
    try:
        for done in workers.steps(worker_dense.STEPS):
            if done.step == 3:
                kill(on_ray.process_id(optimizer._owners.lines[1]._host))
            if done.step == 4:
                kill(workers.process_ids[1])
        read_in_steps = read[0]
        worker_dense.same(params, optimizer, expected)
        assert (optimizer.recoveries, workers.lost) == (1, 3)
        weights = sum(p.nbytes for p in params.values())
        assert read_in_steps < (worker_dense.STEPS + 2) * weights * 1.1  # new weights, half of them twice
    finally:
        workers.close()
        optimizer.close()
        for line in cluster.lines:
            line.stop()


def kill(process: int | None) -> None:
    assert process is not None
    os.kill(process, signal.SIGKILL)

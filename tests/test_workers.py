"""Workers, in one process: the bits of one table that gets the gradients of all ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import worker_steps
from worker_losses import Losing
from worker_steps import assert_same, makers, one_process

import symopt as so
from symopt.distributed.content import Content
from symopt.distributed.shard import Shard
from symopt.distributed.spec import segment_spec
from symopt.embedding.commands import Update
from symopt.errors import (
    AttributeValueError,
    ClusterError,
    ProcessLostError,
    ShapeError,
    TooLateError,
    UnknownArgumentError,
    UnknownIdError,
)

D = so.distributed


def sharded(cluster: Any, **options: Any) -> dict[str, Any]:
    return {
        name: D.ShardedTable(cluster, segments, name=name, **its)
        for name, (segments, its) in makers(**options).items()
    }


def plain(**options: Any) -> dict[str, Any]:
    return {
        name: so.embedding.Table(segments, name=name, **its)
        for name, (segments, its) in makers(**options).items()
    }


def trained(
    cluster: Any, step: str, steps: int, ranks: int, options: dict[str, Any] | None = None, **more: Any
) -> tuple[dict[str, Any], list[Any], Any]:
    tables = sharded(cluster, **(options or {}))
    workers = D.Workers(cluster, f"worker_steps:{step}", [*tables.values()], ranks=ranks, **more)
    return tables, [done.reports for done in workers.steps(steps)], workers


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("step", ["learn", "twice"])
def test_ranks_and_shards_have_the_bits_of_one_process(n: int, ranks: int, step: str) -> None:
    expected = plain()
    reports = one_process(getattr(worker_steps, step), expected, 6, ranks)
    with D.Cluster(n) as cluster:
        tables, found, workers = trained(cluster, step, 6, ranks)
        assert found == reports
        assert workers.step == 6
        assert_same(tables, expected)
        cluster.settle()  # `born` is as far as shards have answered
        for name, table in tables.items():
            assert table.stats.born == len(expected[name])
            assert table.stats.hits == expected[name].stats.hits


@pytest.mark.parametrize(
    "options",
    [
        {"missing": "initialize"},
        {"admission": 3},
        {"admission": 2, "missing": "initialize"},
        {"max_rows": 30, "policy": "least_frequent"},
        {"max_rows": 45, "policy": "least_frequent"},
        {"track": 100},
        {"duplicates": "sequential"},
        {"engine": "reference"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("n", "ranks"), [(1, 1), (3, 2)])
def test_options_of_tables(options: dict[str, Any], n: int, ranks: int) -> None:
    expected = plain(**options)
    one_process(worker_steps.learn, expected, 6, ranks)
    with D.Cluster(n) as cluster:
        tables, _, _ = trained(cluster, "learn", 6, ranks, options)
        assert_same(tables, expected)
        if "track" in options:
            cluster.settle()
            assert tables["users"].stats == expected["users"].stats


@pytest.mark.parametrize("wire", ["float16", "bfloat16"])
def test_wire_rounds_each_rank(wire: str) -> None:
    found = []
    for n in (1, 3):
        with D.Cluster(n) as cluster:
            tables, _, _ = trained(cluster, "learn", 4, 2, {"wire": wire})
            found.append(tables["users"].lookup(np.arange(-10, 50)))
    np.testing.assert_array_equal(*found)


OPTIONS: list[dict[str, Any]] = [{}, {"missing": "initialize"}, {"max_rows": 40, "policy": "least_frequent"}]


@pytest.mark.parametrize("seed", range(12))
def test_losses_change_no_bit(seed: int, tmp_path: Any) -> None:
    n, ranks, processes = 1 + seed % 3, 1 + seed // 3 % 3, 1 + seed % 4
    options = OPTIONS[seed % 3]
    expected = plain(**options)
    reports = one_process(worker_steps.learn, expected, 12, ranks)
    transport = Losing(seed, rate=0.0)
    saves: dict[str, Any] = {"path": tmp_path, "log_bytes": 1 << 13} if seed % 2 else {}
    with D.Cluster(n, transport=transport, **saves) as cluster:
        tables = sharded(cluster, **options)
        transport.rate = 0.03
        workers = D.Workers(
            cluster, "worker_steps:learn", [*tables.values()], ranks=ranks, processes=processes
        )
        found = [done.reports for done in workers.steps(12)]
        transport.rate = 0.0
        assert found == reports
        assert_same(tables, expected)
        assert sum(transport.seen.values()) > transport.seen["twice"] > 0
        lost = sum(times for what, times in transport.seen.items() if " worker " in what)
        assert workers.processes == processes
        assert lost - processes <= workers.lost <= lost
        (said,) = cluster.status().workers
        assert (said.step, said.ranks, said.processes) == (12, ranks, processes)
        assert (said.lost, said.redone) == (workers.lost, workers.redone)
        assert f": step 12, {workers.lost} lost, " in str(cluster.status())
        workers.close()
        assert cluster.status().workers == ()


def test_a_step_that_always_takes_its_process_along_is_an_error() -> None:
    transport = Losing(0, rate=0.0)
    with D.Cluster(2, transport=transport) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, "worker_steps:learn", [*tables.values()])
        call = transport.call
        transport.call = lambda host, method, *a, **k: (  # type: ignore[method-assign]
            transport._gone(host, k["returns"]) if method == "go_on" else call(host, method, *a, **k)
        )
        with pytest.raises(ClusterError, match="step 1 of rank 0: 6 processes were lost"):
            workers.run(2)


def test_number_of_processes_may_change_between_steps() -> None:
    expected = plain()
    one_process(worker_steps.learn, expected, 8, 3)
    for staleness in (0, 2):
        with D.Cluster(2, staleness=staleness, path=None) as cluster:
            tables = sharded(cluster)
            with D.Workers(
                cluster, "worker_steps:learn", [*tables.values()], ranks=3, processes=1
            ) as workers:
                for done in workers.steps(8):
                    workers.resize([5, 1, 2, 3][done.step % 4])
                assert workers.processes == 5
            with pytest.raises(TooLateError, match="closed"):
                workers.run(9, start=8)
            if not staleness:
                assert_same(tables, expected)


def test_checkpoints_and_resharding_between_steps(tmp_path: Any) -> None:
    expected = plain()
    one_process(worker_steps.learn, expected, 9, 2)
    with D.Cluster(2, path=tmp_path, staleness=0) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, "worker_steps:learn", [*tables.values()], ranks=2)
        for done in workers.steps(6):
            if done.step == 2:
                cluster.reshard(3)
            if done.step == 4:
                cluster.checkpoint({"step": done.step})
    with D.Cluster(path=tmp_path) as cluster:  # the steps after the checkpoint are lost with the cluster
        tables = sharded(cluster)
        assert cluster.resumed == {"step": 4}
        workers = D.Workers(cluster, "worker_steps:learn", [*tables.values()], ranks=2)
        workers.run(9, start=cluster.resumed["step"])
        assert_same(tables, expected)


def test_an_error_of_a_function_leaves_the_tables_as_they_were() -> None:
    with D.Cluster(2) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, "worker_steps:fails", [tables["users"]], ranks=2, given={"at": 3})
        with pytest.raises(OverflowError, match="too much") as raised:
            workers.run(5)
        assert raised.value.__notes__[-1] == "in step 3 of rank 1 of 'worker_steps:fails'"
        assert workers.step == tables["users"].steps == 2
        workers.run(2, start=1)
        assert tables["users"].steps == 3


BUFFER, IDS = np.zeros((2, 2), np.float32), np.zeros(2, np.int64)


def reuses(step: int, rank: int, ranks: int) -> Any:
    IDS[:] = 10 * rank, 10 * rank + 1
    rows = (yield {"users": IDS})["users"]
    rows += 5  # is its own
    BUFFER[:], IDS[:] = -1.0 - rank, (10 * rank, 10 * rank + 1)
    return {"users": (IDS, BUFFER)}


@pytest.mark.parametrize("n", [1, 2])
def test_functions_may_use_their_arrays_again(n: int) -> None:
    with D.Cluster(n) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        D.Workers(cluster, reuses, [users], ranks=3).run(2)
        assert users.lookup([0, 1, 10, 11, 20, 21])[:, 0].tolist() == [2, 2, 4, 4, 6, 6]


def test_a_result_that_comes_twice_counts_once() -> None:
    segment = segment_spec(so.embedding.Segment(1, "sgd", learning_rate=1.0), "users")
    spec = {"segments": [segment], "duplicates": "sum", "seed": 0, "engine": "auto", "window": 8}
    shard = Shard({"number": 0, "epoch": 1})
    shard.open("users", spec, 0, None)
    nothing = np.empty(0, np.int64), np.empty((0, 1), np.float32)
    content = Content((Update(*nothing, 0, None, 0),), (), None)
    rows = np.array([4]), np.full((1, 1), -1.0, np.float32)
    other = np.array([4]), np.full((1, 1), -7.0, np.float32)  # of a step that was redone on other rows
    said = [shard.push(1, "users", 1, rank, 2, content, its).said for rank, its in ((1, rows), (1, other))]
    assert said == ["held", "dup"]
    assert shard.push(1, "users", 1, 0, 2, content).said == "held"
    assert shard.push(1, "users", 1, 0, 2, content, other).said == "dup"
    assert shard.pull(1, "users", 1, 0.0, np.array([4]))[0].tolist() == [[1.0]]


def bad_table(step: int, rank: int, ranks: int) -> Any:
    yield {"user": [1]}


def bad_yield(step: int, rank: int, ranks: int) -> Any:
    yield [1]


def bad_gradients(step: int, rank: int, ranks: int) -> Any:
    yield {"users": [1, 2]}
    return {"users": np.ones((3, 3))}


def asked_twice(step: int, rank: int, ranks: int) -> Any:
    yield {"users": [1, 2]}
    yield {"users": [1]}
    return {"users": np.ones((1, 3))}


def triple(step: int, rank: int, ranks: int) -> Any:
    yield {"users": [1]}
    return {"users": ([1], np.ones((1, 3)), 1)}


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        (bad_table, UnknownArgumentError, "yields a dict by names of tables, users; got 'user'"),
        (bad_yield, AttributeValueError, "yields a dict by names of tables, got list"),
        (bad_gradients, ShapeError, r"users: gradients: expected shape \(2, 3\)"),
        (asked_twice, AttributeValueError, "asked for 2 times"),
        (triple, AttributeValueError, "a pair of ids and gradients is returned, got 3 things"),
    ],
)
def test_bad_functions(step: Any, kind: type[Exception], text: str) -> None:
    with D.Cluster(2) as cluster:
        users = sharded(cluster)["users"]
        with pytest.raises(kind, match=text):
            D.Workers(cluster, step, [users]).run(1)
        assert users.steps == 0


def test_bad_arguments() -> None:
    with D.Cluster() as cluster, D.Cluster(transport=Losing(0)) as other:
        tables = sharded(cluster, missing="raise")
        with pytest.raises(UnknownIdError, match="users: id"):
            D.Workers(cluster, "worker_steps:learn", [*tables.values()]).run(1)
        with pytest.raises(AttributeValueError, match="is a generator function"):
            D.Workers(cluster, "worker_steps:no_generator", [tables["users"]]).run(1)
        with pytest.raises(AttributeValueError, match="a step function"):
            D.Workers(cluster, "worker_steps:nothing", [tables["users"]])
        with pytest.raises(AttributeValueError, match="of another cluster"):
            D.Workers(other, "worker_steps:learn", [*tables.values()])
        full = D.ShardedTable(
            cluster, so.embedding.Segment(1, "sgd", lr=0.1), max_rows=4, missing="initialize", name="full"
        )
        with pytest.raises(AttributeValueError, match="push out rows"):
            D.Workers(cluster, "worker_steps:learn", [full])
        with pytest.raises(AttributeValueError, match="one or more ShardedTables"):
            D.Workers(cluster, "worker_steps:learn", [])
        with pytest.raises(AttributeValueError, match="can't import"):
            D.Workers(other, lambda step, rank, ranks: (yield {}), [*sharded(other).values()])
    assert issubclass(ProcessLostError, Exception)

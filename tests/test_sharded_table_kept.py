"""What a sharded table saves a table loads, and the other way round; what was restored survives lost shards."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded_tables import SEGMENTS, assert_equal, assert_same, cluster, kill

import symopt as so
from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Policy, Segment, Table, load_serving
from symopt.errors import ClusterError, StateError, TooLateError

OPTIONS: dict[str, Any] = {"admission": 1, "track": 500, "seed": 3, "expiry": 2}


def fed(table: Any, first: int = 0, n: int = 8) -> Any:
    """Batches that every kind of state comes of."""
    for k in range(first, first + n):
        rng = np.random.default_rng(k)
        ids, grads = rng.zipf(1.3, 40) % 90 - 40, rng.normal(size=(40, table.dim))
        table.apply_gradients(ids, grads, req_time=1_000_000 + 40_000 * k)
    return table


@pytest.fixture(params=sorted(SEGMENTS))
def segments(request: pytest.FixtureRequest) -> Any:
    return SEGMENTS[request.param]


@pytest.mark.parametrize("n", [1, 3])
def test_a_table_reads_what_a_sharded_one_wrote(segments: Any, n: int, tmp_path: Path) -> None:
    sharded = fed(ShardedTable(cluster(n), segments(), **OPTIONS))
    sharded.save(tmp_path / "it", files=2, keep_expired=True)
    so.save(tmp_path / "tree", {"tables": {"user": sharded}})
    others = [Table(segments(), **OPTIONS) for _ in range(4)]
    others[0].restore(tmp_path / "it")
    others[1].restore(tmp_path / "tree", names="tables/user")
    others[2].load_state_dict(sharded.state_dict())
    so.load(tmp_path / "tree", {"tables": {"user": others[3]}})
    for other in others:
        assert_same(other, sharded, with_stats=False)
        assert_same(fed(other, 8, 2), fed(copy_of(sharded, segments, tmp_path), 8, 2), with_stats=False)


def copy_of(sharded: ShardedTable, segments: Any, folder: Path) -> ShardedTable:
    other = ShardedTable(Cluster(2), segments(), **OPTIONS)
    other.load_state_dict(copy.deepcopy(sharded.state_dict()))
    return other


@pytest.mark.parametrize("keep_expired", [False, True])
def test_rows_whose_time_is_over_are_left_out_as_asked(
    segments: Any, keep_expired: bool, tmp_path: Path
) -> None:
    table, sharded = fed(Table(segments(), **OPTIONS)), fed(ShardedTable(Cluster(3), segments(), **OPTIONS))
    saved = []
    for k, each in enumerate((table, sharded)):
        each.save(tmp_path / str(k), keep_expired=keep_expired)
        saved.append(Table(segments(), **OPTIONS))
        saved[-1].restore(tmp_path / str(k))
    ids = np.sort(saved[0].ids())
    assert (len(ids) < len(table)) == (not keep_expired)
    assert_equal(ids, np.sort(saved[1].ids()))
    assert_equal(tuple(saved[0].lookup_entry(ids)), tuple(saved[1].lookup_entry(ids)))


@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize("log_bytes", [1 << 30, 2000])
def test_what_was_restored_survives_shards(with_folder: bool, log_bytes: int, tmp_path: Path) -> None:
    segments = SEGMENTS["several"]
    table = fed(Table(segments(), **OPTIONS))
    table.save(tmp_path / "it", keep_expired=True)
    made = cluster(2, path=tmp_path / "cluster" if with_folder else None, log_bytes=log_bytes)
    sharded = ShardedTable(made, segments(), **OPTIONS)
    fed(sharded, 20, 1)
    sharded.restore(tmp_path / "it")
    for name in os.listdir(tmp_path / "it"):
        os.remove(tmp_path / "it" / name)
    kill(made, 0)
    kill(made, 1)
    if (
        not with_folder and log_bytes == 2000
    ):  # no pushes, no checkpoint: that it can't go on is all there is to say
        with pytest.raises(ClusterError, match="not kept"):
            len(sharded)
        return
    assert_same(table, sharded, with_stats=False)


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    sharded = fed(ShardedTable(Cluster(2), SEGMENTS["sgd"](), **OPTIONS))
    table = fed(Table(SEGMENTS["sgd"](), **OPTIONS))
    other = Table(Segment(3, "adam", learning_rate=0.1), seed=4)
    step = sharded._stream.step
    for each in (table, sharded):
        with pytest.raises(StateError, match="seed is 3 here, the state has 4") as found:
            each.load_state_dict(other.state_dict())
        assert "rule is 'sgd_update' here, the state has 'adam_update'" in str(found.value)
    state = table.state_dict()
    state["rows"][0]["id"] = np.full_like(state["rows"][0]["id"], 5)
    with pytest.raises(StateError, match="rows"):
        sharded.load_state_dict(state)
    assert sharded._stream.step == step
    assert_same(fed(Table(SEGMENTS["sgd"](), **OPTIONS)), sharded)


def test_more_rows_than_may_be(tmp_path: Path) -> None:
    full = fed(Table(SEGMENTS["sgd"](), seed=3))
    full.save(tmp_path / "it")
    for options in ({"max_rows": 5}, {"max_rows": 5, "policy": Policy("least_recent", slack=0.0)}):
        table = Table(SEGMENTS["sgd"](), seed=3, **options)
        sharded = ShardedTable(Cluster(2), SEGMENTS["sgd"](), seed=3, **options)
        for only in (None, range(-9, 9)):
            said = []
            for each in (table, sharded):
                try:
                    said.append(repr(each.restore(tmp_path / "it", only=only)))
                except (TooLateError, StateError) as error:
                    said.append(str(error))
            assert said[0] == said[1]
            assert_same(table, sharded)


def test_changes_reach_a_copy() -> None:
    segments = SEGMENTS["several"]
    sharded = fed(ShardedTable(Cluster(3), segments(), **OPTIONS))
    copies: list[Any] = [Table(segments()), ShardedTable(cluster(2), segments())]
    for states in (True, False):
        sharded.evict(sharded.ids()[:3])
        fed(sharded, 30)
        with sharded.delta(states=states, whole=states) as delta:
            for each in copies:
                each.apply_delta(delta)
    assert_equal(np.sort(sharded.ids()), np.sort(copies[0].ids()))
    assert_same(copies[0], copies[1])


@pytest.mark.parametrize(
    "options", [{}, {"compressor": "fixed_r8"}, {"keep_expired": True, "skip_zero_embedding": True}]
)
def test_serving_tables(segments: Any, options: dict[str, Any], tmp_path: Path) -> None:
    table, sharded = fed(Table(segments(), **OPTIONS)), fed(ShardedTable(Cluster(3), segments(), **OPTIONS))
    reports = [each.export(tmp_path / str(k), **options) for k, each in enumerate((table, sharded))]
    assert (reports[0].rows, reports[0].skipped) == (reports[1].rows, reports[1].skipped)
    ids = table.ids()
    assert_equal(*(load_serving(tmp_path / str(k)).lookup(ids) for k in range(2)))


def test_entries_come_whole() -> None:
    sharded = fed(ShardedTable(Cluster(3), SEGMENTS["several"](), **OPTIONS))
    found = list(sharded.entries(start=2, limit=20, batch=6))
    assert [len(each.ids) for each in found] == [6, 6, 6, 2]
    assert_equal(np.concatenate([each.ids for each in found]), sharded.ids()[2:22])


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, pickle.dumps], ids=lambda f: f.__name__)
def test_copies_are_refused(how: Any) -> None:
    with pytest.raises(ClusterError, match=r"can't be copied or pickled.*state_dict"):
        how(ShardedTable(Cluster(2), SEGMENTS["sgd"]()))

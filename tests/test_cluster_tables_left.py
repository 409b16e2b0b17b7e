"""Tables of a checkpoint that nobody opens: the next checkpoints have them as they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded_tables import SEGMENTS, assert_same, kill
from sharded_tables import cluster as mortal

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Table
from symopt.errors import AttributeValueError

OPTIONS: dict[str, Any] = {"admission": 1, "track": 500, "seed": 3}


def fed(table: Any, first: int = 0, n: int = 3) -> Any:
    for k in range(first, first + n):
        rng = np.random.default_rng(k)
        ids, grads = rng.integers(-60, 60, 80), rng.normal(size=(80, table.dim))
        table.apply_gradients(ids, grads, req_time=1_000_000 + k)
    return table


def opened(cluster: Cluster, name: str) -> ShardedTable:
    return ShardedTable(cluster, SEGMENTS["several"](), name=name, **OPTIONS)


def saved(path: Path, n: int) -> None:
    """A checkpoint with two tables."""
    with Cluster(n, path=path) as cluster:
        fed(opened(cluster, "user"))
        fed(opened(cluster, "item"), 10)
        cluster.checkpoint({"at": 3})


def expected() -> Table:
    table: Table = fed(Table(SEGMENTS["several"](), **OPTIONS), 10)
    return table


@pytest.mark.parametrize(("n", "then", "last"), [(1, 1, 1), (2, 2, 2), (2, 3, 3), (3, 1, 2)])
@pytest.mark.parametrize("links", [True, False])
def test_a_table_that_is_not_opened_is_in_the_next_checkpoints(
    n: int, then: int, last: int, links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, n)
    if not links:
        monkeypatch.setattr(os, "link", _no_link)
    for k in range(2):  # of which the second has it from the first
        with Cluster(then, path=tmp_path, keep=1) as cluster:
            fed(opened(cluster, "user"), 3 + k, 1)
            cluster.checkpoint()
            cluster.checkpoint()
    assert len([name for name in os.listdir(tmp_path) if name.startswith("step-")]) == 1
    with Cluster(last, path=tmp_path) as cluster:
        item = opened(cluster, "item")
        fed(item, 13, 1)
        assert_same(fed(expected(), 13, 1), item, with_stats=False)
        assert_same(
            fed(Table(SEGMENTS["several"](), **OPTIONS), 0, 5), opened(cluster, "user"), with_stats=False
        )


def _no_link(source: str, target: str) -> None:
    raise OSError(errno.EPERM, "no hard links here", target)


def test_it_can_be_opened_after_all(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    made = mortal(2, path=tmp_path)
    user = fed(opened(made, "user"), 3, 1)
    made.reshard(3)
    made.checkpoint()
    made.reshard(4, pins={7: 1})
    item = opened(made, "item")
    kill(made, 1)
    assert_same(expected(), item, with_stats=False)
    made.restore()
    made.checkpoint()
    assert_same(expected(), item, with_stats=False)
    assert_same(fed(Table(SEGMENTS["several"](), **OPTIONS), 0, 4), user, with_stats=False)


def test_tables_can_be_dropped(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    with Cluster(path=tmp_path) as cluster:
        opened(cluster, "user")
        for wrong in (["user"], "items", ["item", "none"]):
            with pytest.raises(AttributeValueError, match="not opened here"):
                cluster.checkpoint(drop=wrong)
        assert os.listdir(Path(cluster.checkpoint()) / "tables" / "item")
        path = cluster.checkpoint(drop="item")
        assert os.listdir(Path(path) / "tables") == ["user"]
    with Cluster(path=tmp_path) as cluster:
        assert len(opened(cluster, "item")) == 0


def test_a_part_that_is_gone_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    with Cluster(path=tmp_path) as cluster:
        opened(cluster, "user")
        before = cluster.found
        assert before is not None
        os.rename(before.folder("item"), tmp_path / "away")
        with pytest.raises(FileNotFoundError):
            cluster.checkpoint()
        assert cluster.found is before and not cluster.trouble
        os.rename(tmp_path / "away", before.folder("item"))
        cluster.checkpoint()
        assert_same(expected(), opened(cluster, "item"), with_stats=False)


def test_shards_that_are_started_again_have_room() -> None:
    made = mortal(2)
    table = ShardedTable(made, SEGMENTS["sgd"](), reserve=5000)
    table.reserve(3000)
    fed(table)
    before = table.memory_bytes()
    kill(made, 1)
    assert table.memory_bytes() == before > 5000 * table.dim * 4

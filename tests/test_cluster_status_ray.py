"""What a cluster on Ray says of itself, with real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import rays

import symopt as so
from symopt.distributed import Cluster, Pace, ShardedTable

pytest.importorskip("ray", reason="Ray has no wheel for this Python")

pytestmark = pytest.mark.slow


def test_status_progress_and_metrics_on_ray(tmp_path: Path) -> None:
    told: list[Pace] = []
    rays.instance()
    with Cluster(2, ray={"metrics": True}, path=tmp_path, progress=told.append) as cluster:
        table = ShardedTable(cluster, so.embedding.Segment(4, "adam", learning_rate=0.1), name="users")
        for _ in range(3):
            table.push(np.arange(100), np.ones((100, 4)))
        cluster.checkpoint()
        status = cluster.status()
        assert status.engine == "OnRay" and status.checkpoint is not None and status.checkpoints == 1
        assert [shard.process for shard in status.shards] == [line.process_id for line in cluster.lines]
        assert os.getpid() not in {shard.process for shard in status.shards}
        assert all(t.done == 3 and t.lag == 0 for shard in status.shards for t in shard.tables)
        process = status.shards[0].process
        assert process is not None
        os.kill(process, signal.SIGKILL)
        for _ in range(2):
            table.apply_gradients(np.arange(100), np.ones((100, 4)))
        status = cluster.status()
        assert status.pace.recoveries == 1 and status.shards[0].epoch == 2
        assert status.shards[0].process not in (None, process) and status.shards[0].recoveries[0] > 0
    assert [pace.steps for pace in told] == [1, 2, 3, 4, 5] and told[-1].recoveries == 1
    assert not any(shard.is_answering for shard in cluster.status().shards)
    assert "closed" in str(cluster.status())

"""What docs/distributed.md says happens when something is lost for good, slow, or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_runs import Model, digest, plain, sharded, step
from lossy import Lossy, calm, lose

from symopt.distributed import Cluster
from symopt.errors import ClusterError, DamagedError, ProcessLostError


class Failing(Lossy):
    """Loses nothing by itself. `how`: what the next `n` waits raise."""

    def __init__(self) -> None:
        super().__init__(0, (), **dict.fromkeys(("before", "after", "twice", "late", "slow", "strays"), 0.0))
        self.how: Exception | None = None
        self.n = 0
        self.waited: list[float | None] = []

    def wait(self, reply: Any, timeout: float | None = None) -> Any:
        self.waited.append(timeout)
        if self.how is not None and self.n > 0:
            self.n -= 1
            raise self.how
        return super().wait(reply, timeout)


@pytest.fixture
def model() -> Model:
    return Model().grow(16)


def test_a_shard_that_is_always_lost_is_an_error_and_restore_tries_again(
    tmp_path: Path, model: Model
) -> None:
    transport = Failing()
    with Cluster(2, transport=transport, path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        cluster.checkpoint()
        started = len(transport.hosts)
        transport.how, transport.n = ProcessLostError("killed"), 1 << 30
        with pytest.raises(ClusterError, match="was started 5 times and lost each time: killed"):
            table.ids()
        assert len(transport.hosts) == started + 5
        with pytest.raises(ClusterError, match="can't go on"):
            table.lookup([1])
        transport.how = None
        cluster.restore()
        for k in range(8, 16):
            assert step(table, k) == model.told[k]
        assert digest(table) == model.digests[16]


def test_who_is_only_slow_is_given_twice_as_long_each_time(model: Model) -> None:
    transport = Failing()
    with Cluster(1, transport=transport, timeout=1.0) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        transport.how = TimeoutError("silent")
        for k, given in ((8, 2.0), (9, 4.0)):
            transport.n = 1
            assert step(table, k) == model.told[k]
            assert cluster.lines[0].timeout == given and transport.waited[-1] == given
        for k in range(10, 16):
            assert step(table, k) == model.told[k]
        assert digest(table) == model.digests[16]


@pytest.mark.parametrize("found_by", ["a new driver", "a lost shard"])
def test_a_damaged_part_is_named(found_by: str, tmp_path: Path) -> None:
    with Cluster(2, transport=calm(), path=tmp_path) as cluster:
        table = plain(cluster)
        table.apply_gradients(np.arange(100), np.ones((100, 2)))
        folder = Path(cluster.checkpoint())
        largest = max(
            (path for path in folder.rglob("tables/**/*") if path.is_file()), key=lambda x: x.stat().st_size
        )
        whole = largest.read_bytes()
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 1
        largest.write_bytes(changed)
        if found_by == "a new driver":
            cluster.close()
            with Cluster(transport=calm(), path=tmp_path) as again, pytest.raises(DamagedError) as raised:
                plain(again)
        else:
            for number in range(2):
                lose(cluster, number)
            with pytest.raises(DamagedError) as raised:
                table.lookup(np.arange(100))
        assert largest.name in str(raised.value)

"""Disks and stores that are full: an error, nothing by halves, and the cluster goes on."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cluster_runs import Model, digest, plain, segments, sharded, step
from lossy import calm, lose

import symopt as so
from symopt.checkpoint.disk import Disk
from symopt.distributed import Cluster
from symopt.errors import ClusterError, StoreFullError, TooLateError


@pytest.fixture
def model() -> Model:
    return Model().grow(24)


# ---- disks


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many bytes it has room for."""
    write, left = Disk.write, {"room": 1 << 60}

    def limited(self: Disk, file: int, data: memoryview) -> None:
        left["room"] -= data.nbytes
        if left["room"] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, file, data)

    monkeypatch.setattr(Disk, "write", limited)
    return left


@pytest.mark.parametrize("room", [0, 100, 2_000, 5_000, 9_000])
def test_a_full_disk_leaves_the_checkpoint_before(
    room: int, tmp_path: Path, model: Model, disk: dict[str, int]
) -> None:
    with Cluster(2, transport=calm(), path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        first = cluster.checkpoint({"step": 8})
        step(table, 8)
        disk["room"] = room
        with pytest.raises(OSError, match="No space left"):
            cluster.checkpoint({"step": 9})
        disk["room"] = 1 << 60
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith("step")] == [os.path.basename(first)]
        lose(cluster)  # it begins with the checkpoint that counts
        for k in range(9, 16):
            assert step(table, k) == model.told[k]
        cluster.checkpoint({"step": 16})
        assert digest(table) == model.digests[16]
    with Cluster(transport=calm(), path=tmp_path) as cluster:
        assert cluster.resumed == {"step": 16} and digest(sharded(cluster)) == model.digests[16]


@pytest.fixture
def tiny() -> Iterator[Path]:
    """A disk of 1.5 MB."""
    path = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        path.rmdir()
        pytest.skip("only root mounts disks")
    yield path
    subprocess.run(["umount", str(path)], check=True)
    path.rmdir()


def test_a_real_disk_that_is_full(tiny: Path) -> None:
    with Cluster(2, transport=calm(), path=tiny / "run", keep=1) as cluster:
        table = plain(cluster)
        table.push(np.arange(1000), np.ones((1000, 2)))
        cluster.checkpoint({"n": 1})
        table.push(np.arange(40_000), np.ones((40_000, 2)))
        with pytest.raises(OSError, match="No space left"):
            cluster.checkpoint({"n": 2})
        assert [p.name for p in (tiny / "run").iterdir() if "step" in p.name] == ["step-000000002"]
        table.evict(range(1000, 40_000))
        lose(cluster)
        cluster.checkpoint({"n": 3})
    with Cluster(transport=calm(), path=tiny / "run") as cluster:
        assert cluster.resumed == {"n": 3} and len(plain(cluster)) == 1000


# ---- stores


def test_a_full_store_leaves_no_step_half_sent() -> None:
    whole = so.embedding.Table(segments("small"))
    transport = calm()
    with Cluster(3, transport=transport, window=8) as cluster:
        table = plain(cluster)
        n_refused = 0
        for k in range(20):
            transport.rates["full"] = 0.3
            ids, grads = np.arange(30_000) + k, np.full((30_000, 2), k, np.float32)
            sent = [len(line.kept) for line in cluster.lines]
            try:
                table.push(ids, grads, req_time=k)
            except StoreFullError:
                n_refused += 1
                assert [len(line.kept) for line in cluster.lines] == sent
                transport.rates["full"] = 0
                table.push(ids, grads, req_time=k)
            whole.apply_gradients(ids, grads, req_time=k)
        ids = np.arange(30_040)
        assert table.lookup(ids).tobytes() == whole.lookup(ids).tobytes()
    assert n_refused > 5


def test_too_long_a_log_becomes_a_checkpoint_that_only_shards_begin_with(
    tmp_path: Path, model: Model
) -> None:
    with Cluster(2, transport=calm(), path=tmp_path, log_bytes=10_000) as cluster:
        table = sharded(cluster)
        for k in range(24):
            assert step(table, k) == model.told[k]
            assert sum(line.kept_bytes for line in cluster.lines) <= 10_000
            if k == 9:
                cluster.checkpoint({"step": 10})
                assert not os.listdir(tmp_path / "automatic")[1:]  # but the lock
        assert len(os.listdir(tmp_path / "automatic")) == 2
        lose(cluster)
        assert digest(table) == model.digests[24] and cluster.recoveries == 1
    with Cluster(transport=calm(), path=tmp_path, log_bytes=10_000) as cluster:
        assert cluster.resumed == {"step": 10}
        table = sharded(cluster)
        assert digest(table) == model.digests[10]
        for k in range(10, 24):
            step(table, k)
        assert digest(table) == model.digests[24]


def test_a_log_that_was_dropped_is_warned_about_and_missed(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with Cluster(2, transport=calm(), log_bytes=20_000) as cluster:
        table = sharded(cluster)
        with caplog.at_level(logging.WARNING, "symopt.distributed"):
            for k in range(24):
                step(table, k)
        assert caplog.text.count("more than log_bytes=20000 of pushes were kept, and without path=") == 1
        assert digest(table) == model.digests[24]
        lose(cluster)
        with pytest.raises(ClusterError, match="shard 0 is lost, and its pushes were not kept"):
            table.ids()
        with pytest.raises(ClusterError, match="can't go on: shard 0 is lost"):
            step(table, 24)
        with pytest.raises(TooLateError, match="give path="):
            cluster.restore()

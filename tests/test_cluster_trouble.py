"""What a cluster does when it can't do what it should: nothing by halves, an error that says so; then it goes on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_runs import Model, digest, plain, segments, sharded, step
from lossy import Lossy, calm, lose

from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.shard import Served, Shard
from symopt.errors import ClusterError, MismatchError, ProcessLostError, PushFailedError


@pytest.fixture
def model() -> Model:
    return Model().grow(24)


# ---- steps that fail


def test_a_step_that_one_shard_cannot_do_is_gone_back_from(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = Served._carry_out
    fails: list[bool] = []

    def without_memory(self: Served, content: Any) -> None:
        if self.sequence.done == 12 and not fails and len(self.table):
            fails.append(True)
            raise MemoryError("no room for rows")
        carry_out(self, content)

    monkeypatch.setattr(Served, "_carry_out", without_memory)
    with Cluster(3, transport=calm(late=0.5), path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(24):
            if k == 9:
                cluster.checkpoint({"step": 9})
            try:
                step(table, k)
            except PushFailedError as error:
                assert "could not carry out step 13 of table" in str(error)
                break
        with pytest.raises(ClusterError, match="can't go on"):
            table.lookup([1])
        cluster.restore()
        assert cluster.resumed == {"step": 9} and digest(table) == model.digests[9]
        for k in range(9, 24):
            assert step(table, k) == model.told[k]
        assert digest(table) == model.digests[24]


def test_restore_without_a_checkpoint_begins_again(tmp_path: Path, model: Model) -> None:
    with Cluster(2, transport=Lossy(1), path=tmp_path) as cluster:
        table = sharded(cluster)
        for _ in range(2):
            for k in range(10):
                assert step(table, k) == model.told[k]
            assert digest(table) == model.digests[10]
            cluster.restore()
            assert cluster.resumed is None and len(table) == 0


@pytest.mark.parametrize("fails", ["open", "start"])
def test_a_shard_that_cannot_be_opened_is_tried_again(
    fails: str, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is told; the cluster waits, and nothing is lost."""
    transport = calm()
    with Cluster(2, transport=transport, path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        lose(cluster)
        with monkeypatch.context() as patch:
            if fails == "open":
                patch.setattr(Shard, "open", _refuse)
            else:
                patch.setattr(transport, "start", _refuse)
            with pytest.raises(MismatchError, match="other versions"):
                table.ids()
        for k in range(8, 16):
            assert step(table, k) == model.told[k]
        assert digest(table) == model.digests[16]


def test_what_a_shard_needs_was_lost_with_a_machine(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process helps: it is said at once, and all go back."""
    transport = calm()
    with Cluster(2, transport=transport, path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(12):
            if k == 9:
                cluster.checkpoint({"step": 9})
            step(table, k)
        lose(cluster)
        wait, started = transport.wait, len(transport.hosts)

        def of_a_worker(reply: Any, timeout: float | None = None) -> Any:
            if reply.method != "push":
                return wait(reply, timeout)
            error = ProcessLostError("worker 1 is gone")
            error.process = "worker 1"
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(transport, "wait", of_a_worker)
            with pytest.raises(
                ClusterError, match=r"shard 0 can.t be replaced: a machine .* what worker 1 had"
            ):
                table.ids()
        assert len(transport.hosts) == started + 1
        cluster.restore()
        for k in range(9, 24):
            assert step(table, k) == model.told[k]
        assert digest(table) == model.digests[24]


def _refuse(*_: Any) -> Any:
    raise MismatchError("other versions")


def test_a_table_that_cannot_be_opened_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, model: Model
) -> None:
    with Cluster(2, transport=calm()) as cluster:
        table = sharded(cluster)
        with monkeypatch.context() as patch:
            patch.setattr(Shard, "open", _refuse)
            with pytest.raises(MismatchError, match="other versions"):
                ShardedTable(cluster, segments("small"), name="other")
        other = ShardedTable(cluster, segments("small"), name="other")
        for k in range(16):
            assert step(table, k) == model.told[k]
        lose(cluster)
        assert digest(table) == model.digests[16] and len(other) == 0


def test_a_shard_is_lost_while_a_second_table_is_opened(model: Model) -> None:
    with Cluster(2, transport=calm()) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        lose(cluster, 1)
        other = ShardedTable(cluster, segments("small"), name="other")
        other.push([1, 2, 3], np.ones((3, 2)))
        assert len(other) == 3 and digest(table) == model.digests[8]


# ---- drivers


def test_of_two_drivers_on_one_folder_one_goes_on(tmp_path: Path) -> None:
    one = Cluster(1, transport=calm(), path=tmp_path)
    table = plain(one)
    table.push([1], np.ones((1, 2)))
    one.checkpoint({"by": "one"})
    two = Cluster(transport=calm(), path=tmp_path)
    its = plain(two)
    its.push([2], np.ones((1, 2)))
    two.checkpoint({"by": "two"})
    for k in range(5):
        table.push([k], np.ones((1, 2)))
    with pytest.raises(ClusterError, match=r"another cluster has written .*step-000000004"):
        one.checkpoint({"by": "one"})
    with Cluster(transport=calm(), path=tmp_path) as found:
        assert found.resumed == {"by": "two"} and sorted(plain(found).ids()) == [1, 2]
    one.restore()  # it goes on from what the other has, and then the other does not
    assert one.resumed == {"by": "two"} and sorted(table.ids()) == [1, 2]
    one.checkpoint({"by": "one again"})
    its.push([5], np.ones((1, 2)))
    with pytest.raises(ClusterError, match="another cluster has written"):
        two.checkpoint()
    with Cluster(transport=calm(), path=tmp_path) as found:
        assert found.resumed == {"by": "one again"}


def test_of_two_drivers_one_goes_on_also_without_a_checkpoint_of_the_users(tmp_path: Path) -> None:
    one, two = (Cluster(1, transport=calm(), path=tmp_path, log_bytes=20_000) for _ in range(2))
    tables = [plain(one), plain(two)]
    with pytest.raises(ClusterError, match=r"another cluster has written .*automatic"):
        for _ in range(100):
            for table in tables:
                table.push([1], np.ones((1, 2)))


def test_a_damaged_checkpoint_does_not_stand_in_the_way(tmp_path: Path, model: Model) -> None:
    with Cluster(2, transport=calm(), path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(3):
            step(table, k)
            cluster.checkpoint({"step": k + 1})
    newest = sorted(tmp_path.glob("step-*"))[-1]
    for file in (newest / "cluster").iterdir():
        file.write_bytes(b"")
    for k in range(2, 4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cluster = Cluster(transport=calm(), path=tmp_path)
        assert cluster.resumed == {"step": k}
        table = sharded(cluster)
        step(table, k)
        assert digest(table) == model.digests[k + 1]
        cluster.checkpoint({"step": k + 1})
        cluster.close()


def test_close_twice(tmp_path: Path) -> None:
    cluster = Cluster(2, transport=calm(), path=tmp_path)
    table = plain(cluster)
    cluster.close()
    cluster.close()
    for use in (lambda: table.ids(), cluster.checkpoint, cluster.restore, cluster.reshard, cluster.settle):
        with pytest.raises(ClusterError, match="it is closed"):
            use()


def test_shards_that_cannot_all_be_started_leave_none(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = calm(lives_on=0)
    start, room = transport.start, [True, False]

    def with_room_for_one(*args: Any) -> Any:
        if not room.pop(0):
            raise ClusterError("no machine has room")
        return start(*args)

    with Cluster(2, transport=transport, path=tmp_path) as cluster:
        table = sharded(cluster)
        for k in range(8):
            step(table, k)
        cluster.checkpoint({"step": 8})
        with monkeypatch.context() as patch:
            patch.setattr(transport, "start", with_room_for_one)
            with pytest.raises(ClusterError, match="no machine has room"):
                cluster.reshard(3)
        assert not any(host.is_alive for host in transport.hosts)
        with pytest.raises(ClusterError, match=r"could not be resharded: .*no machine has room.*restore"):
            table.ids()
        cluster.restore()
        assert cluster.n_shards == 3 and digest(table) == model.digests[8]

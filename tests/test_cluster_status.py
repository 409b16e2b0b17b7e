"""What a cluster says of itself: status, progress, log lines, and numbers for dashboards."""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.distributed import Cluster, ClusterStatus, Pace, ShardedTable
from symopt.distributed import line as line_module
from symopt.distributed.inprocess import Answered, InProcess
from symopt.distributed.pace import Meter, Sample
from symopt.errors import ProcessLostError

DIM = 4


class Lossy(InProcess):
    """Processes that can be lost; answers are late by as many calls of `is_done` or `wait` as there are others."""

    may_lose = True

    def __init__(self) -> None:
        self.lost: list[Any] = []
        self.shown: list[list[Sample]] = []
        self.metrics: Callable[[Any], object] = self.shown.append

    def call(self, host: Any, method: str, *args: Any, **options: Any) -> Any:
        if host in self.lost:
            return Answered(None, ProcessLostError("gone"))
        return super().call(host, method, *copy.deepcopy(args), **options)


def segment() -> so.embedding.Segment:
    return so.embedding.Segment(DIM, "sgd", learning_rate=1.0)


def table_of(cluster: Cluster, name: str = "users") -> ShardedTable:
    return ShardedTable(cluster, segment(), name=name)


def push(table: ShardedTable, n: int = 100) -> None:
    table.push(np.arange(n), np.ones((n, DIM), np.float32))


def test_status_has_the_numbers_of_shards_and_tables() -> None:
    with Cluster(2) as cluster:
        users, items = table_of(cluster), table_of(cluster, "items")
        for _ in range(3):
            push(users)
        push(items, 10)
        cluster.settle()
        push(users)
        status = cluster.status()
        assert status.engine == "InProcess" and status.pace.steps == 5 and not status.trouble
        assert [shard.number for shard in status.shards] == [0, 1]
        assert sum(shard.tables[0].rows or 0 for shard in status.shards) == 100
        assert sum(shard.tables[1].rows or 0 for shard in status.shards) == 10
        for shard in status.shards:
            assert shard.is_answering and shard.epoch == 1 and shard.queue == 1 and shard.queue_bytes > 0
            assert [(t.name, t.pushed, t.done, t.lag) for t in shard.tables] == [
                ("users", 4, 4, 0),  # the process has done what is not yet answered
                ("items", 1, 1, 0),
            ]
            assert all(n == 0 for t in shard.tables for n in (t.held, t.dups, t.gaps, t.fenced))
        assert status.pace.lag == 1 and status.pace.spread == 0  # as the driver knows it
        assert sum(t.bytes or 0 for s in status.shards for t in s.tables) == (
            users.memory_bytes() + items.memory_bytes()
        )


def test_status_is_plain_data_and_prints_as_a_table() -> None:
    with Cluster(2) as cluster:
        assert "no checkpoint" in str(cluster.status())
        push(table_of(cluster, "us\x1b[31mers"))
        status = cluster.status()
    assert json.loads(json.dumps(status.as_dict()))["shards"][1]["tables"][0]["pushed"] == 1
    lines = str(status).splitlines()
    assert lines[0].startswith("2 shards on InProcess") and "1 step, " in lines[1]
    assert [line.split()[0] for line in lines if "us\\x1b[31mers" in line] == ["us\\x1b[31mers"] * 2
    assert repr(status) == str(status) and "\x1b" not in str(status)
    with pytest.raises(AttributeError):
        status.trouble = "none"  # type: ignore[misc]


def test_status_is_drawn_by_rich() -> None:
    console = pytest.importorskip("rich.console").Console(width=80, record=True, file=io.StringIO())
    with Cluster(1) as cluster:
        push(table_of(cluster))
        console.print(cluster.status())
    said = console.export_text()
    assert "on the way" in said and "users" in said and max(map(len, said.splitlines())) <= 80


def test_a_lost_shard_is_silent_and_stays_lost_until_it_is_needed() -> None:
    transport = Lossy()
    with Cluster(2, transport=transport) as cluster:
        table = table_of(cluster)
        push(table)
        cluster.settle()
        transport.lost.append(cluster.lines[1]._host)
        status = cluster.status()
        assert [shard.is_answering for shard in status.shards] == [True, False]
        assert status.shards[1].process is None and status.shards[1].tables[0].rows is None
        assert "silent" in str(status) and cluster.recoveries == 0
        push(table)
        cluster.settle()
        status = cluster.status()
        assert status.shards[1].epoch == 2 and len(status.shards[1].recoveries) == 1
        assert status.pace.recoveries == 1 and status.shards[1].kept == 2 and status.pace.kept_bytes > 0


def test_duplicates_are_counted_without_asking() -> None:
    with Cluster(1, transport=Lossy()) as cluster:
        table = table_of(cluster)
        push(table)
        line = cluster.lines[0]
        line._fly(line.kept[0])  # the same push again
        cluster.settle()
        assert cluster.status().pace.dups == 1 == cluster.status().shards[0].tables[0].dups
        line.recover(ProcessLostError("believed dead"))  # another process counts from 0
        assert cluster.status().pace.dups == 1 and cluster.status().shards[0].tables[0].dups == 0


@pytest.mark.parametrize("seconds, rate", [(1.0, 1.0), (0.01, 100.0), (4.0, 0.25), (20.0, 0.05)])
def test_steps_per_second_are_of_the_last_ten_seconds(seconds: float, rate: float) -> None:
    now = [0.0]
    meter = Meter(None, clock=lambda: now[0])
    for _ in range(1000):  # another speed before
        now[0] += 0.001
        meter.count(1000, True)
    for _ in range(round(40 / seconds)):
        now[0] += seconds
        meter.count(4, False)  # of two ranks
        meter.count(6, True)
    assert meter.rates() == pytest.approx((rate, 10 * rate), rel=0.02)
    assert len(meter._counts) < 110
    now[0] += 1000
    assert meter.rates()[0] < 0.01


def test_progress_of_each_step_is_told_to_a_function() -> None:
    told: list[Pace] = []
    with Cluster(2, progress=told.append) as cluster:
        table = table_of(cluster)
        for _ in range(3):
            push(table)
            table.lookup([1])  # no step
        assert [pace.steps for pace in told] == [1, 2] and told[0].lag == 1
    assert [pace.steps for pace in told] == [1, 2, 3]
    assert all(pace.queue_bytes > 0 for pace in told)


def test_progress_may_raise_and_no_step_is_half_done() -> None:
    def tell(pace: Pace) -> None:
        raise KeyboardInterrupt

    cluster, alone = Cluster(2, progress=tell), so.embedding.Table(segment())
    table = table_of(cluster)
    push(table)
    with pytest.raises(KeyboardInterrupt):
        push(table)
    push(table)  # told once of each step
    with pytest.raises(KeyboardInterrupt):
        cluster.close()
    for _ in range(2):
        alone.apply_gradients(np.arange(100), np.ones((100, DIM), np.float32))
    assert table.steps == alone.steps == 2 and cluster._is_closed


def test_progress_is_a_line_each_second(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    cluster = Cluster(1)
    cluster.meter = meter = Meter(True, clock=lambda: now[0])
    for _ in range(23):
        now[0] += 0.125
        meter.count(10, True)
        meter.tell(cluster)
    said = capsys.readouterr()
    assert said.out == "" and [line.split(",")[0] for line in said.err.splitlines()] == [
        "cluster: 8 steps",
        "cluster: 16 steps",
    ]


def test_dashboards_are_told_once_a_second_and_at_the_end() -> None:
    transport = Lossy()
    with Cluster(2, transport=transport) as cluster:
        table = table_of(cluster)
        now = [0.0]
        cluster.meter = Meter(None, transport.metrics, lambda: now[0])
        for _ in range(15):
            now[0] += 0.1
            push(table)
        assert len(transport.shown) == 1
    assert len(transport.shown) == 2
    found = {(s.name, *s.tags.values()): s.value for s in transport.shown[-1]}
    assert found["symopt_done_step", "0", "users"] + found["symopt_lag_steps", "0", "users"] == 15
    assert found["symopt_kept_bytes", "1"] > 0 == found["symopt_recoveries", "1"]


def test_log_lines_name_shard_epoch_table_and_step(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "symopt.distributed")
    transport = Lossy()
    with Cluster(2, transport=transport, path=tmp_path) as cluster:
        table = table_of(cluster)
        push(table)
        cluster.checkpoint()
        monkeypatch.setattr(so.embedding.Table, "save", _full)
        push(table)
        with pytest.raises(OSError, match="No space"):
            cluster.checkpoint()
        monkeypatch.undo()
        transport.lost.append(cluster.lines[1]._host)
        monkeypatch.setattr(line_module, "LONG", 0.0)
        for _ in range(cluster.window + 1):
            push(table)
        cluster.reshard(3)
        assert cluster.recoveries == 1 and cluster.status().pace.recoveries == 1
    said = "\n".join(caplog.messages)
    for text in (
        "shard 1, epoch 1: started",
        "shard 1, epoch 1: has users, step 0",
        "checkpoint begins: users: step 1",
        "checkpoint written in ",
        "checkpoint failed (OSError: [Errno 28] No space left on device), the one before counts: users: step 2",
        "shard 1, epoch 1: lost (gone); starting it again; users: step 2 of ",
        "shard 1, epoch 2: has users, step 1",
        "shard 1, epoch 2: recovered in ",
        "shard 0, epoch 1: waited 0.0 s for room, with at most 4 pushes",
        "reshards from 2 to 3 shards: users: step 7",
        "shard 2, epoch 3: has users, step 7",
        "closes: users: step 7",
    ):
        assert text in said, text
    levels = {r.levelname for r in caplog.records if "begins" in r.message or "started" in r.message}
    assert levels == {"INFO"}


def _full(*args: Any, **options: Any) -> None:
    raise OSError(28, "No space left on device")


def test_pushes_that_are_no_longer_kept_are_told_with_their_step(caplog: pytest.LogCaptureFixture) -> None:
    with Cluster(1, transport=Lossy(), log_bytes=7500) as cluster:
        table = table_of(cluster)
        for _ in range(3):
            push(table)
        assert cluster.lines[0].kept_bytes == 0
    assert "can't be replaced; users: step 2" in caplog.text


def test_an_object_of_status_is_made_of_what_it_says() -> None:
    with Cluster(1) as cluster:
        assert isinstance(cluster.status(), ClusterStatus)
        cluster.trouble = "a\nfault"
        assert "can't go on: a\\nfault" in str(cluster.status())
        cluster.trouble = ""

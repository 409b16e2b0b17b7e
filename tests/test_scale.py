"""Plans: figures that are those of real tables and real messages, as few hosts as will do, what is refused."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_partition import spread

import symopt as so
from symopt.distributed.inprocess import InProcess
from symopt.distributed.partition import N_BUCKETS, Partition
from symopt.distributed.stream import KEPT
from symopt.dtypes import to_numpy
from symopt.embedding import Segment, Table
from symopt.errors import AttributeValueError, DTypeError
from symopt.idmap.inserted import MOST_SLOTS
from symopt.scale import Hosts, Job, plan
from symopt.scale.steptime import load_of, step_time

GROUPED = Segment(64, "group_adagrad", learning_rate=0.1)
ADAM = Segment(64, "adam", learning_rate=0.1)
BIAS = Segment(1, "ftrl", learning_rate=0.1)
ROWS = 10**12
TABLES: dict[str, Any] = {
    "group_adagrad": GROUPED,
    "adam": ADAM,
    "narrow": Segment(3, "sgd", learning_rate=0.1),
    "float64": Segment(5, "adagrad", learning_rate=0.1, dtype="float64"),
    "blocks": Segment(8, "group_adagrad", learning_rate=0.1, n_blocks=4),
    "decayed": Segment(4, "adagrad", learning_rate=0.1, weight_decay=0.1, decay="decoupled_global"),
    "three": [BIAS, Segment(15, "adagrad", learning_rate=0.1), Segment(16, "group_adagrad", learning_rate=0.1)],
}  # fmt: skip
N = 5000


# ---- bytes are those of tables and messages


@pytest.mark.parametrize("name", TABLES)
def test_a_row_takes_what_it_takes_in_a_table(name: str, tmp_path: Path) -> None:
    table = Table(TABLES[name], reserve=N)
    ids = np.random.default_rng(0).integers(0, ROWS, N)
    table.apply_gradients(ids, np.ones((N, table.dim), table.dtype))
    row = Job(ROWS, TABLES[name]).row()
    assert (row.record, row.weights) == (table.row_bytes, table.dim * table.dtype.itemsize)
    held = table._rows.store.memory_bytes() + table._rows.map.memory_bytes()
    assert held / N == pytest.approx(row.memory, rel=0.01)
    table.save(tmp_path / "saved")
    files = sum(file.stat().st_size for file in (tmp_path / "saved").rglob("*") if file.is_file())
    assert files / N == pytest.approx(row.saved, rel=0.05)


def test_a_table_that_grows_takes_no_more_than_is_planned() -> None:
    row = Job(ROWS, GROUPED, reserved=False).row()
    table, before = Table(GROUPED), 0
    for some in np.array_split(np.arange(40_000), 200):
        table.apply_gradients(some, np.ones((len(some), 64), np.float32))
        held = table._rows.store.memory_bytes()
        if held > before:  # both are there while rows are copied; pages that no row is in yet take nothing
            copied = 2 * before + table._rows.map.memory_bytes()
            assert copied <= row.memory * len(table)
            before = held


@pytest.mark.parametrize("wire", ["float32", "bfloat16"])
def test_messages_have_the_bytes_that_are_planned(wire: str) -> None:
    unique, workers, shards = 3000, 4, 8
    job = Job(10**10, GROUPED, workers=workers, unique=unique, wire=wire)
    found, partition = plan(job, shards=shards), Partition(shards)
    rng, got = np.random.default_rng(0), np.zeros(shards)
    for _ in range(workers):
        split = partition.split(np.unique(rng.integers(0, ROWS, 2 * unique))[:unique])
        grads = split.scatter(np.zeros((unique, 64), to_numpy(wire)))
        parts = [(split.ids[split.shard(k)], grads[split.shard(k)]) for k in range(shards)]
        sent = [2 * ids.nbytes + rows.nbytes for ids, rows in parts]  # ids for the lookup and for the update
        assert sum(sent) == found.wire.worker_sends
        assert found.wire.worker_gets == unique * 64 * 4
        got += sent
    assert got.mean() < found.wire.shard_gets == pytest.approx(got.max(), rel=0.05)


class Counting(InProcess):
    """Counts calls by the method, and keeps what is pushed as an engine does that may lose processes."""

    may_lose = True

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def call(self, host: Any, method: str, *args: Any, **more: Any) -> Any:
        self.calls[method] += 1
        return super().call(host, method, *args, **more)


@pytest.mark.parametrize("wire", [None, "bfloat16"])
@pytest.mark.parametrize("shards", [1, 5])
def test_a_cluster_sends_and_keeps_what_is_planned(shards: int, wire: Any) -> None:
    unique, steps = 2000, 3
    job = Job(10**9, GROUPED, unique=unique, wire=wire, checkpoint_every=steps)
    found, transport = plan(job, shards=shards), Counting()
    with so.distributed.Cluster(shards, transport=transport) as cluster:
        table = so.distributed.ShardedTable(cluster, GROUPED, wire=wire)
        transport.calls.clear()
        for step in range(steps):
            ids = np.arange(unique) * 12345 + step
            table.lookup(ids)
            table.apply_gradients(ids, np.ones((unique, 64), np.float32))
        around = KEPT * steps * shards  # objects, whose bytes are no gradients
        assert sum(line.kept_bytes for line in cluster.lines) == found.kept + around
        assert transport.calls["push"] + transport.calls["pull"] == steps * found.step.calls


def test_known_sizes_of_ten_to_the_twelve_rows() -> None:
    """Adam's 784 bytes a row: 64 weights, two states of each, 16 of header. Each id's place in the map comes on top."""
    found = plan(Job(ROWS, ADAM))
    assert found.row.payload * ROWS == 784e12 and found.row.record == 784
    assert math.ceil(784e12 / found.room) == 1268 and found.hosts == 1311  # with the map, in whole buckets
    grouped = plan(Job(ROWS, GROUPED))
    assert (grouped.row.payload, grouped.row.record, grouped.hosts) == (276, 288, 501)
    assert found.total == pytest.approx(803.4e12, rel=1e-3)


# ---- as few hosts as will do


@settings(deadline=None)
@given(rows=st.integers(10**6, 10**13), memory=st.floats(1e9, 1e13), each=st.integers(1, 16))
def test_rows_fit_and_one_host_less_would_not_do(rows: int, memory: float, each: int) -> None:
    job, machine = Job(rows, GROUPED), Hosts(memory=memory, shards=each)
    try:
        found = plan(job, machine)
    except AttributeValueError as error:
        assert "65,536 parts" in str(error)
        return
    assert found.fits and found.memory <= machine.room and found.rows_per_shard <= MOST_SLOTS
    assert found.shards % found.hosts == 0 and found.shards >= found.hosts * each
    if found.hosts > 1:
        assert not plan(job, machine, hosts=found.hosts - 1).fits


@settings(deadline=None)  # the first example imports
@given(hosts=st.integers(1, 3000), each=st.integers(1, 20))
def test_shares_are_those_of_the_partition(hosts: int, each: int) -> None:
    load = load_of(Job(ROWS, GROUPED), hosts, hosts * each, each)
    sizes = spread(np.ones(N_BUCKETS), Partition(hosts * each)) / N_BUCKETS
    assert sizes.max() == load.shard_share
    assert sizes.reshape(hosts, each).sum(axis=1).max() == load.host_share


@pytest.mark.parametrize("sender", ["worker", "driver"])
@pytest.mark.parametrize("wanted", [0.05, 0.025, 0.02, 0.0095])
def test_the_least_number_of_hosts_for_a_step_time(wanted: float, sender: str) -> None:
    job = Job(10**9, ADAM, workers=16, unique=500_000, sender=sender)
    machine = Hosts(call=1e-6, cores=2, jitter=0, row_pack=1e-9)

    def seconds(n: int) -> float:
        return step_time(job, machine, load_of(job, n, n, 1)).seconds

    enough = [n for n in range(2, 1200) if seconds(n) <= wanted]
    if not enough:
        with pytest.raises(AttributeValueError, match=r"no number of hosts .* come nearest"):
            plan(job, machine, step_time=wanted)
        return
    found = plan(job, machine, step_time=wanted)
    assert found.step.seconds <= wanted and found.hosts == enough[0]
    assert found.because == ("memory" if enough[0] == 2 else "step time")


def test_shards_hold_no_more_rows_than_a_table_numbers() -> None:
    job = Job(ROWS, Segment(1, "sgd", learning_rate=0.1))
    found = plan(job)
    assert found.shards == 3 * found.hosts and found.rows_per_shard < MOST_SLOTS
    with pytest.raises(AttributeValueError, match=r"a table numbers 2\*\*32"):
        plan(job, shards=100)


# ---- shown, refused


def test_plain_data_and_a_table() -> None:
    found = plan(Job(ROWS, [BIAS, ADAM], workers=2, batch=60_000, wire="float16"))
    data = json.loads(json.dumps(found.as_dict()))
    assert data["hosts"] == found.hosts and data["recovery"]["seconds"] == found.recovery.seconds
    assert data["step"]["bound"] == found.step.bound and data["row"]["memory"] == found.row.memory
    text = str(found)
    assert f"{found.hosts:,}" in text and "3 times as much if repeats were sent" in text
    assert "TOO LITTLE" in str(plan(Job(ROWS, ADAM), hosts=5)) and "TOO LITTLE" not in text


@pytest.mark.parametrize(
    "name", ["memory", "network", "disk", "row_read", "row_update", "used", "cores", "shards"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "8", True, None])
def test_hosts_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(AttributeValueError, match=f"hosts: {name}"):
        Hosts(**{name: value})


@pytest.mark.parametrize("wrong", [
    {"rows": 0}, {"rows": 1.5}, {"workers": 0}, {"unique": 0}, {"unique": 2 * ROWS}, {"batch": 10}, {"wire": "int8"},
    {"sender": "me"}, {"wire": "float64"}, {"staleness": -1}, {"compute": -1.0}, {"window": 0}, {"checkpoint_every": 0},
    {"together": True, "sender": "worker"},
])  # fmt: skip
def test_jobs_that_are_none(wrong: dict[str, Any]) -> None:
    job: dict[str, Any] = {"rows": ROWS, "segments": GROUPED}
    with pytest.raises(AttributeValueError, match="a job: "):
        Job(**(job | wrong))


def test_other_contradictions() -> None:
    job = Job(ROWS, GROUPED)
    with pytest.raises(DTypeError, match="one dtype"):
        Job(ROWS, [GROUPED, TABLES["float64"]])
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"hosts": 3, "shards": 3}, "one of"), ({"hosts": 0}, "hosts"), ({"shards": N_BUCKETS + 1}, "shards"),
        ({"step_time": 0}, "step_time"), ({"machine": Hosts(memory=1e9)}, "has room"),
        ({"machine": Hosts(memory=8e9, shards=2)}, "larger hosts"),
        ({"machine": Hosts(shards=1000), "hosts": 70}, "fewer shards"),
    )  # fmt: skip
    for wrong, message in cases:
        with pytest.raises(AttributeValueError, match=message):
            plan(job, **wrong)

"""Plans' seconds: what bounds a step, what calls, checkpoints and recoveries take."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.embedding import Segment
from symopt.scale import Hosts, Job, measure_rows, plan
from symopt.scale.steptime import peak, phase

GROUPED = Segment(64, "group_adagrad", learning_rate=0.1)
BIAS = Segment(1, "ftrl", learning_rate=0.1)
N_BUCKETS = 1 << 16


def test_what_bounds_a_step() -> None:
    job = Job(10**9, GROUPED, workers=8, sender="worker")
    cases: dict[str, tuple[Job, Hosts]] = {
        "calls": (job, Hosts(call=1.0)),
        "calls at shards": (replace(job, workers=64), Hosts(call=1.0)),
        "network of workers": (job, Hosts(network=1e6)),
        "network of hosts": (replace(job, workers=64), Hosts(network=1e6)),
        "cores of shards": (job, Hosts(row_update=1.0)),
        "cores of workers": (job, Hosts(row_pack=1.0)),
        "compute": (replace(job, compute=9.0), Hosts()),
        "round trips": (job, Hosts(round_trip=9.0)),
    }
    for wanted, (each, machine) in cases.items():
        step = plan(each, machine, hosts=32).step
        assert step.bound.partition(",")[0] == wanted
        both = phase(step.lookup) + phase(step.update)
        assert step.seconds == pytest.approx(both + step.compute + step.round_trips)
        late = plan(replace(each, staleness=1), machine, hosts=32).step
        assert late.seconds < step.seconds
        if wanted != "round trips":  # which nobody waits for then
            assert late.bound == wanted


@pytest.mark.parametrize(("more", "calls"), [
    ({"sender": "worker"}, 2 * 32), ({}, 2 * 32 * 8), ({"by_host": True}, 2 * 8 * 8), ({"together": True}, 2 * 32),
    ({"together": True, "by_host": True}, 2 * 8),
])  # fmt: skip
def test_calls_of_the_busiest_sender(more: dict[str, Any], calls: int) -> None:
    found = plan(Job(10**9, GROUPED, workers=8, **more), Hosts(shards=4), hosts=8)
    assert (found.shards, found.step.calls) == (32, calls)
    assert found.step.lookup["calls"] == calls / 2 * Hosts().call


def test_more_cores_help_as_far_as_work_is_shared() -> None:
    assert Hosts(cores=1).gain(1) == 1 and Hosts(cores=2).gain(4) == 0.5
    assert Hosts(cores=16, alone=0).gain(1) == 16 and Hosts(cores=10**6, alone=0.1).gain(1) == pytest.approx(
        10, 1e-3
    )


def test_checkpoints_recovery_and_what_is_kept() -> None:
    machine = Hosts(disk=1e9, start=2.0, call=0.0)
    job = Job(N_BUCKETS * 1000, GROUPED, workers=4, unique=1000, checkpoint_every=100, window=3)
    found = plan(job, machine, hosts=16)
    assert found.checkpoint.full_bytes == job.rows * found.row.saved == job.rows * 284
    assert found.checkpoint.full_seconds == pytest.approx(job.rows * 284 / 16 / 1e9)
    assert found.checkpoint.delta_bytes == 4 * 1000 * 100 * 284
    assert found.kept == 4 * 1000 * 100 * (8 + 256) and found.in_flight == found.kept * 3 / 100
    assert found.recovery.start == 2.0
    assert found.recovery.load == pytest.approx(found.checkpoint.full_seconds)
    assert found.recovery.replay == pytest.approx(4 * 1000 * 100 / 16 * 0.3e-6 / machine.gain(1))
    assert found.recovery.seconds == pytest.approx(found.recovery.host)
    seldom = plan(replace(job, checkpoint_every=10**6), machine, hosts=16)
    assert seldom.checkpoint.delta_bytes == seldom.checkpoint.full_bytes  # no more rows than there are


@pytest.mark.parametrize("mean", [5, 100, 5000])
@pytest.mark.parametrize("n", [2, 64, 1024])
def test_the_busiest_shard_by_chance(mean: int, n: int) -> None:
    drawn = np.random.default_rng(0).multinomial(mean * n, np.full(n, 1 / n), size=300).max(axis=1)
    assert drawn.mean() <= peak(mean, n) <= 1.35 * drawn.mean()
    assert (drawn <= peak(mean, n)).mean() > 0.7


def test_rows_are_timed_here() -> None:
    so.set_num_threads(2)
    try:
        found = measure_rows([BIAS, GROUPED], rows=2000, batch=300, rounds=3)
        assert so.num_threads() == 2
    finally:
        so.set_num_threads(None)
    assert all(0 < seconds < 1e-2 for seconds in found)

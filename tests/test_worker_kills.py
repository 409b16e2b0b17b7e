"""kill -9 of workers, owners of dense parameters and shards on Ray, at any moment, and processes that hang: the bits of
one process."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rays
from fault_counts import Faults
from picking_off import PickingOff
from test_workers import sharded
from test_workers_dense import dense, first, in_one_process, same
from worker_steps import assert_same

import symopt as so

pytest.importorskip("ray", reason="Ray has no wheel for this Python")

D = so.distributed
STEPS = 14
MOST = {"worker": 8, "owner": 4, "shard": 3}  # in one training
SIZES = {"small": (24, 12), "shared": (3000, 4000)}  # ids and rows of weights; whether they go through memory
OPTIONS: list[dict[str, Any]] = [
    {},
    {"admission": 2},
    {"duplicates": "sequential"},
    {"missing": "initialize"},
    {"admission": 2, "duplicates": "sequential", "track": 100},
]


@pytest.fixture(scope="module", autouse=True)
def ray_runs() -> None:
    """Clusters of this module use Ray as it runs, and leave it running."""
    rays.instance()


@functools.cache
def alone(ranks: int, options: int, size: str) -> tuple[Any, Any, Any]:
    return in_one_process(STEPS, ranks, *SIZES[size], **OPTIONS[options])


def trained(
    transport: PickingOff, path: Path, ranks: int, processes: int, options: int, size: str, **more: Any
) -> None:
    """A training, whatever is lost: reports, tables and weights are those of one process."""
    tables, net, reports = alone(ranks, options, size)
    with D.Cluster(2, transport=transport, path=path, timeout=more.get("timeout")) as cluster:
        ours, params = sharded(cluster, **OPTIONS[options]), first(SIZES[size][1])
        with dense(cluster, params, ranks, **more) as optimizer:
            workers = D.Workers(
                cluster, "test_workers_dense:both", [*ours.values()], optimizers=[optimizer], ranks=ranks,
                processes=processes, given={"n": SIZES[size][0]}, **more,
            )  # fmt: skip
            transport.new_step()
            transport.aims = True
            found = []
            for done in workers.steps(STEPS):
                found.append(done.reports)
                transport.new_step()
                if done.step % 5 == 0:
                    cluster.checkpoint()
            transport.end()
            assert found == reports
            print(f"lost {dict(transport.lost)}; {workers.lost} workers, {workers.redone} turns again,")
            print(f"{cluster.recoveries} shards, {optimizer.recoveries} owners; {dict(transport.moments)}")
            assert_same(ours, tables)
        same(params, net)


def lose(
    wanted: dict[str, int], path: Path, faults: Faults, timeout: float | None = None, **how: Any
) -> None:
    """Trainings until so many processes of each kind were lost."""
    left, chosen, n_runs = Counter(wanted), faults.random, 8 + sum(wanted.values())
    for run in range(n_runs):
        most = {kind: min(n, MOST[kind]) for kind, n in left.items()}
        seed, share = chosen.random(), chosen.random() < 0.75
        far = chosen.choice([0.0, 0.5]) if share else 0.0
        transport = PickingOff(seed, most, spares=int(faults.are_all), share=share, far=far, **how)
        ranks, processes, options = chosen.randint(2, 3), chosen.randint(2, 3), chosen.randrange(len(OPTIONS))
        size = chosen.choice([*SIZES])
        if not faults.are_all:
            ranks = processes = 2  # to start a process takes a second
        print(f"{ranks} ranks, {processes} processes, {OPTIONS[options]}, {size}, {share=}, {far=}")
        trained(transport, path / str(run), ranks, processes, options, size, timeout=timeout)
        left -= transport.lost
        if not left:
            return
    pytest.fail(f"in {n_runs} trainings {left} were not lost")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_processes_here_and_elsewhere_have_the_bits_of_one(seed: int, tmp_path: Path) -> None:
    """Some share the driver's memory, some don't, and what one has answered another reads."""
    trained(PickingOff(seed, {}, rate=0.0, far=0.5), tmp_path, 3, 3, 0, "shared")


@pytest.mark.slow
def test_processes_that_are_killed_change_no_bit(tmp_path: Path, faults: Faults) -> None:
    wanted = (
        {"worker": 40, "owner": 20, "shard": 12} if faults.are_all else {"worker": 2, "owner": 1, "shard": 1}
    )
    lose(wanted, tmp_path, faults, rate=0.03 if faults.are_all else 0.1)


@pytest.mark.slow
def test_processes_that_hang_change_no_bit(all_faults: None, tmp_path: Path, faults: Faults) -> None:
    """Some wake up when others have taken their place. One that hangs is in test_workers_ray.py."""
    lose({"worker": 8, "owner": 4, "shard": 4}, tmp_path, faults, timeout=3.0, rate=0.03, hangs=10.0)

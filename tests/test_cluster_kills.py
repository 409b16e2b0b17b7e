"""kill -9 of shards and drivers on Ray, at any moment: the bits of one table in one process."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import rays
from cluster_runs import Model, digest, sharded, step
from fault_counts import Faults
from killing import MOMENTS, Killing

import symopt as so
from symopt.distributed import Cluster

pytest.importorskip("ray", reason="Ray has no wheel for this Python")
HERE = os.path.dirname(__file__)
STEPS = 24


@functools.cache
def model() -> Model:
    return Model("small").grow(STEPS)


@pytest.fixture(scope="module")
def temp_dir() -> Iterator[str]:
    """Short, for sockets are in it."""
    path = tempfile.mkdtemp(prefix="sk", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def ray() -> None:
    """Ray runs, and transports use it."""
    rays.instance()


class Killer:
    """Kills a shard's process some moments from now."""

    def __init__(self, faults: Faults) -> None:
        self.random, self.kills = faults.random, 0
        self.timers: list[threading.Timer] = []

    def aim(self, cluster: Cluster) -> None:
        number = self.random.choice(cluster.lines).process_id
        if number is not None:
            self.timers.append(threading.Timer(self.random.random() * 0.03, self._kill, [number]))
            self.timers[-1].start()

    def _kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
            self.kills += 1

    def end(self) -> None:
        for timer in self.timers:
            timer.join()


@pytest.mark.parametrize(("n_shards", "kills", "some"), [(2, 40, 4), (4, 60, 2)])
def test_killed_shards_are_replaced_bit_for_bit(
    n_shards: int, kills: int, some: int, ray: None, tmp_path: Path, faults: Faults
) -> None:
    """`kills`: at least so many, or without --all-faults `some`: to start a process takes a second."""
    survived, kills = 0, kills if faults.are_all else some
    for run in range(10 + kills):
        transport = Killing(faults.random.random(), spares=1)
        killer = Killer(faults)
        with Cluster(n_shards, transport=transport, path=tmp_path / str(run), timeout=None) as cluster:
            table = sharded(cluster)
            for k in range(STEPS):
                if faults.random.random() < 0.12:
                    killer.aim(cluster)
                told = step(table, k)
                assert told == model().told[k], f"step {k} answered {told}"
                if k % 9 == 8:
                    cluster.checkpoint()
            killer.end()
            assert digest(table) == model().digests[STEPS], "other bits"
            survived += cluster.recoveries
            print(f"{cluster.recoveries} recoveries, {killer.kills} at random")
            print(dict(transport.deaths), dict(transport.sent))
        if survived >= kills:
            return
    pytest.fail(f"only {survived} kills")


def test_a_shard_dies_at_a_moment_and_so_do_the_next(ray: None, tmp_path: Path, faults: Faults) -> None:
    """At that moment for certain, and then twice while it is recovered."""
    moments = MOMENTS if faults.are_all else [faults.random.choice(MOMENTS)]
    for n, (method, when) in enumerate(moments):
        print(method, when)
        dies_and_so_do_the_next(method, when, tmp_path / str(n))


def dies_and_so_do_the_next(method: str, when: str, path: Path) -> None:
    transport = Killing(0, share=0, spares=1)
    dies = [None, (method, 2 if method == "push" else 1, when), ("push", 1, "after"), ("open", 1, "before")]
    start = transport.inner.start
    transport.inner.start = lambda service, name, config: start(  # type: ignore[method-assign]
        service, name, {**config, "dies": dies.pop(0) if dies else None}
    )
    with Cluster(2, transport=transport, path=path, timeout=None) as cluster:
        table = sharded(cluster)
        for k in range(12):
            assert step(table, k) == model().told[k]
            if k == 8:
                cluster.checkpoint()
        assert digest(table) == model().digests[12]
        assert cluster.recoveries >= 1 and not dies


def test_a_killed_driver_goes_on_from_its_checkpoint(temp_dir: str, tmp_path: Path, faults: Faults) -> None:
    script = [sys.executable, os.path.join(HERE, "killed_driver.py"), str(tmp_path / "run"), temp_dir]
    path = [os.path.dirname(os.path.dirname(so.__file__)), HERE]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    for n in range(faults.count(20) + 1):
        kills = n < faults.count(20)
        child = subprocess.Popen(
            [*script, str(faults.random.choice([2, 4])), str(STEPS)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert child.stdout is not None and child.stderr is not None
        lines = faults.random.randrange(1, 12) if kills else -1
        said = ""
        for line in child.stdout:
            said, lines = line.strip(), lines - 1
            if lines == 0:
                threading.Timer(faults.random.random() * 0.05, child.kill).start()
        errors = child.stderr.read()
        if child.wait() == 0:
            assert said == model().digests[STEPS], "other bits"
            if not kills:
                return
            shutil.rmtree(tmp_path / "run")
        else:
            assert kills and child.returncode == -signal.SIGKILL, errors

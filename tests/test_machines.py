"""Several machines, of which one is lost or cut off: the bits of one process. They are namespaces of this one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import Machine, Machines, why_not

pytest.importorskip("ray", reason="Ray has no wheel for this Python")
pytestmark = pytest.mark.slow

DRIVER = str(Path(__file__).with_name("machines_driver.py"))
N, STEPS, LIMIT = 3, 20, 240.0  # machines, steps of a training, seconds that it may take
CPUS = 6  # of each: all processes have room on two


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Skipped where there can't be any."""
    if why_not():
        pytest.skip(why_not())
    with Machines(N, CPUS) as every:
        yield every


class Driver:
    """A driver that trains on `machine`."""

    def __init__(self, machines: Machines, machine: Machine) -> None:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        command = [sys.executable, DRIVER, machines.address, str(machines.shared / "run"), str(STEPS)]
        self._process = machine.start(*command, **pipes)
        self._lines: list[str] = []
        limit = threading.Timer(LIMIT, self._process.kill)
        limit.daemon = True
        limit.start()

    def said(self, what: str) -> list[str]:
        """Wait for a line that begins with `what`; the words behind it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if line.startswith(what):
                return line[len(what) :].split()
        pytest.fail(f"no {what!r} within {LIMIT:g} s:\n" + "".join(self._lines))

    def go_on(self, steps: int) -> None:
        """Let it do so many steps, and wait until they are done."""
        self._allow(steps)
        self.said(f"step {steps}\n")

    def finish(self) -> tuple[int, int, int]:
        """Let it do the others. Shards that were recovered, workers that were lost, and owners."""
        self._allow(STEPS)
        assert self.said("equal") == ["True"], "".join(self._lines)
        recoveries, _, lost, _, owners = self.said("recoveries")
        self.machines = self.said("machines")
        assert self._process.wait(60) == 0
        return int(recoveries), int(lost), int(owners)

    @property
    def back(self) -> str:
        """Why it went back to the newest checkpoint, if it did."""
        return "".join(line for line in self._lines if line.startswith("goes back:"))

    @property
    def went_back(self) -> bool:
        """To the newest checkpoint."""
        return bool(self.back)

    def _allow(self, steps: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()


def test_a_machine_is_lost(machines: Machines) -> None:
    """With its memory, shards, owners and workers: those are replaced. All go back only if their successors are lost
    too, again and again, while Ray does not know that the machine is gone."""
    first, _, last = machines.every
    driver = Driver(machines, first)
    assert {"m1", "m2", "m3"} == {*driver.said("machines")}
    driver.go_on(8)
    last.lose()
    recoveries, lost, owners = driver.finish()
    assert recoveries >= 1 or driver.went_back, (recoveries, lost, owners, driver.back)
    assert "a machine that is lost had" not in driver.back
    assert {"m1", "m2"} == {*driver.machines}


def test_a_machine_is_cut_off_and_comes_back(all_faults: None, machines: Machines) -> None:
    """Its shards were replaced meanwhile; whatever they still do counts for nothing."""
    first, _, last = machines.every
    driver = Driver(machines, first)
    driver.go_on(8)
    last.cut()
    threading.Timer(25, last.join).start()
    assert sum(driver.finish()) >= 1 or driver.went_back


def test_the_machine_of_a_driver_is_lost(all_faults: None, machines: Machines) -> None:
    """Another goes on from the newest checkpoint."""
    _, second, last = machines.every
    driver = Driver(machines, second)
    assert driver.said("begin") == ["0"]
    driver.go_on(8)
    second.lose()
    again = Driver(machines, last)
    assert again.said("begin") == ["5"]
    again.finish()
    assert "m2" not in again.machines

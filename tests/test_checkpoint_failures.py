"""Saves that fail: a disk that is full or broken, a key pressed, a process killed. Nothing is lost, nothing is left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_states import QuickDisk
from fault_counts import Faults
from saving_child import SIZE, generation, load, save, which

import symopt as so
from symopt.checkpoint.writer import store

CHILD = Path(__file__).with_name("saving_child.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHILD.parents[1])}


class Broken(QuickDisk):
    """Raises at its operation number `at`, and can do nothing but clean up from then on."""

    def __init__(self, at: int, error: BaseException, can_exchange: bool) -> None:
        self.at, self.error, self.can_exchange = at, error, can_exchange
        self.count = 0

    def _next(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise self.error

    def make_folder(self, path: str) -> None:
        self._next()
        super().make_folder(path)

    def create(self, path: str) -> int:
        self._next()
        return super().create(path)

    def write(self, file: int, data: memoryview) -> None:
        super().write(file, data[: len(data) // 2])
        self._next()
        super().write(file, data[len(data) // 2 :])

    def sync(self, file: int) -> None:
        self._next()

    def sync_folder(self, path: str) -> None:
        self._next()

    def rename(self, old: str, new: str) -> None:
        self._next()
        super().rename(old, new)

    def exchange(self, one: str, other: str) -> bool:
        self._next()
        return self.can_exchange and super().exchange(one, other)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "disk-full": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "disk-broken": lambda: OSError(errno.EIO, "Input/output error"),
    "interrupted": KeyboardInterrupt,
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two-renames"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "overwritten"])
def test_an_error_at_every_operation(name: str, can_exchange: bool, before: int, tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for at in range(1, 100):
        root = tmp_path / str(at)
        root.mkdir()
        if before:
            store(root / "saved", {"k": 1, "w": np.ones(9)}, disk=QuickDisk())
        disk = Broken(at, ERRORS[name](), can_exchange)
        try:
            store(root / "saved", {"k": 2, "w": np.ones(9)}, overwrite=bool(before), disk=disk)
            break
        except (OSError, KeyboardInterrupt) as error:
            assert error is disk.error or isinstance(error, OSError)
        try:
            found = so.load(root / "saved")["k"]
        except FileNotFoundError:
            found = 0
        assert found in (before, 2)  # 2: only that it is durable is not known
        store(root / "saved", {"k": 3, "w": np.ones(9)}, overwrite=True, disk=QuickDisk())
        assert so.load(root / "saved")["k"] == 3 and os.listdir(root) == ["saved"]
    assert 9 < at < 30
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_before_the_name_leaves_nothing(name: str, tmp_path: Path) -> None:
    for at in range(1, 9):
        with pytest.raises((OSError, KeyboardInterrupt)):
            store(tmp_path / "saved", {"w": np.ones(9)}, disk=Broken(at, ERRORS[name](), True))
        assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such/saved'"):
        so.save(tmp_path / "no such" / "saved", {})


def test_a_full_disk_by_a_limit(tmp_path: Path, faults: Faults) -> None:
    save(str(tmp_path), "overwrite", 1)
    limits = [faults.random.randrange(1, int(9.2 * SIZE)) for _ in range(faults.count(60))]
    command = [sys.executable, str(CHILD), "limited", str(tmp_path), *map(str, [*limits, 10 * SIZE])]
    lines = subprocess.run(
        command, env=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert len(lines) == len(limits) + 1 and "refused 1 0" in lines and lines[-1] == "saved 2 0"
    assert set(lines) <= {"refused 1 0", "saved 2 0"}


def test_a_full_disk(tmp_path: Path, faults: Faults) -> None:
    """On small disks in memory, where this process may mount them."""
    for _ in range(faults.count(20)):
        size = int(8 * SIZE * (1 + 1.2 * faults.random.random())) + 65536
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this process may not mount")
        try:
            save(str(tmp_path), "overwrite", 1)
            expected = 2
            try:
                save(str(tmp_path), "overwrite", 2)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                expected = 1
            assert which(load(str(tmp_path), "overwrite")) == expected
            assert os.listdir(tmp_path) == ["saved"]
        finally:  # refused while a file is open there
            subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("mode", ["series", "overwrite"])
def test_a_process_killed_at_any_moment(mode: str, tmp_path: Path, faults: Faults) -> None:
    first = 1
    for _ in range(faults.count(40)):
        command = [sys.executable, str(CHILD), "loop", str(tmp_path), mode, str(first)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = child.stdout.readline()
            time.sleep(faults.random.random() * 0.1)
            child.kill()
            said += child.stdout.read()
        acknowledged = int(said.split()[-1])
        found = which(load(str(tmp_path), mode))
        assert found in (acknowledged, acknowledged + 1)
        first = found + 1
    save(str(tmp_path), mode, first)
    assert not [name for name in os.listdir(tmp_path) if name.endswith((".tmp", ".old"))]


@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two-renames"])
def test_readers_find_a_whole_checkpoint_while_it_is_replaced(can_exchange: bool, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    disk = Broken(0, OSError(), can_exchange)
    small = {k: {"w": np.full(50, k), "step": k} for k in range(1, 60)}
    store(path, small[1], disk=disk)
    failed: list[BaseException] = []
    is_over = threading.Event()

    def read() -> None:
        last = 1
        try:
            while not is_over.is_set():
                tree: Any = so.load(path)
                assert set(tree["w"].tolist()) == {tree["step"]} and tree["step"] >= last
                last = tree["step"]
        except BaseException as error:
            failed.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for k in range(2, 60):
        store(path, small[k], overwrite=True, disk=disk)
    is_over.set()
    for reader in readers:
        reader.join()
    assert failed == [] and so.load(path)["step"] == 59


def test_generations_differ() -> None:
    assert which(generation(3)) == 3
    with pytest.raises(AssertionError):
        which({**generation(3), "w": generation(4)["w"]})

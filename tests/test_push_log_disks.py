"""Tables on disks that are full or fail, and batches that fail for other reasons: whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_states import QuickDisk
from fault_counts import Faults
from table_runs import batch, digest, model, table

import symopt as so
from symopt.embedding import Segment, Table, Tables
from symopt.embedding.doing import Doing
from symopt.embedding.ondisk import OnDisk, journal


class Broken(QuickDisk):
    """Fails at operations of one kind while `error` is there."""

    def __init__(self, kind: str) -> None:
        self.kind, self.error, self.after = kind, None, 0  # type: tuple[str, Any, int]

    def _may(self, kind: str) -> None:
        if kind == self.kind and self.error is not None:
            self.after -= 1
            if self.after < 0:
                raise self.error

    def write(self, file: int, data: memoryview) -> None:
        if self.kind == "write" and self.error is not None and self.after <= 0:
            super().write(file, data[: len(data) // 2])
        self._may("write")
        super().write(file, data)

    def write_at(self, file: int, data: memoryview, offset: int) -> None:
        self._may("write_at")
        super().write_at(file, data, offset)

    def sync(self, file: int) -> None:
        self._may("sync")

    def truncate(self, file: int, size: int) -> None:
        if size > os.fstat(file).st_size:
            self._may("grow")
        super().truncate(file, size)

    def allocate(self, file: int, begin: int, end: int) -> None:
        self._may("allocate")


@pytest.fixture
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Broken:
    disk = Broken(request.param)
    monkeypatch.setattr(journal, "DISK", disk)
    return disk


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("broken", ["write"], indirect=True)
@pytest.mark.parametrize("make", [full, KeyboardInterrupt], ids=["full", "interrupted"])
def test_a_batch_that_cannot_be_logged_did_not_happen(
    make: Callable[[], BaseException], broken: Broken, tmp_path: Path
) -> None:
    t = table(tmp_path / "t")
    for k in range(8):
        batch(t, k)
        if k == 3:
            t.checkpoint()
        broken.error, broken.after = make(), k % 3
        if k % 7 != 6:  # that one may find no row to evict
            with pytest.raises((OSError, KeyboardInterrupt)) as caught:
                batch(t, k + 1)
            assert caught.value is broken.error
            if isinstance(caught.value, OSError):
                assert "nothing of the batch was applied" in caught.value.__notes__[0]
        broken.error = None
        assert digest(t) == model()[k + 1]
    t.close(checkpoint=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with table(tmp_path / "t") as t:
            assert digest(t) == model()[8]


@pytest.mark.parametrize("broken", ["write", "write_at", "sync"], indirect=True)
def test_a_checkpoint_that_fails_loses_nothing(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / "t"
    for after in range(12):
        t = table(path)
        k = model().which(t, range(40))
        batch(t, k)
        broken.error, broken.after = full(), after
        raised = False
        try:
            t.checkpoint()
        except OSError:
            raised = True
        broken.error = None
        assert raised or after >= 1 or broken.kind == "write_at"
        if not t._journal._why_not():
            assert digest(t) == model()[k + 1]
            batch(t, k + 1)
            k += 1
        t.close(checkpoint=False)
        t = table(path)
        assert digest(t) == model()[k + 1]
        t.close()
        assert len(os.listdir(path)) == 5


@pytest.mark.parametrize("broken", ["grow", "allocate"], indirect=True)
def test_a_file_that_cannot_grow(broken: Broken, tmp_path: Path) -> None:
    t = table(tmp_path / "t")
    broken.error = full()
    with pytest.raises(OSError, match="No space"):
        batch(t, 0)
        batch(t, 1)
    broken.error = None
    assert model().which(t, range(2)) >= 0
    t.close()


@pytest.mark.parametrize("broken", ["sync"], indirect=True)
def test_a_drive_that_fails_to_write_ends_writing(broken: Broken, tmp_path: Path) -> None:
    """After such a failure the system does not know what is on the drive."""
    t = table(OnDisk(tmp_path / "t", durability="power"))
    batch(t, 0)
    broken.error = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        batch(t, 1)
    broken.error = None
    for use in (lambda: batch(t, 1), lambda: t.lookup([1])):
        with pytest.raises(so.errors.TooLateError, match="the drive failed"):
            use()
    t.close()
    with table(tmp_path / "t") as t:
        assert digest(t) == model()[1]


def test_a_function_of_the_users_that_fails(tmp_path: Path) -> None:
    """In the midst of a batch: what the batch did before is undone."""
    t: Table = table(tmp_path / "t")
    for k in range(4):
        batch(t, k)
    doing = t._rows.doing

    def failing(command: Any, *more: Any, **options: Any) -> Doing:
        yield from doing(command, *more, **options)
        t._rows.doing = doing  # type: ignore[method-assign]
        raise ZeroDivisionError

    t._rows.doing = failing  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        batch(t, 4)
    assert digest(t) == model()[4]
    batch(t, 4)
    assert digest(t) == model()[5]
    t.close()


def test_a_step_of_several_tables(tmp_path: Path) -> None:
    """Whose functions are asked before anything is written, and again when it is."""
    rng = np.random.default_rng()

    def make(name: str) -> Table:
        drawn = Segment(
            2, "sgd", learning_rate=0.1, initializer=lambda ids, dim: rng.normal(size=(len(ids), dim))
        )
        return Table(drawn, path=tmp_path / name, name=name)

    both = [make("a"), make("b")]
    one = np.ones((2, 2))
    for _ in range(3):
        Tables({t.name: t for t in both}).apply_gradients({t.name: ([7, 8], one) for t in both})
    seen = [t.lookup([7, 8]).tobytes() for t in both]
    for t in both:
        t.close(checkpoint=False)
    again = [make("a"), make("b")]
    assert [t.lookup([7, 8]).tobytes() for t in again] == seen
    for t in again:
        t.close()


def test_a_full_disk(tmp_path: Path, faults: Faults) -> None:
    """On small disks in memory, where this process may mount them: until no batch fits, and with room again."""
    for _ in range(faults.count(20)):
        size = int(3e6 * (1 + faults.random.random()))
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this process may not mount")
        try:
            assert fill(tmp_path / "t") > 5
        finally:  # refused while a file is open there
            subprocess.run(["umount", str(tmp_path)], check=True)


def fill(path: Path) -> int:
    """Train until the disk is full; how many batches that are. Nothing is lost then, nor by the next batch."""

    def make() -> Table:
        return Table(Segment(40, "adam", learning_rate=0.1), path=OnDisk(path, log_bytes=1_000_000))

    def step(t: Table, k: int) -> None:
        t.apply_gradients(np.arange(k * 100, k * 100 + 300), np.ones((300, 40)), req_time=k)

    ballast = path.parent / "ballast"
    ballast.write_bytes(bytes(200_000))
    t, expected = make(), Table(Segment(40, "adam", learning_rate=0.1))
    for k in range(1000):
        try:
            step(t, k)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            break
        step(expected, k)
    for _ in range(2):
        ids = expected.ids()
        assert t.ids().tolist() == ids.tolist() and t.lookup(ids).tobytes() == expected.lookup(ids).tobytes()
        t.close(checkpoint=False)
        ballast.unlink(missing_ok=True)
        t = make()
    with contextlib.suppress(OSError):
        step(t, k)
    t.close(checkpoint=False)
    return k

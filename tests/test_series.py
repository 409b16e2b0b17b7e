"""Series of checkpoints: the newest whole one counts, older ones go when it is durable, one process saves at a time."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_states import Killed, QuickDisk, Recorder

import symopt as so
from symopt.checkpoint import Series
from symopt.errors import DamagedError, StateError


def state(k: int) -> dict[str, Any]:
    return {"w": np.full(5, float(k)), "step": k}


@pytest.fixture
def series(tmp_path: Path) -> Series:
    made = Series(tmp_path / "a" / "run", keep=3, disk=QuickDisk())
    for k in (5, 10, 20):
        made.save(k, state(k))
    return made


def damage(series: Series, step: int, name: str) -> None:
    path = Path(series.path(step)) / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


DATA = "state-00001-of-00001.safetensors"


def test_the_newest_are_kept(series: Series) -> None:
    assert series.steps() == [5, 10, 20] and series.latest() == 20
    series.save(30, state(30))
    assert series.steps() == [10, 20, 30] and series.load()["step"] == 30
    assert sorted(os.listdir(series.root)) == [".lock", "step-000000010", "step-000000020", "step-000000030"]


def test_a_step_is_loaded_by_its_number(series: Series) -> None:
    assert series.load(10)["step"] == 10
    with pytest.raises(FileNotFoundError):
        series.load(11)


def test_a_step_is_replaced_only_when_asked(series: Series) -> None:
    with pytest.raises(FileExistsError):
        series.save(20, state(21))
    series.save(20, state(21), overwrite=True, meta={"again": True})
    assert series.load()["step"] == 21 and so.checkpoint.info(series.path(20)).meta == {"again": True}


def test_steps_above_the_one_saved_are_left(series: Series) -> None:
    """A run that went back to an older step may be one that was started by mistake."""
    series.save(6, state(6))
    series.save(7, state(7))
    assert series.steps() == [5, 6, 7, 10, 20]
    series.save(8, state(8))
    assert series.steps() == [6, 7, 8, 10, 20]


def test_a_damaged_step_is_passed_over_aloud(series: Series) -> None:
    damage(series, 20, DATA)
    with pytest.warns(RuntimeWarning, match=r"step-000000020.*'w'.*falling back to step 10"):
        assert series.load()["step"] == 10
    with pytest.raises(DamagedError, match="step-000000020"):
        series.load(fall_back=False)
    with pytest.raises(DamagedError, match="step-000000020"):
        series.load(20)
    assert series.latest() == 20  # which looks at no tensors
    damage(series, 20, "MANIFEST.json")
    with pytest.warns(RuntimeWarning, match=r"MANIFEST.*falling back to step 10") as caught:
        assert series.latest() == 10
    assert caught[0].filename == __file__
    with pytest.raises(DamagedError):
        series.latest(strict=True)


def test_only_damaged_steps_are_an_error(series: Series) -> None:
    for step in series.steps():
        damage(series, step, DATA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DamagedError, match="step-000000005"):
            series.load()


def test_a_state_that_does_not_fit_is_no_damage(series: Series) -> None:
    with pytest.raises(StateError):
        series.load(into={"w": np.zeros(4), "step": 0})


def test_a_step_of_a_newer_version_is_not_passed_over(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    from symopt.checkpoint import manifest

    monkeypatch.setattr(manifest, "VERSION", 2)
    series.save(30, state(30))
    monkeypatch.setattr(manifest, "VERSION", 1)
    with pytest.raises(so.errors.FormatError, match="version 2"):
        series.load()


def test_an_empty_series(tmp_path: Path) -> None:
    series = Series(tmp_path / "nothing")
    assert series.steps() == [] and series.latest() is None
    with pytest.raises(FileNotFoundError, match="nothing"):
        series.load()
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("keep, step", [(0, 1), (1, -1)])
def test_numbers_that_make_no_sense(keep: int, step: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Series(tmp_path, keep=keep).save(step, {})


class Waiting(QuickDisk):
    """Waits in the middle of a save."""

    def __init__(self) -> None:
        self.is_inside, self.may_go_on = threading.Event(), threading.Event()

    def create(self, path: str) -> int:
        self.is_inside.set()
        assert self.may_go_on.wait(30)
        return super().create(path)


@pytest.fixture
def waiting(series: Series) -> Iterator[Waiting]:
    """Another that saves step 30 of the series, and is in the middle of it."""
    disk = Waiting()
    other = threading.Thread(target=Series(series.root, keep=3, disk=disk).save, args=(30, state(30)))
    other.start()
    assert disk.is_inside.wait(30)
    yield disk
    disk.may_go_on.set()
    other.join()
    assert series.load()["step"] == 30


def test_another_that_saves_is_refused_and_readers_are_not(series: Series, waiting: Waiting) -> None:
    with pytest.raises(BlockingIOError, match="saves to this series"):
        series.save(40, state(40))
    assert series.load()["step"] == 20


def test_a_save_in_progress_is_not_swept(series: Series, waiting: Waiting) -> None:
    so.save(series.path(30), state(31))  # which the other finds there
    so.checkpoint.staging.discard(QuickDisk(), series.path(30))


def test_what_a_killed_save_left_is_swept(series: Series) -> None:
    disk = Recorder(series.root)
    disk.dies_at = 4
    with pytest.raises(Killed):
        Series(series.root, keep=3, disk=disk).save(25, state(25))
    assert [name for name in os.listdir(series.root) if name.endswith(".tmp")]
    series.save(30, state(30))
    assert sorted(os.listdir(series.root)) == [".lock", "step-000000010", "step-000000020", "step-000000030"]


def test_new_folders_are_durable_too(tmp_path: Path) -> None:
    disk = Recorder(str(tmp_path))
    Series(tmp_path / "a" / "b", disk=disk).save(1, state(1))
    kinds = [op.kind for op in disk.ops[:4]]
    assert kinds == ["folder", "sync folder", "folder", "sync folder"]


def test_other_things_in_the_folder_are_left_alone(series: Series) -> None:
    others = ["notes.txt", "step-1", ".step-000000005.tmp", ".other.12345678.tmp"]
    for name in others:
        (Path(series.root) / name).mkdir()
    series.save(30, state(30))
    assert series.steps() == [10, 20, 30] and set(others) < set(os.listdir(series.root))

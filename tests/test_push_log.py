"""The push log: what is in it, what is cut off, what is refused; and disks that are full or fail."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from crash_states import QuickDisk
from fault_counts import Faults
from table_runs import batch, digest, model, table

import symopt as so
from symopt.embedding import Segment, Table, commands
from symopt.embedding.ondisk import OnDisk, journal, pushlog
from symopt.embedding.ondisk.frames import HEADER_BYTES, read_frame
from symopt.embedding.ondisk.messages import read_message, write_message

BATCHES = 6
IDS, ROWS = np.array([5, -(2**63), 2**63 - 1]), np.random.default_rng(0).random((3, 4), np.float32)


# ---- messages


@pytest.mark.parametrize(
    "command",
    [
        commands.Update(IDS, ROWS, 3, None, 17),
        commands.Update(IDS, ROWS.astype(np.float64), 3, (0.1, float("inf")), 17, repeats=True),
        commands.Assign(IDS[:0], ROWS[:0], 2**32 - 1, True),
        commands.Evict(IDS),
        commands.Settle(IDS),
        commands.GoOn((1.5, float("inf")), None, ()),
        commands.GoOn((0.1,), 2**40, ({}, {"product": 0.1, "other": 1e-300})),
        commands.Resume(2**40, 17, ((0, -np.inf, 1.5, {}), (2, -0.1, 1.0, {"product": 1e-300}))),
        commands.Admit(IDS, None),
        commands.Admit(IDS, IDS[::-1]),
    ],
    ids=lambda c: type(c).__name__,
)
def test_messages_come_back(command: Any) -> None:
    answers: list[Any] = [0.1, ROWS[:1, :3], -np.inf]
    content = b"".join(write_message([command, commands.Touch(IDS, 4)], answers))
    assert len(content) % 8 == 0
    found = read_message(memoryview(content))
    assert [type(c) for c in found.commands] == [type(command), commands.Touch]
    for was, now in zip((*command, *answers), (*found.commands[0], *found.answers), strict=True):
        if isinstance(was, np.ndarray):
            assert (now.dtype, now.shape, now.tobytes()) == (was.dtype, was.shape, was.tobytes())
        else:
            assert now == was and type(now) is type(was)


def test_every_command_can_be_logged() -> None:
    """A command that is added has fields that messages know."""
    known = {
        "Ids",
        "Array",
        "int",
        "int | None",
        "bool",
        "Ids | None",
        "tuple[float, ...]",
        "tuple[float, ...] | None",
        "Mapping[str, Array]",
        "tuple[Mapping[str, float], ...]",
        "tuple[tuple[int, float, float, dict[str, float]], ...]",
    }
    for kind in get_args(commands.Command):
        assert {
            str(t.__forward_arg__ if hasattr(t, "__forward_arg__") else t)
            for t in kind.__annotations__.values()
        } <= known


# ---- damage


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a table after some batches, as a process leaves it that is killed."""
    monkeypatch.setattr(journal, "DISK", QuickDisk())
    t = table(tmp_path / "left")
    for k in range(BATCHES):
        batch(t, k)
    t.close(checkpoint=False)
    return tmp_path / "left"


def log_of(path: Path) -> Path:
    return next(path.glob("log-*.bin"))


def bounds(log: Path) -> list[int]:
    """Where the batches of a log begin, and where the last ends."""
    at, found = 0, []
    file = os.open(log, os.O_RDONLY)
    while at < log.stat().st_size:
        frame = read_frame(file, at, log.stat().st_size)
        assert not isinstance(frame, str)
        found += [at] if frame.kind == pushlog.BATCH else []
        at = frame.end
    os.close(file)
    return [*found, at]


def copy(path: Path, name: str) -> Path:
    shutil.copytree(path, path.parent / name)
    return path.parent / name


def test_a_cut_tail_is_said_and_what_is_before_it_is_there(left: Path, faults: Faults) -> None:
    ends = bounds(log_of(left))
    cuts = [*ends, *(e + d for e in ends[:-1] for d in (1, 39, 40, 41, 100)), ends[-1] - 1]
    for cut in faults.some(sorted(cuts)):
        path = copy(left, f"cut{cut}")
        os.truncate(log_of(path), cut)
        whole = max(k for k, e in enumerate(ends) if e <= cut)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            with table(path) as t:
                assert digest(t) == model()[whole]
        if cut in ends:
            assert not said
        else:
            text = str(said[0].message)
            assert str(log_of(left).name) in text and f"at byte {ends[whole]}" in text
            assert f"{cut - ends[whole]} bytes, is cut off" in text
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it is said once
            table(path).close()


def test_a_flipped_bit_is_found(left: Path, faults: Faults) -> None:
    """In the last record it may be a batch that was being written; before, no process can have left it."""
    log = log_of(left)
    ends, content = bounds(log), log.read_bytes()
    for at in (faults.random.randrange(len(content)) for _ in range(faults.count(300))):
        damaged = bytearray(content)
        damaged[at] ^= 1 << faults.random.randrange(8)
        log.write_bytes(damaged)
        if at >= ends[-2]:
            with pytest.warns(RuntimeWarning, match="cut off"):
                t = table(OnDisk(left, readonly=True))
            assert digest(t) == model()[BATCHES - 1]
            t.close()
        else:
            with pytest.raises(so.errors.DamagedError, match=f"{log.name}: "):
                table(OnDisk(left, readonly=True))
    log.write_bytes(content)
    with table(left) as t:
        assert digest(t) == model()[BATCHES]


def test_a_hole_after_the_machine_stopped(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the drive was not waited for, it may have written what is behind and not what is before."""
    log = log_of(left)
    ends, content = bounds(log), log.read_bytes()
    log.write_bytes(content[: ends[3]] + bytes(ends[4] - ends[3]) + content[ends[4] :])
    with pytest.raises(so.errors.DamagedError, match="was damaged later"):
        table(left)
    monkeypatch.setattr(pushlog, "boot", lambda: "another")
    with pytest.warns(RuntimeWarning, match="if the machine stopped, also earlier ones"), table(left) as t:
        assert digest(t) == model()[3]


def test_a_hole_where_the_drive_was_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    t = table(OnDisk(tmp_path / "t", durability="power"))
    for k in range(BATCHES):
        batch(t, k)
    t.close(checkpoint=False)
    log = log_of(tmp_path / "t")
    ends, content = bounds(log), log.read_bytes()
    log.write_bytes(content[: ends[3]] + bytes(ends[4] - ends[3]) + content[ends[4] :])
    monkeypatch.setattr(pushlog, "boot", lambda: "another")
    with pytest.raises(so.errors.DamagedError, match="was damaged later"):
        table(tmp_path / "t")


@pytest.mark.parametrize("name", ["rows.bin", "table.json", "state"])
def test_other_files_that_are_damaged(name: str, left: Path) -> None:
    with table(left):
        pass
    if name == "rows.bin":
        os.truncate(left / name, 100)
    elif name == "table.json":
        (left / name).write_text('{"format": "symopt table", "version": 2}')
    else:
        shutil.rmtree(next(left.glob("state-*")))
    kind = so.errors.FormatError if name == "table.json" else so.errors.DamagedError
    with pytest.raises(kind, match=name if name != "state" else "no checkpoint"):
        table(left)


def test_a_row_that_is_damaged(left: Path) -> None:
    """Marks of rows and the number of rows must agree."""
    with table(left) as t:
        stride, at = t._rows.layout.stride, t._rows.layout["updates"].offset
        slot = int(t._rows.map.slots()[3])
    with open(left / "rows.bin", "r+b") as file:
        file.seek(slot * stride + at)
        file.write(b"\xff\xff\xff\xff")
    with pytest.raises(so.errors.DamagedError, match="marked as rows"):
        table(left)


def test_how_much_is_logged(tmp_path: Path) -> None:
    """Ids and gradients, and a few hundred bytes for a batch."""
    with Table(Segment(8, "adagrad", learning_rate=0.1), path=tmp_path / "t") as t:
        for n in (50, 1000):
            before = t._journal.logged
            t.apply_gradients(np.arange(n), np.ones((n, 8)))
            assert HEADER_BYTES < t._journal.logged - before - n * (8 + 4 * 8) < 300

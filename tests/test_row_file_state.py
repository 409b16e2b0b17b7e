"""Restores, states and deltas into tables on disk: what they did is there when the table is opened again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.embedding import Admission, Segment, Table, rows

IDS = np.arange(40) * 3_000_017 - 20


def made(**more: Any) -> Table:
    """A table whose segments have all kinds of numbers."""
    segments = [
        Segment(
            3, "torch_adam", learning_rate=0.1, weight_decay=0.1, decay="decoupled_global", initializer=1.0
        ),
        Segment(2, "nadam", clock="table", learning_rate=0.1),
    ]
    return Table(segments, admission=Admission(1), track=1000, **more)


def train(table: Table, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for step in range(steps):
        ids = rng.choice(IDS, 15)
        table.apply_gradients(ids, rng.standard_normal((15, 5)), req_time=100 + step)


def same(a: Table, b: Table) -> None:
    """Both hold the same, to the bit."""
    x, y = (t.lookup_entry(np.sort(t.ids())) for t in (a, b))
    assert x.ids.tolist() == y.ids.tolist()
    assert x.weights.tobytes() == y.weights.tobytes()
    assert all(x.states[k].tobytes() == y.states[k].tobytes() for k in x.states)
    assert (a.steps, a.latest, a._rows.logs) == (b.steps, b.latest, b._rows.logs)


@contextlib.contextmanager
def crashed(folder: Path) -> Any:
    """A table on disk that is left without a checkpoint, as after a kill."""
    table = made(path=folder)
    try:
        yield table
    finally:
        table.close(checkpoint=False)


@pytest.mark.parametrize("how", ["load", "restore", "merge"])
def test_a_restore_is_on_disk_when_it_returns(tmp_path: Path, how: str) -> None:
    source = made()
    train(source, 8, seed=1)
    source.save(tmp_path / "saved", files=2)
    expected = made()
    with crashed(tmp_path / "rows") as table:
        for own in (table, expected):
            train(own, 3, seed=2)
            if how == "load":
                so.load(tmp_path / "saved", into=own)
            else:
                own.restore(tmp_path / "saved", merge=how == "merge")
    with crashed(tmp_path / "rows") as again:
        same(again, expected)
        train(again, 4, seed=3)
    train(expected, 4, seed=3)
    with crashed(tmp_path / "rows") as again:
        same(again, expected)


def test_deltas_go_through_the_log(tmp_path: Path) -> None:
    source, expected = made(), made()
    with crashed(tmp_path / "rows") as table:
        for k in range(3):
            train(source, 4, seed=k)
            source.evict(IDS[k : k + 5])
            delta = source.take_delta(states=True)
            table.apply_delta(delta)
            expected.apply_delta(delta)
    with crashed(tmp_path / "rows") as again:
        same(again, expected)


def test_a_restore_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected = made(), made()
    train(source, 8, seed=1)
    source.save(tmp_path / "saved")
    train(expected, 3, seed=2)
    with crashed(tmp_path / "rows") as table:
        train(table, 3, seed=2)
        broken = {kind: do for kind, do in rows._DOERS.items() if kind.__name__ != "Put"}
        monkeypatch.setattr(rows, "_DOERS", broken)
        with pytest.raises(KeyError):
            table.restore(tmp_path / "saved", merge=True)
        monkeypatch.undo()
        same(table, expected)
        train(table, 2, seed=4)
    train(expected, 2, seed=4)
    with crashed(tmp_path / "rows") as again:
        same(again, expected)


def test_a_log_is_done_again_with_the_admission_that_wrote_it(tmp_path: Path) -> None:
    """With as many ids counted, since they are counted again."""

    def counted(capacity: int) -> Table:
        return Table(
            Segment(2, "sgd", learning_rate=1),
            admission=Admission(1, capacity=capacity),
            path=tmp_path / "rows",
        )

    table = counted(4)
    table.apply_gradients([1, 2, 3], np.ones((3, 2)))
    table.close(checkpoint=False)
    with pytest.raises(so.errors.StateError, match=r"capacity=8, seed=0.* here, it was .*capacity=4"):
        counted(8)
    counted(4).close()
    counted(8).close()

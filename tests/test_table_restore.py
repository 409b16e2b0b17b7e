"""Restoring tables from files: any number of them, some rows, some columns, among rows that are there."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_states import DIM, everything, full, plain, rows_of, used

import symopt as so
from symopt import errors
from symopt.embedding import Expiry, Segment, Table
from symopt.embedding.blocks import cut
from symopt.embedding.slots import slot_of


@pytest.mark.parametrize("files", [1, 2, 5, 13])
def test_any_number_of_files(tmp_path: Path, files: int) -> None:
    table = used(full(max_rows=None, policy=None, admission=None))
    table.evict([2, 5])
    table.save(tmp_path / "x", files=files)
    assert sum(name.endswith(".safetensors") for name in os.listdir(tmp_path / "x")) == files
    fresh = full(max_rows=None, policy=None, admission=None)
    assert not fresh.restore(tmp_path / "x")
    assert everything(fresh) == everything(table)
    again = full(max_rows=None, policy=None, admission=None)
    so.load(tmp_path / "x", into=again)
    assert everything(again) == everything(table)


def test_rows_are_shared_out_evenly() -> None:
    runs = cut(np.arange(1000), 1 << 20, files=3)
    assert len(runs) == 6 and {len(run) for run in runs} <= {166, 167}


def test_expired_rows_are_not_written(tmp_path: Path) -> None:
    options: Any = {"expiry": Expiry(1), "admission": None}
    table = used(full(**options), range(3))
    table.assign([7, 8], np.ones((2, DIM)), req_time=10 * 86400)
    table.evict([7])
    table.save(tmp_path / "x", files=2)
    table.save(tmp_path / "all", keep_expired=True)
    assert len(table) == 4
    fresh, kept = full(**options), full(**options)
    fresh.restore(tmp_path / "x")
    kept.restore(tmp_path / "all")
    assert everything(kept) == everything(table)
    assert table.expire().tolist() == [0, 1, 2]
    assert everything(fresh) == everything(table)


def test_clears_or_merges(tmp_path: Path) -> None:
    table = used(plain(), range(4))
    table.save(tmp_path / "x")
    other = plain(track=100)
    used(other, range(2, 9))
    other.take_delta()
    before = rows_of(other)
    other.restore(tmp_path / "x", merge=True)
    there = rows_of(other)
    assert {i: there[i] for i in range(4, 9)} == {i: before[i] for i in range(4, 9)}
    assert np.array_equal(other.lookup(range(4), missing="raise"), table.lookup(range(4)))
    assert sorted(other.take_delta().ids) == [0, 1, 2, 3]
    other.restore(tmp_path / "x", only=lambda ids: ids < 2)
    assert set(other) == {0, 1}
    assert {i: rows_of(other)[i] for i in (0, 1)} == {i: rows_of(table)[i] for i in (0, 1)}
    taken = other.take_delta()
    assert (sorted(taken.ids), sorted(taken.gone)) == ([0, 1], [2, 3, 4, 5, 6, 7, 8])


def test_by_ids_and_slots(tmp_path: Path) -> None:
    ids = np.array([1, 2, (3 << 48) + 1, (4 << 48) + 2])
    table = used(plain(), ids)
    table.save(tmp_path / "x")
    fresh = plain()
    fresh.restore(tmp_path / "x", only=[2, 3, ids[3]])
    assert set(fresh) == {2, ids[3]}
    fresh.restore(tmp_path / "x", slots=[3, 4])
    assert slot_of(fresh.ids()).tolist() == [3, 4]
    fresh.restore(tmp_path / "x", slots=[0, 4], only=lambda ids: ids != 2)
    assert set(fresh) == {1, ids[3]}
    with pytest.raises(errors.ShapeError, match="True or False for each of 4 ids"):
        fresh.restore(tmp_path / "x", only=lambda ids: ids[:1])


def test_weights_only(tmp_path: Path) -> None:
    table = used(plain())
    table.save(tmp_path / "x")
    fresh = plain()
    found = fresh.restore(tmp_path / "x", states=False)
    assert np.array_equal(
        fresh.lookup(range(8))[:, :4], table.lookup(range(8))[:, :4]
    )  # 4: a scale that grows by steps
    entries = fresh.lookup_entry(range(8))
    assert not entries.updates.any() and not entries.states["0/mean"].any() and fresh.steps == 0
    assert entries.timestamps.tolist() == [1002] * 8
    assert "0/mean" in found.unexpected and "0/mean: as in a new row" in found.missing
    assert not found.different


def test_another_rule_for_one_segment(tmp_path: Path) -> None:
    table = used(Table([Segment(2, "adam", learning_rate=0.1), Segment(3, "adagrad", learning_rate=0.1)]))
    table.save(tmp_path / "x")
    other = Table([Segment(2, "adam", learning_rate=0.1), Segment(3, "ftrl", lr=0.1)])
    with pytest.raises(errors.StateError, match="rule is 'ftrl_update' here, the state has 'adagrad_update'"):
        other.restore(tmp_path / "x")
    found = other.restore(tmp_path / "x", states=[0])
    assert found.unexpected == ["1/history"]
    assert other.steps == 3 and np.array_equal(other.lookup(range(8)), table.lookup(range(8)))
    own, theirs = other.lookup_entry(range(8)), table.lookup_entry(range(8))
    assert np.array_equal(own.states["0/mean"], theirs.states["0/mean"]) and not own.states["1/z"].any()
    found = other.restore(tmp_path / "x", segments=[0])
    assert "1/weight: as in a new row" in found.missing and not other.lookup(range(8))[:, 2:].any()


def test_other_attributes(tmp_path: Path) -> None:
    used(Table(Segment(2, "adam", learning_rate=0.1))).save(tmp_path / "x")
    other = Table(Segment(2, "adam", learning_rate=0.3, beta1=0.5))
    with pytest.raises(errors.StateError, match="beta1"):
        other.restore(tmp_path / "x")
    other.restore(tmp_path / "x", attributes=False)
    assert len(other) == 8 and other.steps == 3


def test_decay_that_rows_have_not_seen(tmp_path: Path) -> None:
    def make() -> Table:
        return Table(
            Segment(2, "sgd", learning_rate=0.1, weight_decay=0.5, decay="decoupled_global", initializer=1.0)
        )

    table = used(make(), [1, 2])
    table.apply_gradients([2], np.zeros((1, 2)))
    table.save(tmp_path / "x")
    other = used(make(), [8, 9])
    other.restore(tmp_path / "x", merge=True)
    expected = table.lookup([1, 2])
    assert np.array_equal(other.lookup([1, 2]), expected)
    other.apply_gradients([9], np.zeros((1, 2)))
    table.apply_gradients([9], np.zeros((1, 2)))
    assert np.allclose(other.lookup([1, 2]), table.lookup([1, 2]), rtol=1e-6)
    other.restore(tmp_path / "x", only=[1, 2])
    assert np.array_equal(other.lookup([1, 2]), expected)
    one = Table(Segment(2, "sgd", learning_rate=0.1))
    one.restore(tmp_path / "x", states=False)
    assert np.array_equal(one.lookup([1, 2]), expected)


def test_names_in_trees(tmp_path: Path) -> None:
    table = used(plain(name="user"))
    so.save(tmp_path / "x", {"user": table, "old": [plain()], "w": np.ones(2)})
    fresh = plain(name="user")
    fresh.restore(tmp_path / "x")
    assert everything(fresh) == everything(table)
    renamed = plain(name="member")
    with pytest.raises(errors.StateError, match="called 'member': it has user, old/0"):
        renamed.restore(tmp_path / "x")
    renamed.restore(tmp_path / "x", names=["elsewhere", "user"])
    assert rows_of(renamed) == rows_of(table)
    renamed.restore(tmp_path / "x", names=["old/0"])
    assert not len(renamed)


def test_too_many_rows(tmp_path: Path) -> None:
    used(plain()).save(tmp_path / "x")
    small = plain(max_rows=6)
    used(small, [9])
    before = everything(small)
    with pytest.raises(errors.TooLateError, match="8 rows, and max_rows is 6"):
        small.restore(tmp_path / "x", states=False)
    assert everything(small) == before
    small.restore(tmp_path / "x", only=range(5), merge=True)
    assert len(small) == 6
    with pytest.raises(errors.TooLateError, match="max_rows"):
        small.restore(tmp_path / "x", merge=True)


def test_bad_arguments(tmp_path: Path) -> None:
    table = used(plain())
    before = everything(table)
    with pytest.raises(OSError):
        table.save(tmp_path / "no" / "folder")
    with pytest.raises(errors.AttributeValueError, match="files"):
        table.save(tmp_path / "x", files=0)
    assert everything(table) == before


def test_saved_between_batches(tmp_path: Path) -> None:
    """While another thread trains all rows alike, they are alike in what is saved."""
    table, ids = Table(Segment(8, "sgd", learning_rate=1.0)), np.arange(2000)
    table.assign(ids, np.zeros((2000, 8)))
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            table.apply_gradients(ids, np.ones((2000, 8)))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for k in range(5):
            table.save(tmp_path / f"{k}", files=3)
    finally:
        stop.set()
        thread.join()
    for k in range(5):
        fresh = Table(Segment(8, "sgd", learning_rate=1.0))
        fresh.restore(tmp_path / f"{k}")
        assert np.unique(fresh.lookup(ids)).tolist() == [-float(fresh.steps)]


def test_entries(tmp_path: Path) -> None:
    table = used(plain(), range(10))
    table.evict([4])
    pages = list(table.entries(start=2, limit=5, batch=2))
    assert [len(page.ids) for page in pages] == [2, 2, 1]
    ids = np.concatenate([page.ids for page in pages])
    assert ids.tolist() == [2, 3, 5, 6, 7]
    assert np.array_equal(np.concatenate([p.weights for p in pages]), table.lookup_entry(ids).weights)
    started = table.entries(batch=4)
    first = next(started)
    table.evict([5, 9])
    assert [*first.ids, *(i for page in started for i in page.ids)] == [0, 1, 2, 3, 6, 7, 8]

"""Restoring tables from files: any number of them, some rows, some columns, among rows that are there."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_states import DIM, STEPS, drive, everything, full, numbers_of, plain, rows_of

import symopt as so
from symopt import errors
from symopt.embedding import Admission, Expiry, Segment, Table
from symopt.embedding.blocks import cut
from symopt.embedding.slots import slot_of


def used(table: Table, ids: Any = range(8)) -> Table:
    ids = np.array(list(ids))
    for k in range(3):
        grads = (ids[:, None] + np.arange(table.dim)) / (k + 2)
        table.apply_gradients(ids, grads, req_time=1000 + k)
    return table


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


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(1, 4), STEPS)
def test_parts_of_one_table(tmp_path_factory: Any, before: Any, n: int, after: Any) -> None:
    """n tables, each with the ids that are k modulo n, are saved and restored as m of them."""
    path, m = tmp_path_factory.mktemp("parts") / "x", 3
    whole = plain(admission=Admission(1))
    parts = [plain(admission=Admission(1)) for _ in range(n)]
    for kind, ids, number in before:
        if kind == "expire" or kind == "flush":
            continue
        drive(whole, [(kind, ids, number)])
        _share(parts, (kind, ids, number))
    for k, part in enumerate(parts):
        part.save(path, part=(k, n))
    others = [plain(admission=Admission(1)) for _ in range(m)]
    for k, other in enumerate(others):
        other.restore(path, only=lambda ids, k=k: ids % m == k)  # type: ignore[misc]
    together = {id_: row for other in others for id_, row in rows_of(other).items()}
    assert together == rows_of(whole)
    counts = [numbers_of(other)["counts"]["young"] for other in others]
    assert {id_: c for each in counts for id_, c in each.items()} == numbers_of(whole)["counts"]["young"]
    one = plain(admission=Admission(1))
    one.restore(path)
    drive(one, after)
    drive(whole, after)
    assert rows_of(one) == rows_of(whole)


def _share(parts: list[Table], step: Any) -> None:
    """A step of the whole table, by each part with its own ids; all take it, so that all count it."""
    kind, ids, number = step
    n = len(parts)
    values = (np.arange(len(ids) * DIM).reshape(-1, DIM) - number) / 16
    for k, part in enumerate(parts):
        mine = [j for j, id_ in enumerate(ids) if id_ % n == k]
        own = [ids[j] for j in mine]
        if kind == "apply":
            part.apply_gradients(np.array(own, np.int64), values[mine], req_time=number * 20_000)
        elif kind in ("assign", "add"):
            put = part.assign if kind == "assign" else part.assign_add
            put(np.array(own, np.int64), values[mine], req_time=number * 20_000)
        elif own:
            drive(part, [(kind, own, number)])


def test_parts_must_be_all_there(tmp_path: Path) -> None:
    table = used(plain())
    for k in (0, 2):
        table.save(tmp_path / "x", part=(k, 3))
    with pytest.raises(errors.DamagedError, match="part-00002-of-00003 is missing"):
        plain().restore(tmp_path / "x")
    table.save(tmp_path / "x", part=(1, 3))
    with pytest.raises(errors.StateError, match="id 0 is there more than once"):
        plain().restore(tmp_path / "x")
    table.save(tmp_path / "x", part=(0, 4))
    with pytest.raises(errors.DamagedError, match="part-00001-of-00004 is none of 3 parts"):
        plain().restore(tmp_path / "x")
    with pytest.raises(errors.AttributeValueError, match="part is"):
        table.save(tmp_path / "x", part=(4, 4))


def test_parts_of_different_steps(tmp_path: Path) -> None:
    used(plain(), [1, 3]).save(tmp_path / "x", part=(0, 2))
    plain().save(tmp_path / "x", part=(1, 2))
    table = used(plain(), [9])
    before = everything(table)
    with pytest.raises(errors.StateError, match="steps: 3 in part-00001-of-00002, 0 in part-00002"):
        table.restore(tmp_path / "x")
    assert everything(table) == before
    table.restore(tmp_path / "x", merge=True)
    assert set(table) == {1, 3, 9}


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


def test_full_disk(tmp_path: Path) -> None:
    table = used(plain())
    before = everything(table)
    with pytest.raises(OSError):
        table.save(tmp_path / "no" / "folder")
    with pytest.raises(errors.AttributeValueError, match="files"):
        table.save(tmp_path / "x", files=0)
    assert everything(table) == before


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

"""Deltas: two tables kept equal by what changed, serving tables too; nothing is lost in silence."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_states import DIM, STEPS, drive, plain, rows_of

import symopt as so
from symopt import errors
from symopt.embedding import Delta, FixedR8, Segment, Table, load_delta
from symopt.embedding.serving import load_serving


def simple(**options: Any) -> Table:
    """Rules with states, and no decay of rows that are not touched."""
    rate: Any = {"learning_rate": 0.1}
    kinds = [Segment(2, "adam", initializer=0.5, **rate), Segment(3, "adagrad", weight_decay=0.1, **rate)]
    return Table(kinds, **options)


ROUNDS = st.lists(st.tuples(STEPS, st.booleans()), max_size=5)


@settings(max_examples=40, deadline=None)
@given(ROUNDS, st.booleans())
def test_two_tables_are_kept_equal(rounds: Any, states: bool) -> None:
    """Through evictions, sends that fail, and more changes than are tracked."""
    table = simple(track=7, max_rows=8, policy="least_recent", expiry=2)
    other = simple()
    for steps, fails in rounds:
        drive(table, [step for step in steps if step[0] != "touch"])  # the time alone is not sent
        delta = table.take_delta(states=states)
        if fails:
            table.untake(delta)
            continue
        if not delta.complete:
            with pytest.raises(errors.DeltaIncompleteError, match="more ids changed"):
                other.apply_delta(delta)
            delta = table.take_delta(states=states, whole=True)
        other.apply_delta(delta)
        assert set(other) == set(table)
        assert np.array_equal(other.lookup(table.ids()), table.lookup(table.ids()))
        if states:
            assert rows_of(other) == rows_of(table)
        else:
            ids = table.ids()
            assert np.array_equal(other.lookup_entry(ids).timestamps, table.lookup_entry(ids).timestamps)


@settings(max_examples=25, deadline=None)
@given(ROUNDS)
def test_decay_of_all_rows_arrives(rounds: Any) -> None:
    table, other = plain(track=1000), plain()
    for steps, fails in rounds:
        drive(table, [step for step in steps if step[0] != "expire"])
        delta = table.take_delta(states=True)
        if fails:
            table.untake(delta)
            continue
        other.apply_delta(delta)
        ids = table.ids()
        assert set(other) == set(table)
        assert np.allclose(other.lookup(ids), table.lookup(ids), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mutable", [True], ids=["serving"])
def test_a_serving_table_follows(tmp_path: Path, mutable: bool) -> None:
    table = Table(Segment(2, "sgd", learning_rate=0.25, compressor=FixedR8(8.0)), track=100)
    table.apply_gradients([1, 2, 3], np.ones((3, 2)))
    table.export(tmp_path / "serving")
    table.take_delta()
    serving = load_serving(tmp_path / "serving", mutable=mutable)
    table.apply_gradients([3, 4], np.ones((2, 2)))
    table.evict([1])
    table.take_delta().apply_to(serving)
    assert sorted(serving) == [2, 3, 4]
    assert np.array_equal(serving.lookup([1, 2, 3, 4]), table.lookup([1, 2, 3, 4]))
    table.evict([2])
    table.take_delta(whole=True).apply_to(serving)
    assert sorted(serving) == [3, 4]


def test_serving_tables_cannot_decay_all_rows(tmp_path: Path) -> None:
    table = plain(track=100)
    table.apply_gradients([1, 2], np.ones((2, DIM)))
    table.export(tmp_path / "serving")
    table.take_delta()
    serving = load_serving(tmp_path / "serving", mutable=True)
    table.apply_gradients([1], np.ones((1, DIM)))
    delta = table.take_delta()
    with pytest.raises(errors.DeltaIncompleteError, match="decoupled_global"):
        delta.apply_to(serving)
    delta.apply_to(serving, decay=False)


@pytest.mark.parametrize("states", [False, True])
def test_files(tmp_path: Path, states: bool) -> None:
    table, other = plain(track=100), plain()
    table.apply_gradients([5, -6], np.ones((2, DIM)), req_time=7)
    table.evict([-6])
    delta = table.take_delta(states=states)
    delta.save(tmp_path / "d")
    read = load_delta(tmp_path / "d")
    assert (read.ids.tolist(), read.gone.tolist(), len(read)) == ([5], [-6], 1)
    assert read.weights.tobytes() == delta.weights.tobytes() and set(read.states) == set(delta.states)
    other.apply_delta(read)
    assert other.lookup_entry([5]).updates.tolist() == [int(states)]
    assert np.array_equal(other.lookup_entry([5]).weights, table.lookup_entry([5]).weights)


def test_files_that_are_no_deltas(tmp_path: Path) -> None:
    so.save(tmp_path / "x", {"w": np.ones(2)})
    with pytest.raises(errors.FormatError, match="no delta"):
        load_delta(tmp_path / "x")
    so.save(tmp_path / "y", {"format": "symopt embedding delta", "version": 9})
    with pytest.raises(errors.FormatError, match="version 9"):
        load_delta(tmp_path / "y")
    so.save(tmp_path / "z", {"format": "symopt embedding delta", "version": 1, "dims": [2], "ids": 3})
    with pytest.raises(errors.FormatError, match="malformed"):
        load_delta(tmp_path / "z")
    table = simple(track=4)
    table.assign([1], np.ones((1, 5)))
    table.take_delta().save(tmp_path / "d")
    state = so.load(tmp_path / "d")
    so.save(tmp_path / "e", {**state, "weights": np.ones((2, 5), np.float32)})
    with pytest.raises(errors.FormatError, match="do not fit"):
        load_delta(tmp_path / "e")


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = simple(track=100)
    table.assign([1, 2], np.ones((2, 5)))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("symopt.embedding.delta.save", full)
    with pytest.raises(OSError), table.delta() as delta:
        delta.save(tmp_path / "d")
    monkeypatch.undo()
    table.assign([3], np.ones((1, 5)))
    table.evict([2])
    with table.delta() as delta:
        delta.save(tmp_path / "d")
    assert (sorted(delta.ids), delta.gone.tolist()) == ([1, 3], [2])
    assert not len(table.take_delta())


def test_no_memory_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = simple(track=100)
    table.assign([1, 2], np.ones((2, 5)))

    def none(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("symopt.embedding.delta.settled", none)
    with pytest.raises(MemoryError):
        table.take_delta()
    monkeypatch.undo()
    assert table.take_delta().ids.tolist() == [1, 2]


def test_overflow_is_said_once() -> None:
    table = simple(track=2)
    table.assign([1, 2, 3], np.ones((3, 5)))
    delta = table.take_delta()
    assert not delta.complete and repr(delta) == "<Delta: incomplete, a whole export is needed>"
    with pytest.raises(errors.DeltaIncompleteError, match="whole table"):
        delta.save("nowhere")
    table.untake(delta)
    whole = table.take_delta(whole=True)
    assert whole.complete and len(whole) == 3
    table.untake(whole)
    assert not table.take_delta().complete
    assert table.take_delta().complete


def test_without_tracking() -> None:
    table = simple()
    with pytest.raises(errors.TooLateError, match="track"):
        table.take_delta()
    assert table.take_delta(whole=True).complete


def test_what_does_not_fit() -> None:
    table = simple(track=10)
    table.assign([1, 2], np.ones((2, 5)))
    partial = table.take_delta()
    other = Table(Segment(5, "sgd", learning_rate=1))
    with pytest.raises(errors.StateError, match="columns of segments"):
        other.apply_delta(table.take_delta(whole=True))
    other = Table([Segment(2, "adam", learning_rate=0.1), Segment(3, "sgd", learning_rate=1)])
    with pytest.raises(errors.StateError, match="columns of states"):
        other.apply_delta(table.take_delta(whole=True, states=True))
    other = simple(max_rows=2)
    other.assign([8], np.ones((1, 5)))
    with pytest.raises(errors.TooLateError, match="max_rows is 2"):
        other.apply_delta(partial)
    assert set(other) == {8}
    table.touch([1])
    assert isinstance(table.take_delta(), Delta)


@pytest.mark.parametrize("kind", ["fp32", FixedR8(4.0), None], ids=str)
def test_export(tmp_path: Path, kind: Any) -> None:
    table = plain(expiry=1)
    table.apply_gradients([1, 2, 3], np.ones((3, DIM)), req_time=0)
    table.apply_gradients([2, 4], np.ones((2, DIM)), req_time=200_000)
    before = rows_of(table)
    report = table.export(tmp_path / "x", kind, meta={"epoch": 1})
    assert rows_of(table) == before
    serving = load_serving(tmp_path / "x")
    assert set(serving) == {2, 4} and serving.name == "table" and report.row_bytes == serving.sizes.row_bytes
    table.flush()
    if kind == "fp32":
        assert np.array_equal(serving.lookup([2, 4]), table.lookup_entry([2, 4]).weights)
    assert np.allclose(serving.lookup([2, 4])[:, :4], table.lookup_entry([2, 4]).weights[:, :4], atol=1 / 60)
    table.export(tmp_path / "all", kind, keep_expired=True)
    assert set(load_serving(tmp_path / "all")) == {1, 2, 3, 4}


def test_export_without_zero_rows(tmp_path: Path) -> None:
    table = simple()
    table.assign([1, 2], [[0] * 5, [1] * 5])
    table.export(tmp_path / "x", skip_zero_embedding=True)
    assert set(load_serving(tmp_path / "x")) == {2}

"""What receivers of deltas have been sent: known across files, crashes and deltas that come back, or said not to be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import errors
from symopt.embedding import OneBit, Segment, Table, load_delta
from symopt.embedding.ondisk import OnDisk

ALL = [1, 2, 3]


def decaying(**options: Any) -> Table:
    """All rows decay with every step."""
    kind = Segment(2, "sgd", learning_rate=0.1, weight_decay=0.5, decay="decoupled_global", initializer=1.0)
    return Table(kind, **options)


def simple(**options: Any) -> Table:
    return Table(Segment(2, "sgd", learning_rate=0.1), **options)


def train(table: Table, ids: Any) -> None:
    table.apply_gradients(ids, np.ones((len(ids), 2)))


def test_decay_is_sent_once_by_a_table_that_was_closed(tmp_path: Path) -> None:
    follower = decaying()
    with decaying(path=tmp_path / "t", track=9) as table:
        train(table, ALL)
        follower.apply_delta(table.take_delta())
    with decaying(path=tmp_path / "t", track=9) as table:
        train(table, [1])
        follower.apply_delta(table.take_delta())
        assert np.allclose(follower.lookup(ALL), table.lookup(ALL), rtol=1e-6)


@pytest.mark.parametrize("make, knows", [(decaying, False), (simple, True)], ids=["decaying", "simple"])
def test_after_a_crash(make: Any, knows: bool, tmp_path: Path) -> None:
    """Rows may come twice; decay, of which nobody knows whether it was sent, may not."""
    follower, table = make(), make(path=tmp_path / "t", track=9)
    train(table, ALL)
    follower.apply_delta(table.take_delta())
    table.checkpoint()
    train(table, [1])
    follower.apply_delta(table.take_delta())
    train(table, [3])
    table.close(checkpoint=False)
    with make(path=tmp_path / "t", track=9) as table:
        delta = table.take_delta()
        assert delta.complete == knows
        follower.apply_delta(delta if knows else table.take_delta(whole=True))
        assert np.allclose(follower.lookup(ALL), table.lookup(ALL), rtol=1e-6)


def test_a_batch_that_fails_leaves_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = decaying()
    with decaying(path=tmp_path / "t", track=9) as table:
        train(table, ALL)
        follower.apply_delta(table.take_delta())
        monkeypatch.setattr("symopt.embedding.ondisk.journal.write_message", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(table, [1])
        monkeypatch.undo()
        train(table, [2])
        follower.apply_delta(table.take_delta())
        assert np.allclose(follower.lookup(ALL), table.lookup(ALL), rtol=1e-6)


def test_a_table_that_was_not_tracked_before_says_so(tmp_path: Path) -> None:
    with simple(path=tmp_path / "t") as table:
        train(table, ALL)
    with simple(path=tmp_path / "t", track=9) as table:
        assert not table.take_delta().complete
        assert table.take_delta().complete


def test_deltas_that_come_back_late() -> None:
    """What happened to their ids since then, and was sent, counts."""
    table, follower = simple(track=9), simple()
    train(table, [1, 2])
    follower.apply_delta(table.take_delta())
    table.evict([1])
    train(table, [3])
    late = table.take_delta()
    train(table, [1])
    table.evict([3])
    follower.apply_delta(table.take_delta())
    table.untake(late)
    delta = table.take_delta()
    assert (sorted(delta.ids), delta.gone.tolist()) == ([1], [3])
    follower.apply_delta(delta)
    assert set(follower) == set(table) == {1, 2}


def test_decay_that_comes_back_late_is_not_sent_behind_rows_that_have_it() -> None:
    table = decaying(track=9)
    train(table, ALL)
    late = table.take_delta()
    train(table, [1])
    later = table.take_delta()
    table.untake(later)
    assert table.take_delta().decay.tolist() == later.decay.tolist()
    table.untake(late)
    assert not table.take_delta().complete


def test_rows_restored_into_a_table_are_sent_without_decay(tmp_path: Path) -> None:
    source = decaying(name="t")
    train(source, ALL)
    source.save(tmp_path / "saved")
    table, follower = decaying(name="t", track=9), Table(Segment(2, "sgd", learning_rate=0.1))
    table.restore(tmp_path / "saved", only=[1, 2])
    follower.apply_delta(table.take_delta())
    assert np.array_equal(follower.lookup(ALL), table.lookup(ALL))


def test_counts_of_ids_that_a_delta_brings_are_forgotten() -> None:
    source, table = simple(track=9), simple(admission=2)
    train(table, [1])
    train(source, [1])
    table.apply_delta(source.take_delta())
    table.evict([1])
    train(table, [1])
    train(table, [1])
    assert not len(table)
    train(table, [1])
    assert len(table) == 1


def test_nothing_is_loaded_beside_a_table_that_may_not_be_written(tmp_path: Path) -> None:
    with simple(path=tmp_path / "t") as table:
        train(table, ALL)
        so.save(tmp_path / "saved", {"dense": np.ones(2), "table": table})
    dense = np.zeros(2)
    with simple(path=OnDisk(tmp_path / "t", readonly=True)) as table:
        with pytest.raises(errors.TooLateError, match="read only"):
            so.load(tmp_path / "saved", into={"dense": dense, "table": table})
    assert not dense.any()


@pytest.mark.parametrize("options", [{}, {"states": False}, {"merge": True}], ids=str)
def test_a_policy_chooses_of_more_rows_than_may_be_here(options: Any, tmp_path: Path) -> None:
    source = simple(name="t")
    for k in range(6):
        source.apply_gradients([k], np.ones((1, 2)), req_time=k)
    source.save(tmp_path / "saved")
    table = simple(name="t", max_rows=4, policy="least_recent")
    table.restore(tmp_path / "saved", **options)
    assert set(table) == {2, 3, 4, 5}


def test_a_table_that_gets_states_goes_on_as_the_other(tmp_path: Path) -> None:
    """With its steps and running products too; and lookups are those of its soft code in any case."""
    kinds = [
        Segment(1, "nadam", learning_rate=0.1, clock="table"),
        Segment(1, "adam", learning_rate=0.1, clock="table", compressor=OneBit(step_size=1)),
    ]
    table, follower, reader = (Table(kinds, track=9) for _ in range(3))
    for k in range(8):
        train(table, [1, k])
    delta = table.take_delta(states=True)
    delta.save(tmp_path / "delta")
    follower.apply_delta(load_delta(tmp_path / "delta"))
    reader.apply_delta(replace(delta, states={}, updates=None, steps=None, products=()))
    assert np.array_equal(reader.lookup([1, 5]), table.lookup([1, 5]))
    for each in (table, follower):
        train(each, [1, 9])
    assert np.array_equal(follower.lookup(table.ids()), table.lookup(table.ids()))
    assert follower.steps == table.steps

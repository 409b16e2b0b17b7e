"""State of tables: a saved one goes on with the same bits; what does not fit is listed, and nothing is changed."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_states import DIM, STEPS, drive, everything, full, plain, rows_of, segments

import symopt as so
from symopt import errors
from symopt.embedding import Admission, Expiry, RandomUniform, Segment, Table
from symopt.state import Stateful

WAYS = st.sampled_from(["dict", "copy", "pickle"])


def again(table: Table, way: str) -> Table:
    if way == "copy":
        return copy.deepcopy(table)
    if way == "pickle":
        return pickle.loads(pickle.dumps(table))  # type: ignore[no-any-return]
    fresh = full(engine=table.engine)
    fresh.load_state_dict(table.state_dict())
    return fresh


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS, WAYS)
def test_goes_on_with_the_same_bits(before: Any, after: Any, way: str) -> None:
    table = full()
    drive(table, before)
    other = again(table, way)
    assert everything(other) == everything(table)
    assert drive(other, after) == drive(table, after)
    assert everything(other) == everything(table)


def test_between_engines() -> None:
    """But for the last bits of functions such as exp: the code with a scale is left out."""
    before = [("apply", [1, 2, 3], 1), ("apply", [2, 3, 4], 2), ("evict", [2], 2)]
    table = Table(segments()[:3], admission=1, engine="reference")
    drive(table, before, 4)
    fresh = Table(segments()[:3], admission=1, engine="native")
    fresh.load_state_dict(table.state_dict())
    for each in (table, fresh):
        drive(each, before, 4)
    assert everything(fresh) == everything(table)


def used(**options: Any) -> Table:
    table = full(**options)
    for k in range(5):
        table.apply_gradients([k, k + 1, -k], np.full((3, DIM), 0.1 * (k + 1)), req_time=1000 * k)
    table.evict([1])
    return table


def test_files(tmp_path: Path) -> None:
    table, fresh = used(), full()
    drive(fresh, [("lookup", [77], 3)])
    so.save(tmp_path / "one", table)
    assert not so.load(tmp_path / "one", into=fresh)
    assert everything(fresh) == everything(table)
    table.apply_gradients([9, 1], np.ones((2, DIM)), req_time=9)
    fresh.apply_gradients([9, 1], np.ones((2, DIM)), req_time=9)
    assert everything(fresh) == everything(table)


def test_is_stateful_inside_a_tree(tmp_path: Path) -> None:
    tree = {"user": used(name="u"), "dense": np.ones(3), "step": 4, "items": [plain(), used()]}
    assert isinstance(tree["user"], Stateful)
    so.save(tmp_path / "tree", tree)
    other: Any = {"user": full(), "dense": np.zeros(3), "step": 0, "items": [plain(), full()]}
    so.load(tmp_path / "tree", into=other)
    assert everything(other["user"]) == everything(tree["user"])  # type: ignore[arg-type]
    assert everything(other["items"][1]) == everything(tree["items"][1])  # type: ignore[index]
    assert other["step"] == 4


def test_all_of_a_tree_or_none(tmp_path: Path) -> None:
    so.save(tmp_path / "tree", {"a": used(), "b": used()})
    other = {"a": full(), "b": Table(Segment(3, "sgd", learning_rate=1))}
    with pytest.raises(errors.StateError, match="b/segments"):
        so.load(tmp_path / "tree", into=other)
    assert not len(other["a"])


def test_every_difference_is_listed() -> None:
    one = Table([Segment(4, "adagrad", learning_rate=1), Segment(2, "sgd", learning_rate=1)], seed=1)
    two = Table(
        [
            Segment(3, "adam", learning_rate=1, beta1=0.5, initializer=RandomUniform(), clock="table"),
            Segment(2, "sgd", learning_rate=7, weight_decay=0.1, decay="decoupled_global", compressor="fp16"),
        ],
        seed=2,
    )
    one.assign([5], np.ones((1, 6)))
    two.assign([6], np.ones((1, 5)))
    before = everything(two)
    with pytest.raises(errors.StateError) as caught:
        two.load_state_dict(one.state_dict())
    text = str(caught.value)
    facts = (
        "dim is 3 here, the state has 4|rule is 'adam_update' here|clock is|initializer is|weight_decay is"
    )
    facts += "|decay is|compressor is 'Fp16()' here|attributes/beta1|0/mean|1/decayed|seed is 2 here"
    for fact in facts.split("|"):
        assert fact in text, fact
    assert "learning_rate" not in text  # a run may go on with another
    assert everything(two) == before


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rows": 3}, "list of blocks"),
        ({"steps": -1}, "count"),
        ({"segments": []}, "how many"),
        ({"numbers": [1]}, "how many"),
        ({"format": "other"}, "format"),
        ({"version": 2}, "version"),
        ({"free": np.array([0])}, "slots: 0 is there 2 times"),
        ({"free": np.zeros((1, 1))}, "vector"),
        ({"numbers": [{"log": 1.0, "scale": 1.0, "products": {}}] * 4}, "logarithm"),
    ],
    ids=str,
)
def test_damaged_states(change: dict[str, Any], line: str) -> None:
    table, state = full(), used().state_dict()
    if "free" in change and change["free"].ndim == 1:
        state["rows"] = [{**state["rows"][0], "slot": np.arange(len(state["rows"][0]["slot"]))}]
    with pytest.raises(errors.StateError, match=line):
        table.load_state_dict({**state, **change})
    assert everything(table) == everything(full())


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("id", np.zeros(3, np.int64), "there twice"),
        ("0/weight", np.zeros((3, 3), np.float32), "expected float32"),
        ("0/weight", "no", "str"),
        ("id", np.zeros(3, np.int32), "expected int64"),
        ("updates", np.full(3, 0xFFFFFFFF, np.uint32), "no number of updates"),
    ],
)
def test_damaged_rows(name: str, value: Any, line: str) -> None:
    table = plain()
    table.assign([1, 2, 3], np.zeros((3, DIM)))
    state = table.state_dict()
    state["rows"] = [{**state["rows"][0], name: value}]
    fresh = plain()
    with pytest.raises(errors.StateError, match=line):
        fresh.load_state_dict(state)
    assert not len(fresh)


def test_not_strict() -> None:
    table, state = plain(), used().state_dict()
    with pytest.raises(errors.StateError, match="admission: only in the state"):
        table.load_state_dict(state)
    found = table.load_state_dict(state, strict=False)
    assert set(found.unexpected) == {"admission", "touched", "sent"}
    assert rows_of(table) == rows_of(used())
    tracking = full()
    found = tracking.load_state_dict(table.state_dict(), strict=False)
    assert set(found.missing) == {"admission", "touched", "sent"}
    assert not tracking.take_delta().complete  # nobody knows what was sent


def test_a_missing_column_is_as_in_a_new_row() -> None:
    table = used()
    state = table.state_dict()
    state["rows"] = [{n: x for n, x in state["rows"][0].items() if n != "1/history"}]
    fresh = full()
    assert fresh.load_state_dict(state, strict=False).missing == ["rows/0/1/history"]
    for id_, row in rows_of(table).items():
        own = rows_of(fresh)[id_]
        assert own.pop("1/history") == b"\0" * 4 != row.pop("1/history")
        assert own == row


def test_limits_and_thresholds_are_no_state() -> None:
    table = full(admission=Admission(3), expiry=Expiry(9), max_rows=50, track=20, missing="raise")
    table.load_state_dict(used().state_dict())
    assert table.admission is not None and table.admission.threshold == 3
    with pytest.raises(errors.StateError, match="max_rows is 2 here"):
        full(max_rows=2, policy=None).load_state_dict(used().state_dict())


def test_copies_are_apart() -> None:
    table = used()
    other = copy.deepcopy(table)
    before = everything(table)
    drive(other, [("apply", [1, 2, 3], 5), ("evict", [2], 0)])
    assert everything(table) == before
    assert other.name == table.name and other.stats != table.stats


def test_state_views_or_copies() -> None:
    table = plain()
    table.assign([1, 2, 3], np.ones((3, DIM)))
    assert np.shares_memory(table.state_dict()["rows"][0]["0/weight"], table._rows.store.records)
    table.evict([2])
    block = table.state_dict()["rows"][0]
    assert block["id"].tolist() == [1, 3] and block["slot"].tolist() == [0, 2]

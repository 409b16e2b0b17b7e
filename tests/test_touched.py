"""Which ids changed since the last export: a model, overflow, failed exports, states."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_golden import FACTS
from hypothesis import given, settings
from hypothesis import strategies as st

import symopt as so
from symopt import errors
from symopt.embedding.touched import TouchedSet
from symopt.state import Differences, load_state

IDS = st.lists(st.integers(-4, 12), max_size=6)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "evicted", "take", "fail"]), IDS), max_size=25)


class Model:
    """A dict from id to whether it is gone, in order of first touch; None after an overflow."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.ids: dict[int, bool] | None = {}

    def note(self, ids: list[int], is_gone: bool) -> None:
        if self.ids is not None:
            self.ids.update(dict.fromkeys(ids, is_gone))
            if len(self.ids) > self.capacity:
                self.ids = None

    def told(self) -> tuple[list[int], list[int], bool]:
        held = self.ids or {}
        return [i for i in held if not held[i]], [i for i in held if held[i]], self.ids is not None


def told(touched: TouchedSet) -> tuple[list[int], list[int], bool]:
    delta = touched.take()
    touched.put_back(delta)
    return delta.ids.tolist(), delta.gone.tolist(), delta.complete


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 14))
def test_what_happened_last_counts(steps: Any, capacity: int) -> None:
    touched, model = TouchedSet(capacity), Model(capacity)
    for step, ids in steps:
        if step == "take":
            delta = touched.take()
            assert (delta.ids.tolist(), delta.gone.tolist(), delta.complete) == model.told()
            model.ids = {}
        elif step == "fail":  # an export that fails while more is written
            delta = touched.take()
            touched.add(np.array(ids, np.int64))
            touched.put_back(delta)
            model.note(ids, False)
            assert [set(x) for x in told(touched)[:2]] == [set(x) for x in model.told()[:2]]
            held, gone, _ = told(touched)
            model.ids = model.ids and dict.fromkeys(held, False) | dict.fromkeys(gone, True)
        else:
            getattr(touched, step)(np.array(ids, np.int64))
            model.note(ids, step == "evicted")
        assert touched.complete == (model.ids is not None)
        assert len(touched) == len(model.ids or ())


def test_overflow_is_said_where_monolith_drops() -> None:
    """Monolith's set reports the dropped keys to whoever inserts, and goes on with the rest of the batch."""
    fact = FACTS["touched.overflow"]
    touched = TouchedSet(fact["capacity"])
    for n, n_dropped, n_held in fact["inserts"]:
        touched.add(np.arange(n))
        assert touched.complete == (n_dropped == 0)
        assert len(touched) == (n_held if n_dropped == 0 else 0)
    touched.add(np.array([5]))  # nothing is remembered half
    delta = touched.take()
    assert (len(delta.ids), len(delta.gone), delta.complete) == (0, 0, False)
    assert touched.complete


def test_as_many_as_the_capacity_fit() -> None:
    touched = TouchedSet(1000)
    for begin in range(0, 1000, 7):
        touched.add(np.arange(begin, min(begin + 7, 1000)))
    assert 9 * 1000 <= touched.memory_bytes() <= 64 * 1000
    assert touched.take().ids.tolist() == list(range(1000))


def test_a_delta_is_not_changed_by_what_comes_later() -> None:
    touched = TouchedSet()
    touched.add(np.array([1, 2]))
    delta = touched.take()
    touched.evicted(np.array([8, 9]))
    assert delta.ids.tolist() == [1, 2]


def test_an_incomplete_delta_that_was_not_sent_stays_incomplete() -> None:
    touched = TouchedSet(2)
    touched.add(np.arange(3))
    delta = touched.take()
    touched.add(np.array([1]))
    touched.put_back(delta)
    assert not touched.take().complete


@pytest.mark.parametrize("n", [0, 3, 30])
def test_a_saved_set_goes_on(n: int, tmp_path: Path) -> None:
    one, other = TouchedSet(20), TouchedSet(20)
    one.add(np.arange(n) - 2)
    one.evicted(np.arange(n)[:2])
    other.add(np.array([77]))
    so.save(tmp_path / "saved", one)
    so.load(tmp_path / "saved", into=other)
    assert told(other) == told(one)


def test_a_smaller_set_that_loads_too_much_says_so() -> None:
    one, other = TouchedSet(20), TouchedSet(5)
    one.add(np.arange(10))
    load_state(other, one.state_dict(), True, "this set")
    assert not other.complete


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ids": np.zeros(3)}, "expected a vector of int64, the state has float64"),
        ({"gone": np.zeros(3, np.bool_)}, "3 entries for 2 ids"),
        ({"overflowed": 3}, "expected True or False"),
    ],
)
def test_a_damaged_state_changes_nothing(changed: dict[str, Any], said: str) -> None:
    touched = TouchedSet()
    touched.add(np.array([1, 2]))
    with pytest.raises(errors.StateError, match=said):
        load_state(touched, touched.state_dict() | changed, True, "this set")
    assert len(touched) == 2


def test_what_a_state_lacks_stays() -> None:
    touched = TouchedSet()
    touched.add(np.array([1, 2]))
    found = Differences()
    touched.plan_load({}, found)()
    assert len(found.missing) == 3
    assert len(touched) == 2


@pytest.mark.parametrize("capacity", [0, -1, True])
def test_a_capacity_of_nothing(capacity: int) -> None:
    with pytest.raises(errors.AttributeValueError, match="capacity"):
        TouchedSet(capacity)

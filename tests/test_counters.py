"""Counts of ids: a bound that forgets what was seen longest ago, states that are damaged, sums by id."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt.embedding.admission import Admission
from symopt.embedding.counters import MOST, ExactCounters
from symopt.embedding.repeats import earlier
from symopt.state import Differences

Array = np.ndarray[Any, np.dtype[Any]]


class Generations:
    """ExactCounters with a bound, id by id."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.young: dict[int, int] = {}
        self.old: dict[int, int] = {}

    def add(self, batch: list[tuple[int, int]]) -> list[int]:
        sums: dict[int, int] = {}
        for id_, count in batch:
            sums[id_] = sums.get(id_, 0) + count
        before = {}
        for id_, total in sums.items():
            before[id_] = self.young.get(id_, self.old.get(id_, 0))
            self.young[id_] = before[id_] + total
            if len(self.young) >= self.room:
                self.young, self.old = {}, self.young
        olds = []
        for id_, count in batch:
            olds.append(before[id_])
            before[id_] += count
        return olds


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 3)), max_size=25), max_size=10),
    st.integers(2, 16),
)
def test_bounded_counts_forget_what_was_seen_longest_ago(batches: Any, capacity: int) -> None:
    counters, expected = ExactCounters(capacity), Generations(capacity // 2)
    for batch in batches:
        ids, counts = (np.array([x[k] for x in batch], np.int64) for k in (0, 1))
        assert counters.add(ids, counts).tolist() == expected.add(batch)
        assert len(counters) <= capacity
        everyone = range(21)
        held = [expected.young.get(i, expected.old.get(i, 0)) for i in everyone]
        assert counters.count(np.array(everyone)).tolist() == held


def test_exact_counts_stop_at_their_dtype() -> None:
    counters, ids = ExactCounters(), np.array([7])
    for old in (0, MOST - 1, MOST, MOST):
        assert counters.add(ids, np.array([MOST - 1 if old == 0 else 9])).tolist() == [old]
    assert Admission(MOST).threshold == MOST


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-9, 9)), max_size=30))
def test_sums_of_earlier_entries(entries: list[tuple[int, int]]) -> None:
    totals, expected = [0] * 6, []
    for place, number in entries:
        expected.append(totals[place])
        totals[place] += abs(number)
    inverse = np.array([place for place, _ in entries], np.int64)
    numbers = np.array([abs(number) for _, number in entries], np.int64)
    for engine in ("native", "reference"):
        assert earlier(inverse, numbers, engine).tolist() == expected


@pytest.mark.parametrize(
    "entries",
    [
        {"ids": np.zeros(2, np.int64), "counts": np.zeros(3, np.uint32)},
        {"ids": np.zeros(2, np.float64), "counts": np.zeros(2, np.uint32)},
        {"ids": np.zeros((2, 1), np.int64), "counts": np.zeros(2, np.uint32)},
    ],
)
def test_damaged_counts_change_nothing(entries: dict[str, Array]) -> None:
    counters = ExactCounters()
    counters.add(np.array([4]), np.ones(1, np.int64))
    found = Differences()
    counters.plan_load({"young": entries, "old": counters.state_dict()["old"]}, found, "counts")
    assert found.different
    assert counters.count(np.array([4])).tolist() == [1]

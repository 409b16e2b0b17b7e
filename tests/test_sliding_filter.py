"""Monolith's sliding filter: native code does what Python does, counts are right as often as they should be."""

from typing import Any

import numpy as np
import pytest
from embedding_golden import FACTS
from hypothesis import given, settings
from hypothesis import strategies as st

from symopt import errors
from symopt.embedding.sliding import SlidingFilter
from symopt.embedding.slidingcode import FULLEST
from symopt.state import Differences, load_state

Array = np.ndarray[Any, np.dtype[Any]]
engines = pytest.mark.parametrize("engine", ["native", "reference"])


def same(one: SlidingFilter, other: SlidingFilter) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(np.array_equal(first[name], second[name]) for name in first)


@engines
def test_saturates_as_in_monolith(engine: str) -> None:
    fact = FACTS["filter.saturates"]
    seen = SlidingFilter(1, engine=engine)
    ids, counts = np.array(fact["adds"]).T
    assert seen.add(ids, counts).tolist() == fact["old"]
    assert seen.count(ids[:1]).tolist() == [fact["final"]]


@pytest.mark.parametrize("splits", [5, 7, 10])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([10, 300, 2000, 2**62]), n=st.integers(1, 900))
def test_engines_agree(splits: int, seed: int, spread: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    native, python = (SlidingFilter(300, splits, engine) for engine in ("native", "reference"))
    for _ in range(4):
        ids, counts = rng.integers(-spread, spread, n), rng.integers(1, 20, n)
        told = native.count(ids)
        assert told.tolist() == python.count(ids).tolist()
        olds = native.add(ids, counts)
        assert olds.tolist() == python.add(ids, counts).tolist()
        assert same(native, python)
        assert told[0] == olds[0]


def test_engines_agree_where_no_cell_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells that are full although their splits are not: an id without room is admitted."""
    both = [SlidingFilter(300, engine=engine) for engine in ("native", "reference")]
    for seen in both:
        seen._cells[:2] = 0xFFF1  # a signature that none of these ids has
    ids = np.arange(50)
    assert not (both[0]._hashed(ids)[1] == 0xFFF).any()
    for seen in both:
        assert seen.count(ids).tolist() == [FULLEST] * 50
        assert seen.add(ids, np.ones(50, np.int64)).tolist() == [FULLEST] * 50
        assert seen.failures == 50
        assert len(seen) == 0


@pytest.mark.parametrize(("capacity", "expected"), [(200_000, 0.00908), (100_000, 0.50)])
def test_as_many_counts_are_wrong_as_in_monolith(capacity: int, expected: float) -> None:
    """sliding_hash_filter_test.cc: 1 % with as many ids as capacity, half with twice as many; there with 10^6 ids."""
    seen = SlidingFilter(capacity, splits=10)
    ids = np.random.default_rng(1).integers(0, 2**31, 200_000)
    seen.add(ids, np.full(len(ids), 2))
    distinct, times = np.unique(ids, return_counts=True)
    error = (seen.count(distinct) != 2 * times).mean()
    assert abs(error - expected) < expected / 2
    assert seen.failures < len(ids) / 10000


def test_small_ids_have_signatures_of_their_own() -> None:
    """Monolith's signature is a part of the id, the same for all ids below 2**17."""
    _, signatures = SlidingFilter(1000)._hashed(np.arange(4096))
    assert len(np.unique(signatures)) > 2400  # of 4096 drawn from 4096: 1 - 1/e


def test_memory_is_what_was_promised() -> None:
    assert SlidingFilter(1_000_000).memory_bytes() < 2.81 * 1_000_000
    assert SlidingFilter().capacity == 10_000_000


def test_a_damaged_head_is_refused() -> None:
    """Native code goes where the head says."""
    seen = SlidingFilter(300)
    for at, value in ((0, 7), (0, -1), (1, -1), (4, -5)):
        state = seen.state_dict() | {"numbers": seen.state_dict()["numbers"].copy()}
        state["numbers"][at] = value
        with pytest.raises(errors.StateError, match="no numbers that this filter could have"):
            load_state(seen, state, True, "this filter")


def test_another_size_does_not_take_the_state() -> None:
    found = Differences()
    SlidingFilter(3000).plan_load(SlidingFilter(5000, 9).state_dict(), found)
    assert len(found.different) == 4  # capacity, splits, and the shapes of both arrays


@pytest.mark.parametrize("options", [{"capacity": 0}, {"capacity": 2**32}, {"splits": 4}, {"engine": "fast"}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(errors.AttributeValueError, match=str(*options.values())):
        SlidingFilter(**options)

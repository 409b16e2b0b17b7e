"""Simulated loads of shards, and simulated waiting for the slowest of them."""

import numpy as np
import pytest

from symopt.errors import AttributeValueError
from symopt.scale import distinct, simulate_skew, simulate_staleness, skew_text, staleness_text
from symopt.scale.skew import draw

IDS = 300_000


@pytest.mark.parametrize("exponent", [0.7, 1.05, 1.5])
def test_draws_have_the_probabilities_of_zipf(exponent: float) -> None:
    """Of the continuous distribution: the part below k is that of its integral."""
    rows, n = 10**6, 200_000
    found = draw(np.random.default_rng(1), n, exponent, rows)
    assert found.dtype == np.int64 and found.min() >= 0 and found.max() < rows
    power = 1 - exponent
    for below in (1, 3, 100, 10_000):
        expected = ((below + 1) ** power - 1) / ((rows + 1) ** power - 1)
        assert (found < below).mean() == pytest.approx(expected, abs=5 * np.sqrt(expected / n))


def test_buckets_are_even_where_ranges_and_repeats_are_not() -> None:
    for exponent in (1.05, 1.2):
        few, many = simulate_skew(exponent, (16, 256), ids=IDS)
        assert few.by_bucket < 1.1 and many.by_bucket < 1.25
        for each in (few, many):
            assert each.ids == IDS > each.distinct
            assert each.raw_by_range > 0.5 * each.shards and each.by_range > 0.3 * each.shards
            assert each.raw_by_bucket > 1.5 * each.by_bucket


def test_remainders_depend_on_what_ids_look_like_and_buckets_do_not() -> None:
    plain, strided = (simulate_skew(1.05, (64,), ids=IDS, stride=stride)[0] for stride in (1, 64))
    assert plain.by_remainder < 1.1 and strided.by_remainder == 64
    assert plain.by_bucket < 1.1 and strided.by_bucket < 1.1


def test_each_worker_adds_up_what_repeats_in_its_batch() -> None:
    apart, whole = (simulate_skew(1.2, (16,), ids=IDS, batch=batch)[0] for batch in (1000, None))
    assert whole.distinct < apart.distinct < IDS
    assert whole.by_bucket < apart.by_bucket < apart.raw_by_bucket


def test_the_same_every_time() -> None:
    assert simulate_skew(1.05, (8,), ids=1000) == simulate_skew(1.05, (8,), ids=1000)
    assert simulate_skew(1.05, (8,), ids=1000) != simulate_skew(1.05, (8,), ids=1000, seed=1)
    assert distinct(5000, 1.05) == distinct(5000, 1.05) < 5000 == distinct(5000, 0.01)
    assert simulate_staleness(9, 1, steps=50) == simulate_staleness(9, 1, steps=50)
    lines = skew_text(simulate_skew(1.05, (8, 16), ids=1000)).splitlines()
    assert len(lines) == 4 and lines[2].split()[:2] == ["1.05", "8"]


KNOWN = {
    4: (1.27, 1.04, 1.02, 1.01, 1.00),
    64: (1.76, 1.15, 1.08, 1.04, 1.02),
    1024: (2.20, 1.28, 1.14, 1.07, 1.05),
}


@pytest.mark.parametrize("shards", KNOWN)
def test_waiting_for_the_slowest_shard(shards: int) -> None:
    """Figures of another simulation; the first is also the mean of the largest of so many lognormal numbers."""
    found = [simulate_staleness(shards, s, steps=500) for s in (0, 1, 2, 4, 8)]
    assert found == pytest.approx(KNOWN[shards], abs=0.04)
    rng = np.random.default_rng(5)
    assert found[0] == pytest.approx(
        rng.lognormal(-1 / 32, 0.25, (3000, shards)).max(axis=1).mean(), rel=0.03
    )
    assert found == sorted(found, reverse=True)


def test_nobody_waits_where_all_take_as_long_or_there_is_one() -> None:
    assert simulate_staleness(100, jitter=0) == 1
    assert simulate_staleness(1, 0) == pytest.approx(simulate_staleness(1, 5)) == pytest.approx(1, abs=0.02)
    assert staleness_text((2,), (0, 1), jitter=0).split() == ["shards", "s=0", "s=1", "2", "1.00", "1.00"]


@pytest.mark.parametrize("exponent", [0, 1, -1, 11, "1"])
def test_exponents_that_are_none(exponent: float) -> None:
    with pytest.raises(AttributeValueError, match="exponent"):
        simulate_skew(exponent, ids=10)


def test_other_numbers_that_are_none() -> None:
    for call in (
        lambda: simulate_skew(1.1, ids=0), lambda: simulate_skew(1.1, (0,), ids=5), lambda: distinct(0, 1.1),
        lambda: simulate_skew(1.1, ids=5, stride=10**8), lambda: simulate_staleness(0),
        lambda: simulate_staleness(1, -1), lambda: simulate_staleness(1, jitter=-1.0),
    ):  # fmt: skip
        with pytest.raises(AttributeValueError):
            call()

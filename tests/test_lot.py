"""Admission by lot: as often as in Monolith, and whatever else is in the batch."""

from typing import Any

import numpy as np
import pytest
from embedding_golden import FACTS

from symopt.embedding.admission import Admission
from symopt.embedding.chance import Lot

Array = np.ndarray[Any, np.dtype[Any]]


def drawn(lot: Lot, *batch: Any) -> Array:
    judged = lot.judge(*batch)
    judged.commit()
    return judged.admitted


@pytest.mark.parametrize("seed", [0, -1, 2**64 - 1])
def test_as_often_as_in_monolith(seed: int) -> None:
    fact = FACTS["filter.probabilistic"]
    n, threshold = fact["trials"], fact["threshold"]
    chance = 1 - fact["equal_epsilon"] ** (1 / threshold)
    lots = {
        kind: Admission(threshold, filter=kind, seed=seed) for kind in ("probabilistic", "probabilistic_even")
    }
    for (count, expected, tolerance), wide in zip(fact["unequal"], fact["equal_tol"]):
        counts = np.full(n, count)
        assert abs(lots["probabilistic"].admit(np.arange(n), counts).sum() - expected) <= tolerance
        even = lots["probabilistic_even"].admit(np.arange(n), counts).sum()
        assert abs(even - n * (1 - (1 - chance) ** count)) <= min(wide, 5 * n**0.5)


@pytest.mark.parametrize("even", [False, True])
def test_neither_order_nor_neighbours_matter(even: bool) -> None:
    ids, counts, thresholds = np.arange(1000), np.ones(1000, np.int64), np.full(1000, 3)
    whole, part = Lot(even, 5), Lot(even, 5)
    for _ in range(3):
        first = drawn(whole, ids, counts, thresholds)
        assert (drawn(part, ids[::-3], counts[::-3], thresholds[::-3]) == first[::-3]).all()
    assert (first != drawn(whole, ids, counts, thresholds)).any()  # each call draws anew


def test_the_even_lot_has_admitted_most_by_the_threshold() -> None:
    ids = np.repeat(np.arange(20000), 5)
    admitted = drawn(Lot(True), ids, None, np.array(5)).reshape(-1, 5)
    assert (np.diff(admitted.astype(int), axis=1) >= 0).all()  # all from the first admitted on
    assert abs(admitted[:, -1].mean() - 0.95) < 0.01
    assert abs(admitted[:, 0].mean() - (1 - 0.05**0.2)) < 0.015

"""Ids that come more than once in a batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .slots import Ids

Counts = npt.NDArray[np.int64]


def earlier(ids: Ids, counts: Counts | None = None) -> Counts:
    """For each entry, the sum of the counts of the entries before it that have the same id; a count is 1 if not given.

    >>> earlier(np.array([7, 5, 7, 7]), np.array([10, 1, 2, 4])).tolist()
    [0, 0, 10, 12]
    """
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    ones = np.ones(len(ids), np.int64) if counts is None else counts[order]
    before = np.cumsum(ones) - ones
    begins = np.concatenate([[True], sorted_ids[1:] != sorted_ids[:-1]])[: len(ids)]
    result = np.empty_like(before)
    result[order] = before - np.maximum.accumulate(np.where(begins, before, 0))  # sums never fall
    return result

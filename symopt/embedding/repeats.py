"""Ids that come more than once in a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..backends.jit import compile_written
from ..codegen.functions import Function
from ..idmap import unique
from ..idmap.given import chosen_engine
from .slots import Ids

Counts = npt.NDArray[np.int64]


class Repeats(NamedTuple):
    """A batch by id: the distinct ids (k,) in order of first occurrence, the sum (k,) of each one's counts, where in
    them each entry (n,) is, and the sum (n,) of the counts of the entries before it that have the same id."""

    ids: Ids
    sums: Counts
    inverse: Counts
    earlier: Counts


def repeats(ids: Ids, counts: Counts | None = None, engine: str = "auto") -> Repeats:
    """What a batch (n,) has of each id. Counts (n,) are of distinct ids; without them each entry counts once.

    >>> repeats(np.array([7, 5, 7, 7])).earlier.tolist()
    [0, 0, 1, 2]
    """
    if counts is not None:
        return Repeats(ids, counts, np.arange(len(ids)), np.zeros(len(ids), np.int64))
    found = unique(ids, engine=engine)
    return Repeats(
        found.ids, found.counts, found.inverse, earlier(found.inverse, np.ones(len(ids), np.int64), engine)
    )


def earlier(inverse: Counts, numbers: Counts, engine: str = "auto") -> Counts:
    """For each entry (n,), the sum of the numbers (n,) of those before it that have the same place in `inverse` (n,).

    >>> earlier(np.array([0, 1, 0, 0]), np.array([10, 1, 2, 4])).tolist()
    [0, 0, 10, 12]
    """
    inverse, numbers = np.ascontiguousarray(inverse), np.ascontiguousarray(numbers, np.int64)
    result = np.empty(len(inverse), np.int64)
    if chosen_engine(engine) == "native":
        totals = np.zeros(inverse.max(initial=-1) + 1, np.int64)
        arrays = (inverse, numbers, totals, result)
        _compiled()(*(x.ctypes.data for x in arrays), len(inverse))
        return result
    order = np.argsort(inverse, kind="stable")
    places = inverse[order]
    before = np.cumsum(numbers[order]) - numbers[order]
    begins = np.diff(places, prepend=-1) != 0
    result[order] = before - np.maximum.accumulate(np.where(begins, before, 0))  # sums never fall
    return result


@cache
def _compiled() -> Callable[..., None]:
    f = Function("earlier", inverse="i64[]", numbers="i64[]", totals="i64[]", result="i64[]", n="i64")
    inverse, numbers, totals, result, n = f.parameters
    with f.loop(n) as i:
        place = inverse[i]
        result[i] = totals[place]
        totals[place] = totals[place] + numbers[i]
    return compile_written(f)["earlier"]

"""Which rows leave a table that is full."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..errors import AttributeValueError, DTypeError, ShapeError, TooLateError, near
from ..places import HOST, place_of_array
from .slots import Ids

Rows = Mapping[str, Array]
Score = Callable[[Rows], npt.ArrayLike]
Positions = npt.NDArray[np.int64]


class Policy:
    """Which rows leave when `max_rows` is reached: those with the lowest score; among equals, those with the lowest id.

    `by`: "least_recent" (the time of the last write), "least_frequent" (how many updates), "small_norm" (the sum of
    squares of the weights), or a function of the rows that gives a number for each, or True for those that should stay.
    Rows are a dict of columns: "id" (n,), "timestamp" (n,), "updates" (n,), "weight" (n, dim), on the host or on a GPU;
    a function gets them as they are. Those in `reads` are enough. nan is lower than any number.

    Scores of all rows are looked at, so rows leave in groups: at least the share `slack` of `max_rows`. An inserted row
    then costs the look at 1 / slack rows, and a table is between 1 - slack and full.

    >>> import numpy as np
    >>> policy = Policy("least_recent", slack=0.0)
    >>> rows = {"id": np.array([30, 20, 10]), "timestamp": np.array([5, 9, 5])}
    >>> n = policy.excess(n_rows=3, n_new=1, max_rows=3)
    >>> policy.victims(n, rows).tolist()  # rows 0 and 2 are the oldest, and 10 < 30
    [2]
    """

    def __init__(self, by: str | Score = "least_recent", slack: float = 0.05) -> None:
        if not callable(by) and by not in _SCORES:
            raise AttributeValueError(
                f"by = {by!r} must be a function or one of {', '.join(map(repr, _SCORES))}{near(str(by), _SCORES)}"
            )
        if not 0 <= slack < 1:
            raise AttributeValueError(f"slack = {slack!r} must be in [0, 1)")
        self.by, self.slack = by, float(slack)
        self._score: Score = by if callable(by) else _SCORES[by]
        #: The columns that it looks at.
        self.reads = ("id", _READS[by]) if isinstance(by, str) else ("id", *_READS.values())

    def excess(self, n_rows: int, n_new: int, max_rows: int, n_protected: int = 0) -> int:
        """How many of `n_rows` rows must leave so that `n_new` can come: 0 if they fit, else `slack` at least.

        `n_protected`: how many of the rows may not leave, because the batch needs them. TooLateError if a batch needs
        more rows than there may be.
        """
        needed = n_rows + n_new - max_rows
        if needed <= 0:
            return 0
        free = n_rows - n_protected
        if needed > free:
            raise TooLateError(
                f"this batch needs {n_protected + n_new} rows at once, and max_rows is {max_rows}: "
                "make the batch smaller, or max_rows larger"
            )
        return min(max(needed, math.ceil(self.slack * max_rows)), free)

    def scores(self, rows: Rows) -> Array:
        """The score of each row: (n,)."""
        found = _on_host(self._score(rows))
        if found.shape != rows["id"].shape:
            raise ShapeError(
                f"{self!r}: expected a score for each of {len(rows['id'])} rows, got shape {found.shape}"
            )
        if found.dtype.kind not in "biuf":
            raise DTypeError(f"{self!r}: scores must be numbers, got {found.dtype}")
        return found

    def victims(self, n: int, rows: Rows, protect: npt.NDArray[np.bool_] | None = None) -> Positions:
        """The positions, ascending, of the `n` rows that leave; never of those where `protect` (n_rows,) is True."""
        return victims(n, self.scores(rows), _on_host(rows["id"]), protect)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.by, self.slack)

    def __repr__(self) -> str:
        by = self.by if isinstance(self.by, str) else getattr(self.by, "__name__", type(self.by).__name__)
        return f"Policy({by!r}, slack={self.slack:g})"


def victims(n: int, scores: Array, ids: Ids, protect: npt.NDArray[np.bool_] | None = None) -> Positions:
    """The positions, ascending, of the `n` lowest scores; of equal scores those of the lowest ids. O(rows).

    Scores (rows,) are numbers, nan is the lowest; ids (rows,) are distinct; `protect` (rows,): not these.

    >>> import numpy as np
    >>> victims(2, np.array([1.0, 0.5, 1.0]), np.array([9, 8, -7])).tolist()
    [1, 2]
    """
    if protect is not None:
        free = np.flatnonzero(~protect)
        return free[victims(n, scores[free], ids[free])]
    if not 0 <= n <= len(ids):
        raise AttributeValueError(f"n = {n} must be from 0 to {len(ids)}: so many rows may leave")
    if n == 0:
        return np.empty(0, np.int64)
    scores = np.ascontiguousarray(scores)  # in records they lie far apart, and are read three times
    if scores.dtype.kind == "f":
        scores = np.where(np.isnan(scores), -np.inf, scores)
    bound = np.partition(scores, n - 1)[n - 1]
    below, equal = np.flatnonzero(scores < bound), np.flatnonzero(scores == bound)
    wanted = n - len(below)
    lowest = np.argpartition(ids[equal], wanted - 1)[:wanted]
    return np.sort(np.concatenate([below, equal[lowest]]))


def matching(rows: Rows, where: Callable[[Rows], npt.ArrayLike]) -> Positions:
    """The positions of the rows for which a function of the rows' columns says True: (n,) booleans.

    >>> import numpy as np
    >>> matching({"id": np.array([4, 5, 6])}, lambda rows: rows["id"] > 4).tolist()
    [1, 2]
    """
    found = _on_host(where(rows))
    if found.dtype != np.bool_:
        raise DTypeError(f"where: expected True or False for each row, got {found.dtype}")
    if found.shape != rows["id"].shape:
        raise ShapeError(
            f"where: expected an answer for each of {len(rows['id'])} rows, got shape {found.shape}"
        )
    return np.flatnonzero(found)


def _on_host(x: npt.ArrayLike) -> Array:
    """An array as NumPy's; columns may lie on a GPU."""
    place = place_of_array(x)
    return np.asarray(x) if place is HOST else place.to_host(cast(Array, x))


def _squares(rows: Rows) -> Array:
    """The sum of squares of each row's weights, in float64; some rows at a time, since they may be many."""
    weight = rows["weight"]
    result = np.empty(len(weight), np.float64)
    for begin in range(0, len(weight), _AT_ONCE):
        part = _on_host(weight[begin : begin + _AT_ONCE]).astype(np.float64, order="C")
        np.einsum("ij,ij->i", part, part, out=result[begin : begin + _AT_ONCE])
    return result


_AT_ONCE = 4096
_READS = {"least_recent": "timestamp", "least_frequent": "updates", "small_norm": "weight"}
_SCORES: dict[str, Score] = {
    "least_recent": lambda rows: rows["timestamp"],
    "least_frequent": lambda rows: rows["updates"],
    "small_norm": _squares,
}

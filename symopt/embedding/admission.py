"""Which ids get a row: those that were seen often enough, or that chance prefers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, ShapeError, near
from ..given import Given
from ..idmap.given import as_ids
from ..state import Commit, Differences
from .chance import Lot
from .counters import MOST, ExactCounters
from .judged import Judged
from .sliding import SlidingFilter
from .slidingcode import FULLEST
from .slots import Ids, PerSlot, slot_of

__all__ = ["Admission", "slot_of"]

Counts = npt.NDArray[np.int64]


class _Filter(Protocol):
    """What an Admission asks about ids whose threshold is above 0."""

    def judge(self, ids: Ids, counts: Counts | None, thresholds: Counts) -> Judged: ...
    def forget(self, ids: Ids) -> None: ...
    def memory_bytes(self) -> int: ...
    def state_dict(self) -> dict[str, Any]: ...
    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit: ...


class Admission:
    """Lets an id have a row when it was seen `threshold` times before; until then its gradients are dropped.

    `threshold`: 0 admits at once. `slot_thresholds`: for feature slots where another holds. `filter`: what counts.

    * "exact": every id has a count of its own (`ExactCounters`). `capacity`: how many ids at most, those seen longest
      ago are forgotten; None: no limit, and memory grows with the number of ids that are never admitted.
    * "monolith": Monolith's sliding filter of 16 bits an id (`SlidingFilter`), made for `capacity` ids (None: ten
      million); thresholds to 15, where its counts stop. An error rate of 1 %.
    * "probabilistic", "probabilistic_even": no counts, a lot (`Lot`) with chance count / threshold, or such that each
      occurrence has the same chance and the `threshold`-th has admitted 95 %; `seed`.

    Ask it only about ids that have no row. It has no lock of its own.
    Thresholds belong to the configuration and are not in the state, so that they can be changed between runs.

    >>> import numpy as np
    >>> admission = Admission(threshold=2)
    >>> admission.admit(np.array([7, 7, 5, 7])).tolist()  # two were before the third 7
    [False, False, False, True]
    >>> counts = np.array([2, 3])  # gradients were summed: judged by what was before
    >>> admission.admit(np.array([5, 9]), counts).tolist()
    [False, False]
    >>> admission.admit(np.array([5, 9]), counts=np.array([1, 1])).tolist()
    [True, True]
    >>> admission.blocked
    8
    """

    def __init__(
        self,
        threshold: int = 0,
        slot_thresholds: Mapping[int, int] | None = None,
        filter: str = "exact",
        capacity: int | None = None,
        seed: int = 0,
        engine: str = "auto",
    ) -> None:
        if filter not in _MOST:
            raise AttributeValueError(
                f"filter = {filter!r} must be one of {', '.join(map(repr, _MOST))}{near(str(filter), _MOST)}"
            )
        self.filter, self._counted_by = filter, f"capacity={capacity}, seed={seed}"
        self._thresholds = PerSlot("threshold", threshold, slot_thresholds, MOST)
        if self._thresholds.largest > _MOST[filter]:
            raise AttributeValueError(
                f"threshold = {self._thresholds.largest}: the counts of filter={filter!r} stop at {_MOST[filter]}, "
                "so it would keep ids out for ever; use filter='exact'"
            )
        #: Occurrences that were not admitted, so far.
        self.blocked = 0
        self._counting = _filter(filter, capacity, seed, engine)

    @property
    def threshold(self) -> int:
        """The threshold of slots that have none of their own."""
        return self._thresholds.default

    @property
    def slot_thresholds(self) -> dict[int, int]:
        """The thresholds of slots that have their own."""
        return dict(self._thresholds.by_slot)

    def admit(self, ids: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> npt.NDArray[np.bool_]:
        """Count ids (n,) that have no row; which of them (n,) may have one.

        Without `counts` ids may repeat: entries are judged one after the other, so of an id that becomes known within
        the call the later entries are admitted and the earlier are not. With `counts` (n,), whole numbers from 1, ids
        are distinct: how often each comes in the batch; judged by what was counted before the batch.
        """
        judged = self.judge(ids, counts)
        judged.commit()
        return judged.admitted

    def judge(self, ids: npt.ArrayLike, counts: npt.ArrayLike | None = None) -> Judged:
        """What `admit` would say, and a function `commit` that counts: for batches that may still fail.

        Nothing else may be asked of this object between the two.
        """
        ids = as_ids(ids)
        given = None if counts is None else _checked(counts, ids)
        admitted = np.ones(len(ids), np.bool_)
        if self._thresholds.largest == 0 or not len(ids):
            return Judged(admitted, lambda: None)
        thresholds = np.broadcast_to(self._thresholds.of(ids), ids.shape)
        asked = np.flatnonzero(thresholds)
        given = None if given is None else given[asked]
        judged = self._counting.judge(ids[asked], given, thresholds[asked])
        admitted[asked] = judged.admitted
        dropped = ~judged.admitted
        blocked = int(dropped.sum() if given is None else given[dropped].sum())

        def commit() -> None:
            judged.commit()
            self.blocked += blocked

        return Judged(admitted, commit)

    def forget(self, ids: npt.ArrayLike) -> None:
        """Drop the counts of ids that have got a row without being asked about. Only "exact" can."""
        self._counting.forget(as_ids(ids))

    def memory_bytes(self) -> int:
        """Bytes of the counts."""
        return self._counting.memory_bytes()

    def state_dict(self) -> dict[str, Any]:
        """The counts, and which filter made them."""
        return {"filter": self.filter, "blocked": self.blocked, "counts": self._counting.state_dict()}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it: the filter must be the same, thresholds may differ."""
        given = Given(state, found, path)
        both = given.names({"filter": 0, "blocked": 0, "counts": 0})
        is_same = "filter" in both and found.compare(
            given.at("filter"), "filter", self.filter, given.get("filter")
        )
        blocked = given.count("blocked", self.blocked)
        has_counts = "counts" in both and (is_same or "filter" not in both)
        commit_counts = (
            self._counting.plan_load(given.get("counts"), found, given.at("counts")) if has_counts else None
        )

        def commit() -> None:
            self.blocked = blocked
            if commit_counts is not None:
                commit_counts()

        return commit

    def __repr__(self) -> str:
        return (
            f"Admission(threshold={self.threshold}, slot_thresholds={self.slot_thresholds}, filter={self.filter!r}, "
            f"{self._counted_by})"
        )


_MOST = {"exact": MOST, "monolith": FULLEST, "probabilistic": MOST, "probabilistic_even": MOST}


def _filter(kind: str, capacity: int | None, seed: int, engine: str) -> _Filter:
    if kind == "exact":
        return ExactCounters(capacity)
    if kind == "monolith":
        return SlidingFilter(engine=engine) if capacity is None else SlidingFilter(capacity, engine=engine)
    if capacity is not None:
        raise AttributeValueError(f"capacity = {capacity!r}: filter={kind!r} counts no ids, so it takes None")
    return Lot(kind == "probabilistic_even", seed)


def _checked(counts: npt.ArrayLike, ids: Ids) -> Counts:
    result = as_ids(counts, "counts")
    if result.shape != ids.shape:
        raise ShapeError(f"admit: {result.shape} counts for {ids.shape} ids")
    if len(result) and result.min() < 1:
        raise AttributeValueError("admit: counts must be at least 1")
    return result

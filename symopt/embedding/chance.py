"""Admission by lot: no memory of ids at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..state import Commit, Differences
from .judged import Judged
from .mixing import Words, mixed, uniform
from .repeats import Counts, earlier, repeats
from .slots import Ids

_MISSED = 0.05  # of the ids seen `threshold` times, how many the even lot has not admitted


class Lot:
    """Admits an id seen `count` times more by chance, so that the rare ones mostly stay out.

    With `even=False` the chance is count / threshold. With `even=True` each single occurrence has the chance
    q = 1 - 0.05 ** (1 / threshold), and count of them 1 - (1 - q) ** count: it makes no difference how occurrences are
    spread over calls, and 95 % of ids are admitted by their `threshold`-th. Monolith's probabilistic_filter.cc.

    The lot is drawn from (seed, id, number of the call, occurrence in the call), so it depends neither on the other ids
    of the call nor on threads, nor on shards that make the same calls. Of an id's occurrences in one call, all from the
    first that is admitted on are.
    """

    def __init__(self, even: bool, seed: int = 0) -> None:
        self.even, self.seed = even, seed
        self.calls = 0

    def judge(self, ids: Ids, counts: Counts | None, thresholds: Counts) -> Judged:
        """Which occurrences (n,) are admitted; thresholds (n,) or () from 1, counts (n,) of distinct ids or None."""
        batch = repeats(ids, counts)
        drawn = uniform(mixed(mixed(ids) ^ mixed(self._salt() + batch.earlier.view(np.uint64))))
        admitted = drawn < self._chance(np.int64(1) if counts is None else counts, thresholds)
        if counts is None:
            admitted |= earlier(batch.inverse, admitted.astype(np.int64)) > 0
        return Judged(admitted, self._count_call)

    def _count_call(self) -> None:
        self.calls += 1

    def _salt(self) -> Words:
        """A word (1,) for each (seed, call), far from each other so that occurrences can be added."""
        return mixed(mixed(np.array([self.seed % 2**64], np.uint64)) ^ np.uint64(self.calls))

    def _chance(self, counts: Counts | np.int64, thresholds: Counts) -> npt.NDArray[np.float64]:
        return 1 - _MISSED ** (counts / thresholds) if self.even else counts / thresholds

    def forget(self, ids: Ids) -> None:
        """Nothing: no id is remembered."""

    def memory_bytes(self) -> int:
        """0: no id is remembered."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """The seed and the number of calls."""
        return {"even": self.even, "seed": self.seed, "calls": self.calls}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it; takes over seed and calls."""
        both = found.names(path, self.state_dict(), state)
        if "even" in both:
            found.compare(f"{path}/even" if path else "even", "even", self.even, state["even"])

        def commit() -> None:
            self.seed = int(state["seed"]) if "seed" in both else self.seed
            self.calls = int(state["calls"]) if "calls" in both else self.calls

        return commit

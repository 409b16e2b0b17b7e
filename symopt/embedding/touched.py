"""Which ids changed since somebody last asked: what a delta export has to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..given import Given
from ..idmap import IdMap
from ..state import Commit, Differences
from .loading import vector
from .options import whole
from .slots import Ids


@dataclass(frozen=True, eq=False)
class Changes:
    """What changed: `ids` whose rows were written, `gone` whose rows left; no id is in both.

    `complete` is False if more ids changed than could be remembered: both are empty then, only a full export will do.
    """

    ids: Ids
    gone: Ids
    complete: bool


class TouchedSet:
    """The ids whose rows were written or left since the last `take`; at most `capacity`, by default 2**21.

    What happened last to an id counts. Ids come in the order in which they were first touched. On overflow all are
    dropped, and nothing is remembered until `take`, which then says that it is not complete. (Monolith's set of touched
    keys drops all, remembers again, and tells no one downstream.)

    >>> import numpy as np
    >>> touched = TouchedSet(capacity=3)
    >>> touched.add(np.array([7, 5]))
    >>> touched.evicted(np.array([5]))
    >>> touched.take()
    Changes(ids=array([7]), gone=array([5]), complete=True)
    >>> touched.add(np.array([1, 2, 3, 4]))
    >>> touched.take().complete
    False
    """

    def __init__(self, capacity: int = 1 << 21) -> None:
        self.capacity = whole("capacity", capacity, 1)
        self._slots = IdMap()  # 0, 1, 2, ... in order of first occurrence, since none is ever removed
        self._is_gone = np.empty(0, np.bool_)  # by slot
        self._overflowed = False

    def __repr__(self) -> str:
        said = "too many to tell" if self._overflowed else f"{len(self._slots)} ids"
        return f"<TouchedSet: {said}, of at most {self.capacity}>"

    def add(self, ids: Ids) -> None:
        """Rows of these ids, which may repeat, were written."""
        self._note(ids, is_gone=False)

    def evicted(self, ids: Ids) -> None:
        """Rows of these ids left the table."""
        self._note(ids, is_gone=True)

    def take(self) -> Changes:
        """What changed since the last time, and begin anew."""
        ids, is_gone = self._entries()
        changes = Changes(ids[~is_gone], ids[is_gone], not self._overflowed)
        self._clear()
        return changes

    def put_back(self, changes: Changes) -> None:
        """Remember again what could not be sent. What happened to its ids since then counts more."""
        later = self.take()
        if not (changes.complete and later.complete):
            self.overflow()
            return
        for part in (changes, later):
            self.add(part.ids)
            self.evicted(part.gone)

    def overflow(self) -> None:
        """Forget all: the next `take` says that it is not complete."""
        self._clear()
        self._overflowed = True

    def __len__(self) -> int:
        """How many ids are remembered."""
        return len(self._slots)

    @property
    def complete(self) -> bool:
        """Whether `take` would be complete."""
        return not self._overflowed

    def memory_bytes(self) -> int:
        """Bytes of the ids and of what finds them."""
        return self._slots.memory_bytes() + self._is_gone.nbytes

    def state_dict(self) -> dict[str, Any]:
        """The ids, which of them are gone, and whether there were too many."""
        ids, is_gone = self._entries()
        return {"ids": ids, "gone": is_gone, "overflowed": self._overflowed}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it. The capacity may be another: too many ids are an overflow."""
        given = Given(state, found, path)
        given.names({"ids": 0, "gone": 0, "overflowed": 0})
        ids, gone = vector(given, "ids", np.int64), vector(given, "gone", np.bool_)
        overflowed = given.flag("overflowed", self._overflowed)
        if len(ids) != len(gone):
            found.different.append(f"{given.at('gone')}: {len(gone)} entries for {len(ids)} ids")

        def commit() -> None:
            if "ids" not in given or "gone" not in given:
                return
            self._clear()
            self.add(ids)
            self.evicted(ids[gone])
            if overflowed:
                self.overflow()

        return commit

    def _note(self, ids: Ids, is_gone: bool) -> None:
        if self._overflowed or not len(ids):
            return
        self._reach(len(self._slots) + len(ids))  # before ids have slots: there may be no memory
        slots = self._slots.get_or_insert(ids).slots
        if len(self._slots) > self.capacity:
            self.overflow()
        else:
            self._is_gone[slots] = is_gone

    def _reach(self, n: int) -> None:
        """Make room for n ids, or as many as there may be."""
        n = min(n, self.capacity)
        if n > len(self._is_gone):
            grown = np.empty(min(max(n, 2 * len(self._is_gone)), self.capacity), np.bool_)
            grown[: len(self._is_gone)] = self._is_gone
            self._is_gone = grown

    def _entries(self) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """Ids in order of first touch, and which of them are gone."""
        return self._slots.ids(), self._is_gone[: len(self._slots)]

    def _clear(self) -> None:
        self._slots.clear()
        self._is_gone = np.empty(0, np.bool_)
        self._overflowed = False

"""Objects with a lock or bound graphs, which copies and pickles go without: each makes its own again."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self


class MadeAgain:
    """`made_again`: attributes that are no state, and what makes each. In a copy they are as in a new object.

    >>> import copy, threading
    >>> class Counted(MadeAgain):
    ...     made_again = {"lock": threading.Lock}
    ...     def __init__(self):
    ...         self.lock, self.count = threading.Lock(), 3
    >>> copy.deepcopy(Counted()).count
    3
    """

    made_again: ClassVar[Mapping[str, Callable[[], Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.made_again}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        vars(self).update({name: make() for name, make in self.made_again.items()})


class Locked(MadeAgain):
    """What has a `_lock`, which it holds while a step or a copy is made."""

    made_again: ClassVar[Mapping[str, Callable[[], Any]]] = {"_lock": threading.RLock}
    _lock: threading.RLock

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        with self._lock:
            made = memo[id(self)] = object.__new__(type(self))
            made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made

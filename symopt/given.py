"""Reading a state that is to be loaded: what is taken from it is looked at, and what does not fit is noted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .arrays import Array
from .state import Commit, Differences, plan_arrays, said


class Given:
    """A dict in a state. Nothing is raised: all that does not fit goes to `found`, under its path.

    What is missing reads as `own`, what is here; `names` notes it.
    """

    def __init__(self, state: Any, found: Differences, path: str = "") -> None:
        self.found, self.path = found, path
        self._items: Mapping[str, Any] = {}
        if isinstance(state, Mapping):
            self._items = state
        else:
            self._differ("", f"expected a dict, the state has {said(state)}")

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def get(self, name: str, default: Any = None) -> Any:
        """An entry as it is."""
        return self._items.get(name, default)

    def at(self, name: str) -> str:
        """The path of an entry."""
        return f"{self.path}/{name}" if self.path and name else self.path or name

    def names(self, own: Mapping[str, Any]) -> list[str]:
        """The names that are both here and there; the others are noted as missing or unexpected."""
        return self.found.names(self.path, own, self._items)

    def needs(self, *names: str) -> None:
        """Note those of these names that are missing."""
        self.found.missing += [self.at(name) for name in names if name not in self]

    def part(self, name: str) -> Given:
        """A dict inside; an empty one if it is missing."""
        return Given(self._items.get(name, {}), self.found, self.at(name))

    def known(self, own: Mapping[str, Any]) -> list[str]:
        """`names`, of variables that an object knows when it was built: noted, if that is still to be done."""
        if self._items and not own:
            self._differ(
                "", f"{len(self._items)} variables, and none is known here: call build(variables) first"
            )
            return []
        return self.names(own)

    def same(self, name: str, own: Any) -> None:
        """Note an entry that is not equal to what is here."""
        if name in self:
            self.found.compare(self.at(name), name, own, self.get(name))

    def count(self, name: str, own: int = 0, most: int = 2**63 - 1) -> int:
        """An integer from 0 to `most`."""
        value = self._items.get(name, own)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value <= most:
            return int(value)
        self._differ(name, f"expected a count, the state has {value!r}")
        return own

    def number(self, name: str, own: float, above: float = -math.inf) -> float:
        """A finite number; `above`: that it must exceed."""
        value = self._items.get(name, own)
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and value > above:
            return float(value)
        bound = "" if above == -math.inf else f" above {above:g}"
        self._differ(name, f"expected a number{bound}, the state has {value!r}")
        return own

    def flag(self, name: str, own: bool) -> bool:
        """A boolean."""
        value = self._items.get(name, own)
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        self._differ(name, f"expected True or False, the state has {value!r}")
        return own

    def arrays(self, name: str, own: Mapping[str, Array]) -> Commit:
        """What copies the arrays of the dict `name` into those of `own`."""
        part = self.part(name)
        return plan_arrays(own, part._items, self.found, part.path)

    def _differ(self, name: str, line: str) -> None:
        self.found.different.append(f"{self.at(name) or 'the state'}: {line}")

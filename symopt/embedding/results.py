"""What a table gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


class Applied(NamedTuple):
    """What a batch of gradients did: how many rows it updated, how many of them it made, how many occurrences of ids
    were not admitted, and which ids had to leave (k,)."""

    updated: int
    born: int
    blocked: int
    evicted: Ids


class Entries(NamedTuple):
    """All that a table knows of n ids. `hits` (n,): which have a row; the other arrays have those only, in order.

    `weights` (k, dim), as they are stored; `states`: (k, width) by name, such as "0/history"; `timestamps` (k,):
    seconds of the last write; `updates` (k,): how often the rules ran.
    """

    hits: npt.NDArray[np.bool_]
    ids: Ids
    weights: Array
    states: Mapping[str, Array]
    timestamps: Array
    updates: Array

    def __repr__(self) -> str:
        columns, states = self.weights.shape[1], ", ".join(self.states) or "none"
        return (
            f"<Entries of {len(self.hits)} ids: {len(self.ids)} rows of {columns} columns, states: {states}>"
        )


class Columns(Mapping[str, Array]):
    """Columns of all rows, each copied when it is first asked for: a policy that looks at times reads no weights."""

    def __init__(self, makers: Mapping[str, Callable[[], Array]]) -> None:
        self._makers = makers
        self._made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._makers:
            raise KeyError(f"there is no column {name!r}; there are {', '.join(self._makers)}")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass
class Stats:
    """What a table has done since it was made. `hits` and `misses`: of lookups; `blocked`: occurrences not admitted."""

    hits: int = 0
    misses: int = 0
    updated: int = 0
    born: int = 0
    blocked: int = 0
    evicted: int = 0

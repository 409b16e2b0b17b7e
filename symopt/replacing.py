"""What is given to a step in place of what it is bound to: looked at whole before any of it is taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Array
from .binding import Ranges, check_memory, check_names
from .bound import Bound, Given, as_argument, as_float, check_same
from .overlap import addresses
from .places import HOST, Place
from .sparse import RowSparseArray, check_all
from .together import Together

KEPT = 16  # sets of names that are known
NOWHERE = np.zeros(0, np.int64)


class Replacements(NamedTuple):
    """What is fit to be taken, by name: numbers of the host; dense arrays that are only read, and where they lie;
    row_sparse ones; and what was bound by itself."""

    numbers: dict[str, float]
    arrays: dict[str, Array]
    lie_at: Array
    rows: dict[str, RowSparseArray]
    others: dict[str, Bound]


class Replacing:
    """Tells whether what is given may replace what is bound.

    `bound`: kept, and looked at at each call. `mutable`: the arguments that the step writes. `numbers`: those of the
    host. `shown`: those whose arrays are outputs too.
    """

    def __init__(
        self,
        bound: Mapping[str, Bound],
        mutable: set[str],
        place: Place,
        numbers: Collection[str],
        shown: Collection[str],
    ) -> None:
        self._bound = bound
        self._mutable = mutable
        self._place = place
        self._numbers = numbers
        seen = {*mutable, *numbers, *shown}
        self._plain = {n for n in bound if n not in seen} if place is HOST else set()
        self._sorted: dict[tuple[tuple[str, ...], frozenset[str]], Together] = {}
        self._own: Sequence[Array] = ()
        self._written: Ranges | None = None  # made when an array is first replaced

    def guard(self, own: Sequence[Array]) -> None:
        """Refuse arrays that lie in one of the step's own, from now on."""
        self._own = own
        self._written = None

    def checked(self, given: Mapping[str, Given]) -> Replacements:
        """What is given, if all of it will do: else the error of what will not."""
        names = tuple(given)
        sort = self.sort(names)
        if misfits := sort.misfits(given, self._bound):
            sort = self.sort(names, misfits)
        numbers = {name: as_float(name, given[name]) for name in sort.numbers}
        arrays = {name: given[name] for name in sort.arrays}
        rows = {name: given[name] for name in sort.rows}
        others = {name: self._other(name, given[name]) for name in sort.others}
        if rows:
            check_all(sort.rows, list(rows.values()))
        lie_at = addresses(arrays.values()) if arrays else NOWHERE
        found = Replacements(numbers, arrays, lie_at, rows, others)
        if arrays or rows or others:
            self._check_memory(found, sort.n_bytes)
        return found

    def sort(self, names: tuple[str, ...], alone: frozenset[str] = frozenset()) -> Together:
        """The names, sorted. UnknownArgumentError for one that the graph does not have."""
        found = self._sorted.get((names, alone))
        if found is None:
            check_names(names, self._bound)
            if len(self._sorted) >= KEPT:
                self._sorted.clear()
            found = Together(names, self._bound, self._numbers, self._plain, alone)
            self._sorted[names, alone] = found
        return found

    def _other(self, name: str, value: Given) -> Bound:
        b = as_argument(name, value, name in self._mutable, self._place)
        check_same(name, self._bound[name], b)
        if b.sparse is not None:
            check_rows(name, b.sparse)
        return b

    def _check_memory(self, found: Replacements, n_bytes: Array) -> None:
        """ArrayError if, with these taken, something that is written shares memory. `n_bytes`: of the arrays."""
        if self._written is None:
            self._written = Ranges(self._bound, self._mutable, self._own)
        if (
            self._written.is_apart(found.others)
            and (not found.arrays or self._written.are_apart(found.lie_at, n_bytes))
            and (not found.rows or self._written.are_apart(*_parts(found.rows.values())))
        ):
            return
        together = {**found.arrays, **found.rows}
        bound = {name: as_argument(name, x, False, self._place) for name, x in together.items()}
        check_memory({**self._bound, **bound, **found.others}, self._mutable, self._own)
        if any(name in self._mutable for name in found.others):
            self._written = None


def check_rows(name: str, array: RowSparseArray) -> None:
    """What can be told of a row_sparse array without waiting: on a GPU, the engine checks the indices there."""
    if array.place is HOST:
        array.check_indices(f"argument {name!r}")
    else:
        array.check_lengths(f"argument {name!r}")


def _parts(rows: Collection[RowSparseArray]) -> tuple[Array, Array]:
    """Where the data and indices of row_sparse arrays lie, and how many bytes each has."""
    parts = [part for array in rows for part in (array.data, array.indices)]
    return addresses(parts), np.array([part.nbytes for part in parts], np.int64)

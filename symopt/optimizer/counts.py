"""How often each parameter was updated: a mapping from index to count, which costs a step nothing per parameter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, MutableMapping, Sequence

Index = Hashable


class UpdateCounts(MutableMapping[Index, int]):
    """Counts by index, like a dict.

    A list of indices that is advanced again and again is counted once for all; whoever looks gets it written out.
    `epoch` changes when any count changes otherwise, so that what was derived from the counts is known to be old.
    """

    def __init__(self, counts: Mapping[Index, int] | None = None) -> None:
        self.epoch = 0
        self._counts = dict(counts or {})
        self._advancing: Sequence[Index] = ()
        self._pending = 0

    def advance(self, indices: Sequence[Index]) -> None:
        """Count one more update of each; all of them have counts. The same list object costs the same at any length."""
        if indices is not self._advancing:
            self._write_out()
            self._advancing = indices
            self.epoch += 1
        self._pending += 1

    def _write_out(self) -> None:
        if self._pending:
            for index in self._advancing:
                self._counts[index] += self._pending
            self._pending = 0

    def __getitem__(self, index: Index) -> int:
        self._write_out()
        return self._counts[index]

    def __setitem__(self, index: Index, count: int) -> None:
        self._write_out()
        self._counts[index] = count
        self.epoch += 1

    def __delitem__(self, index: Index) -> None:
        self._write_out()
        del self._counts[index]
        self._advancing = ()
        self.epoch += 1

    def __iter__(self) -> Iterator[Index]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return repr(dict(self))

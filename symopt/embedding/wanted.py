"""What is wanted of saved states, looked at before anything is written: which rows, and which columns of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, ShapeError
from ..given import Given
from ..records.layout import ID
from ..state import Differences
from .batches import LATEST, Ids, ids_of
from .blocks import Block, read_blocks, shapes_of
from .described import compare
from .numbers import Numbers, read_log, read_numbers
from .parts import DECAYED
from .slots import slot_of
from .state import check_format, each_of

if TYPE_CHECKING:
    from .table import Table

Only = Callable[[Ids], npt.ArrayLike] | npt.ArrayLike | None


@dataclass(frozen=True)
class Wanted:
    """What is to be restored. `only`: ids, or a function that says which; `slots`: features. `segments` and `states`:
    numbers of the segments whose weights, and whose states, are taken. `attributes`: whether those of rules must be
    the same. `merge`: keep rows that no state has."""

    only: Only
    slots: Sequence[int] | None
    segments: tuple[int, ...]
    states: tuple[int, ...]
    attributes: bool
    merge: bool

    @property
    def adopts(self) -> bool:
        """Whether the table goes on as the saved one would have: with its steps and counts."""
        return not self.merge and bool(self.states)

    def rows(self, ids: Ids, what: str) -> npt.NDArray[np.bool_]:
        """Which of the ids (n,)."""
        found = np.ones(len(ids), np.bool_)
        if self.slots is not None:
            found &= np.isin(slot_of(ids), np.asarray(self.slots, np.int64))
        if callable(self.only):
            answer = np.asarray(self.only(ids))
            if answer.shape != ids.shape or answer.dtype != np.bool_:
                raise ShapeError(
                    f"{what}: only= says True or False for each of {len(ids)} ids, got {answer.dtype} {answer.shape}"
                )
            found &= answer
        elif self.only is not None:
            found &= np.isin(ids, ids_of(self.only, f"{what}: only")[0])
        return found


def numbers_of_segments(given: Any, n: int, what: str) -> tuple[int, ...]:
    """Numbers of segments: all for True or None, none for False."""
    if given is None or isinstance(given, bool):
        return () if given is False else tuple(range(n))
    found = tuple(given)
    if not all(isinstance(k, int | np.integer) and 0 <= k < n for k in found):
        raise AttributeValueError(f"{what}: segments have numbers from 0 to {n - 1}, got {given!r}")
    return tuple(sorted({int(k) for k in found}))


class Source(NamedTuple):
    """A state: its blocks, which of their rows are wanted, and the numbers of its segments."""

    given: Given
    blocks: list[Block]
    rows: list[Ids]
    numbers: dict[int, Numbers]
    steps: int
    latest: int

    def ids(self) -> Ids:
        """Of the rows that are wanted."""
        return np.concatenate([_NONE, *(b[ID][r] for b, r in zip(self.blocks, self.rows, strict=True))])


_NONE = np.zeros(0, np.int64)


def look(table: Table, states: Mapping[str, Any], wanted: Wanted, found: Differences) -> list[Source]:
    """The states, by names for errors, with all that does not fit noted."""
    sources = [_source(table, Given(state, found, name), wanted) for name, state in states.items()]
    ids = np.concatenate([_NONE, *(source.ids() for source in sources)])
    once, counts = np.unique(ids, return_counts=True)
    if len(once) < len(ids):
        found.different.append(f"rows: id {once[counts > 1][0]} is there more than once")
    if wanted.adopts and len({source.steps for source in sources}) > 1:
        steps = ", ".join(f"{source.steps} in {source.given.path}" for source in sources)
        found.different.append(f"steps: {steps}; they are not parts of one table")
    return sources


def _source(table: Table, given: Given, wanted: Wanted) -> Source:
    rows, what = table._rows, f"{table.name}.restore"
    given.needs("segments", "numbers", "rows", "steps", "latest")
    check_format(given)
    segments, numbers = each_of(given, "segments"), each_of(given, "numbers")
    if len(wanted.segments) == len(rows.parts) or max(wanted.segments, default=0) >= len(segments):
        given.found.compare(given.at("segments"), "how many", len(rows.parts), len(segments))
    given.found.compare(given.at("numbers"), "how many", len(segments), len(numbers))
    for segment in segments:
        segment.part("states")  # is a dict, or noted: their names are told in any case
    columns, read = _header(table), {}
    if not given.found.different:
        for k in wanted.segments:
            compare(rows.parts[k], segments[k], k in wanted.states, wanted.attributes)
            columns |= _columns(table, k, segments[k], k in wanted.states)
            read[k] = read_numbers(numbers[k], rows, k) if k in wanted.states else _old(numbers[k])
    blocks = read_blocks(given, "rows", columns)
    if given.found.different:
        blocks = []
    chosen = [np.flatnonzero(wanted.rows(np.ascontiguousarray(b[ID]), what)) for b in blocks]
    steps, latest = given.count("steps", rows.steps), given.count("latest", table.latest, LATEST)
    return Source(given, blocks, chosen, read, steps, latest)


def _header(table: Table) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: x for name, x in shapes_of(table._rows.layout).items() if "/" not in name}


def _columns(table: Table, k: int, segment: Given, states: bool) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Those of a segment that are wanted. The decay that its weights have not seen is one of them."""
    part = table._rows.parts[k]
    own = [part.weights(), *(part.state_columns() if states else [])]
    found: dict[str, tuple[str, tuple[int, ...]]] = {name: (dtype, (width,)) for name, dtype, width in own}
    decayed = f"{k}/{DECAYED}"
    return found | ({decayed: ("float64", (1,))} if decayed in segment.part("states") else {})


def _old(given: Given) -> Numbers:
    """Of a segment of which only weights are taken."""
    return Numbers(read_log(given, 0.0), 1.0, {})

"""What tables do beside training: saving and restoring, sending what changed, exporting. And copies."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from ..checkpoint.progress import Tell
from ..errors import AttributeValueError
from ..idmap import IdMap
from ..interrupts import uninterrupted
from ..places import HOST
from ..state import Commit, Differences, load_state
from . import delta as deltas
from . import files as files_of
from .batches import Ids
from .blocks import Block
from .commands import Resume
from .delta import Delta, LatestRows
from .exporting import export_rows
from .leaving import expired
from .restoring import restore
from .results import Entries
from .sizes import SizeReport
from .state import blocks_of, plan, state_of, take_over
from .wanted import Only, Wanted, numbers_of_segments


class Keeping:
    """A base class of Table. Its methods hold the table's lock: other threads wait."""

    # ---- state

    def state_dict(self: Any) -> dict[str, Any]:
        """All that it takes to go on with the same bits, as nested dicts of arrays and numbers: what `so.save` writes
        of a table inside a tree. Arrays are views where no slot is free, so nothing may write until they are used;
        `save` holds the lock meanwhile, and copies nothing."""
        with self._lock:
            return state_of(self)

    def plan_load(self: Any, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """Compare a state with this table, and give the function that takes it over: what `so.load` asks for."""
        with self._lock:
            if self._journal is not None:
                self._journal.may_write()
            return plan(self, state, found, path)

    def load_state_dict(self: Any, state: Mapping[str, Any], *, strict: bool = True) -> Differences:
        """Load a state, whole or not at all: StateError lists all differences, of segments, their rules and attributes
        (but learning rates may be others). strict=False loads what both have."""
        return load_state(self, state, strict, self.name)

    def save(
        self: Any,
        path: str | os.PathLike[str],
        *,
        files: int = 1,
        part: tuple[int, int] | None = None,
        keep_expired: bool = False,
        overwrite: bool = False,
        meta: Mapping[str, Any] | None = None,
        progress: Tell | bool | None = None,
    ) -> None:
        """Save the table alone, as `so.save` would, with rows shared out over so many files, and no copy of them made.

        `part`: this table is the k-th of n that make up one, such as (0, 4): each process saves its own part to the
        same path, in any order. `keep_expired`: rows whose time is over at the latest write are written too; else they
        are left out, and stay in memory. `overwrite`, `meta`, `progress`: as in `so.save`.

        >>> import tempfile, symopt as so, numpy as np
        >>> segment = so.embedding.Segment(2, "adam", learning_rate=0.1)
        >>> table, other = so.embedding.Table(segment), so.embedding.Table(segment)
        >>> _ = table.apply_gradients([7, 8], np.ones((2, 2)))
        >>> folder = tempfile.mkdtemp()
        >>> table.save(f"{folder}/first", files=2)
        >>> other.restore(f"{folder}/first")
        Differences(missing=[], unexpected=[], different=[])
        """
        files_of.save(self, path, files, part, keep_expired, overwrite, meta, progress)

    def restore(
        self: Any,
        path: str | os.PathLike[str],
        *,
        merge: bool = False,
        only: Only = None,
        slots: Sequence[int] | None = None,
        segments: Sequence[int] | None = None,
        states: Sequence[int] | bool = True,
        attributes: bool = True,
        names: str | Sequence[str] = (),
        strict: bool = True,
        verify: str = "full",
        progress: Tell | bool | None = None,
    ) -> Differences:
        """Have the rows of a checkpoint, saved in any number of files and parts, in place of those that are here.

        Without options the table goes on exactly as the saved one would have. Nothing is changed if anything does not
        fit: StateError lists every difference. What is returned lists what was left out because it was asked for.

        merge: rows that are here and not there stay, and so do steps and schedules.
        only: ids, or a function of ids (n,) that says which rows (n,).
        slots: of ids of these feature slots (bits 48 to 62 of ids).
        segments: numbers of those whose weights are taken; the others begin as in new rows.
        states: False takes weights only, and rows begin with the states, and the count of updates, of new ones; numbers
            of segments: of those only. The rule of others may be another one than was saved.
        attributes: False: the numbers that rules go by may be others than were saved.
        names: where in the checkpoint the table may be, such as "tables/user", after its own name; not needed where
            the checkpoint is that of the table alone.
        strict: False loads what both have.
        verify, progress: as in `so.load`.
        """
        what = f"{self.name}.restore"
        chosen = numbers_of_segments(segments, len(self.segments), what)
        with_states = tuple(k for k in numbers_of_segments(states, len(self.segments), what) if k in chosen)
        found = files_of.read(
            path, (self.name, *((names,) if isinstance(names, str) else names)), verify, progress
        )
        is_plain = len(found) == 1 and only is None and slots is None and attributes and not merge
        if is_plain and len(with_states) == len(self.segments):
            return load_state(self, found[""] if "" in found else next(iter(found.values())), strict, what)
        return restore(self, found, Wanted(only, slots, chosen, with_states, attributes, merge), strict)

    def entries(
        self: Any, start: int = 0, limit: int | None = None, batch: int = 1 << 14
    ) -> Iterator[Entries]:
        """All that the table knows of its rows, from the `start`-th on and at most `limit`, so many at a time, in order
        of slots. Rows that leave meanwhile are left out; of one that comes meanwhile nothing is promised."""
        if start < 0 or batch < 1 or (limit is not None and limit < 0):
            raise AttributeValueError(f"{self.name}.entries: start={start}, limit={limit}, batch={batch}")
        with self._lock:
            ids = self.ids()
        ids = ids[start : len(ids) if limit is None else start + limit]
        for begin in range(0, len(ids), batch):
            found = self.lookup_entry(ids[begin : begin + batch])
            yield found._replace(hits=found.hits[found.hits])

    # ---- changes

    def take_delta(self: Any, *, states: bool = False, whole: bool = False) -> Delta:
        """The rows that changed since the last time, as they are now, and the ids that left; `track` at construction.

        states: with states, counts and steps, for a table that trains on.
        whole: all rows, for receivers that know nothing, or after a delta that was not complete.
        If it can't be sent, give it to `untake`, or use `delta`.
        """
        with self._lock:
            return deltas.take(self, states, whole)

    def untake(self: Any, delta: Delta) -> None:
        """Remember again what a delta has, because it was not sent: the next one has it too, with what came since."""
        with self._lock:
            deltas.untake(self, delta)

    @contextlib.contextmanager
    def delta(self: Any, *, states: bool = False, whole: bool = False) -> Iterator[Delta]:
        """`take_delta` for a `with` block: if the block raises, such as for a full disk, it is not lost."""
        taken = self.take_delta(states=states, whole=whole)
        try:
            yield taken
        except BaseException:
            self.untake(taken)
            raise

    def apply_delta(self: Any, delta: Delta) -> None:
        """Take over what another table's `take_delta` gave: rows that left leave, rows that were written are written.

        Without states in the delta, rows here keep theirs, and new ones begin with those of new rows. All or nothing:
        DeltaIncompleteError, StateError for another configuration, TooLateError where max_rows forbids it.
        """
        with self._batch(), uninterrupted() if self._journal is None else contextlib.nullcontext():
            deltas.apply(self, delta)

    # ---- serving

    def export(
        self: Any,
        path: str | os.PathLike[str],
        compressor: Any = None,
        *,
        keep_expired: bool = False,
        skip_zero_embedding: bool = False,
        meta: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        progress: Tell | bool | None = None,
    ) -> SizeReport:
        """Write a serving table, without states, that `so.embedding.load_serving` reads; how large and how exact it is.

        compressor: of all segments, in place of their own. keep_expired: rows whose time is over are written too.
        skip_zero_embedding: rows of zeros are not. Decay that rows have not seen yet is in what is written; the table
        is not changed.
        """
        kinds = [compressor if compressor is not None else s.compressor for s in self.segments]
        segments = [(s.dim, kind) for s, kind in zip(self.segments, kinds, strict=True)]
        with self._lock:
            ids = self.ids()
            if not keep_expired:
                ids = ids[~np.isin(ids, expired(self, self.latest))]
            return export_rows(
                path,
                segments,
                ids,
                lambda start, stop: self._latest_rows(ids[start:stop], False)[0],
                name=self.name,
                meta=meta,
                skip_zero_embedding=skip_zero_embedding,
                overwrite=overwrite,
                progress=progress,
            )

    # ---- within

    def _latest_rows(self: Any, ids: Ids, states: bool) -> LatestRows:
        """Weights of ids that have a row, as if they had seen all decay; times; if asked for, updates and states."""
        return deltas.latest_rows(self._rows, ids, states)

    def _blocks(self: Any, gone: Ids, files: int, streamed: bool) -> tuple[Ids, list[Block]]:
        """Free slots, and the rows in blocks for so many files, but for those that are gone."""
        return blocks_of(self._rows, gone, files, streamed)

    def _empty_map(self: Any) -> IdMap:
        """One to restore the places of rows to."""
        return self._rows.map.copy()  # type: ignore[no-any-return]

    def _take_over(self: Any, fresh: IdMap | None, blocks: list[Block], resumed: Resume) -> None:
        """Have these rows, in the places of `fresh`, if it is one, and these numbers."""
        take_over(self, fresh, blocks, resumed)

    # ---- copies

    def _options(self: Any) -> dict[str, Any]:
        """What the constructor is given for another one like this, in memory."""
        names = (
            "missing",
            "duplicates",
            "admission",
            "expiry",
            "max_rows",
            "policy",
            "seed",
            "engine",
            "ctx",
            "name",
        )
        track = None if self.touched is None else self.touched.capacity
        options = {"segments": self.segments, "track": track} | {name: getattr(self, name) for name in names}
        return options if self.place is HOST else {**options, "engine": "auto"}

    def __reduce__(self: Any) -> tuple[Any, ...]:
        with self._lock:
            options = {
                **self._options(),
                "admission": copy.deepcopy(self.admission),
            }  # which others may change at once
            return _made, (type(self), options, copy.deepcopy(self.state_dict()), copy.copy(self.stats))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        make, (cls, options, state, stats) = self.__reduce__()
        made = memo[id(self)] = make(cls, options, state, stats)
        return made  # type: ignore[no-any-return]


def _made(cls: type, options: dict[str, Any], state: dict[str, Any], stats: Any) -> Any:
    """A table from a pickle; on a machine without llvmlite, with the other engine."""
    engine = "auto" if options["engine"] == "native" else options["engine"]
    made = cls(**{**options, "engine": engine})
    made.load_state_dict(state)
    made.stats = stats
    return made

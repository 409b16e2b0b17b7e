"""What every method of a table goes through: batches that happen whole or not at all, in memory and on disk."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError
from ..interrupts import uninterrupted
from ..places import Place
from .admission import Admission
from .batches import Array, Ids
from .checks import DUPLICATES, Duplicates, kept_as, one_of
from .commands import Admit, Command, Decayed, Evict, GoOn, Have, Put, Renew, Resume, Settle, Touch, Update
from .doing import Doing, carry_out, done
from .eviction import Policy
from .expiry import Expiry
from .leaving import crowded
from .options import whole
from .results import Columns, Stats
from .rows import Rows
from .segment import Segment
from .touched import TouchedSet

if TYPE_CHECKING:
    from .delta import Delta


class Core:
    """A base class of Table: what it has, and how it changes."""

    name: str
    segments: tuple[Segment, ...]
    duplicates: Duplicates
    engine: str
    place: Place
    admission: Admission | None
    expiry: Expiry | None
    policy: Policy | None
    max_rows: int | None
    touched: TouchedSet | None
    stats: Stats
    latest: int  # second of the latest write
    _rows: Rows
    _sent: list[float]  # the accounts of decay when changes were taken last
    _taken: weakref.ref[Delta] | None  # what was taken last
    _lock: Any
    _journal: Any  # of a table on disk

    def _follow(
        self,
        duplicates: Duplicates,
        admission: Admission | int | None,
        expiry: Expiry | int | None,
        max_rows: int | None,
        policy: Policy | str | None,
        track: int | None,
    ) -> None:
        """Take the options of Table that say what becomes of rows. AttributeValueError."""
        name = self.name
        self.duplicates = one_of("duplicates", duplicates, DUPLICATES, name)
        self.admission = kept_as(Admission, int, admission, name)
        self.expiry = kept_as(Expiry, int, expiry, name)
        self.policy = kept_as(Policy, str, policy, name)
        self.max_rows = None if max_rows is None else whole(f"{name}: max_rows", max_rows, 1)
        if self.policy is not None and max_rows is None:
            raise AttributeValueError(
                f"{name}: a policy says which rows leave a full table: give max_rows too"
            )
        self.touched = None if track is None else TouchedSet(track)
        self.latest = 0
        self._taken = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return self._rows.dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of weights and gradients."""
        return self._rows.dtype

    @property
    def steps(self) -> int:
        """How many steps the rules have made; the next one's `global_step`, unless another is given."""
        return self._rows.steps

    # ---- on disk

    def checkpoint(self) -> None:
        """Put all rows that changed into the folder's file, and begin a new log. Nothing for a table in memory.

        OSError, and the last checkpoint still counts, if there is no room."""
        with self._lock:
            if self._journal is not None:
                self._journal.checkpoint()

    def close(self, checkpoint: bool = True) -> None:
        """Make a checkpoint, unless told not to, and let the folder go; the table can't be used any more. What was done
        is kept either way: without a checkpoint, the log is done again when it is next opened. Nothing for a table in
        memory."""
        if self._journal is not None:
            self._journal.close(checkpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batch(self) -> contextlib.AbstractContextManager[Any]:
        """What is done within is one batch: on disk it happens whole or not at all."""
        return self._lock if self._journal is None else self._logged()

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        with self._lock, self._journal.batch():
            yield

    def _replacing(self) -> contextlib.AbstractContextManager[Any]:
        """What is done within replaces the table: on disk it is a checkpoint, or, if it fails, nothing; in memory no
        interrupt splits it."""
        return self._replaced()

    @contextlib.contextmanager
    def _replaced(self) -> Iterator[None]:
        with self._lock, uninterrupted() if self._journal is None else self._journal.replacing():
            yield

    # ---- within

    def _carry_out(self, gone: Ids, *commands: Command) -> None:
        """Let rows leave, then do the rest: all of it, or, if this raises, nothing. Within a `_batch`."""
        carry_out(self._doings(gone, *commands), holds=self._journal is None)
        self._finish()

    def _finish(self) -> None:
        """Wait until what was carried out is done, where others do it."""

    def _doings(self, gone: Ids, *commands: Command) -> list[Doing]:
        """Commands on their way. Everything that changes rows, or counts of ids, goes through here, or `_counted`."""
        every: list[Command] = [Evict(gone), *commands] if len(gone) else [*commands]
        if self._journal is not None:
            return [self._journal.doing(every)]
        n = len(every)
        return [self._doing(c, len(gone) if k else 0, is_last=k == n - 1) for k, c in enumerate(every)]

    def _apply(self, command: Command) -> Any:
        """Carry out one command, where somebody else sees to it that a batch is whole."""
        if isinstance(command, Admit):
            assert self.admission is not None
            return self.admission.admit(command.ids, command.counts)
        return done(self._doing(command))

    def _doing(self, command: Any, n_leaving: int = 0, is_last: bool = True) -> Doing:
        """One command on rows, and what is noted about it."""
        doing = self._rows.doing(command, n_leaving, is_last)
        next(doing)
        yield
        before = len(self)
        next(doing)
        n_born = len(self) - before
        try:
            if self.admission is not None and isinstance(
                command, Have | Renew | Put
            ):  # rows that need not be earned
                self.admission.forget(command.ids)
            yield
        except BaseException:
            doing.close()
            raise
        next(doing, None)
        self._note(command, n_born)

    def _note(self, command: Any, n_born: int) -> None:
        """Count what was done."""
        if isinstance(command, Evict):
            self.stats.evicted -= n_born
        elif isinstance(command, Resume):
            self.latest = command.latest
        elif not isinstance(command, Settle | Decayed | GoOn):
            self.latest = max(self.latest, command.now)
            self.stats.born += n_born
            if isinstance(command, Update):
                self.stats.updated += len(command.ids)
        if self.touched is None or isinstance(command, Settle | Decayed | GoOn | Resume | Touch):
            return
        try:
            (self.touched.evicted if isinstance(command, Evict) else self.touched.add)(command.ids)
        except MemoryError:
            self.touched.overflow()

    def _admitted(self, ids: Ids, counts: Array | None) -> npt.NDArray[np.bool_] | None:
        """Which entries may be written: those of ids that have a row, or are admitted. None: all."""
        if self.admission is None:
            return None
        admitted = self._have(ids)
        asked = ~admitted
        if not asked.any():
            return None
        admitted[asked] = self._counted(Admit(ids[asked], None if counts is None else counts[asked]))
        return admitted

    def _counted(self, command: Admit) -> npt.NDArray[np.bool_]:
        """Which ids are admitted, now that they are counted."""
        with uninterrupted():
            found: npt.NDArray[np.bool_] = (self._apply if self._journal is None else self._journal.do)(
                command
            )
        return found

    # ---- what decisions about rows are made by

    def ids(self) -> Ids:
        """All ids that have a row, (n,)."""
        with self._lock:
            return self._rows.map.ids()

    def _have(self, ids: Ids) -> npt.NDArray[np.bool_]:
        """Which ids (n,) have a row."""
        return self._rows.map.get(ids) >= 0

    def _n_missing(self, ids: Ids) -> int:
        """How many distinct ids have no row."""
        return len(self._rows.map.missing(ids))

    def _make_room(self, n: int) -> None:
        """Have memory for `n` rows more, so that nothing can fail for want of it."""
        self._rows.store.reserve(self._rows.map.n_slots + n)

    def _columns(self) -> Columns:
        """What policies look at of all rows, on the host."""
        rows, slots = self._rows, self._rows.map.slots()
        makers = {n: partial(rows.copied, n, slots) for n in ("id", "timestamp", "updates")}
        weights = [part.weight for part in rows.parts]
        return Columns(
            makers | {"weight": lambda: np.concatenate([rows.copied(w, slots) for w in weights], axis=1)}
        )

    def _leaving(self, ids: Ids) -> Ids:
        """The rows that have to leave before a batch. TooLateError without a policy that chooses."""
        return crowded(self, ids)

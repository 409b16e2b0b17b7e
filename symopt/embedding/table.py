"""Table: rows for any int64 id, that users look up and update."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..context import Context
from ..errors import AttributeValueError, UnknownIdError
from ..idmap import unique
from ..interrupts import uninterrupted
from ..places import HOST, place_of
from .admission import Admission
from .bags import Bags, given_ids
from .batch import Batch, apply_all
from .batches import Array, Ids, ids_of, last_of, rows_of, second
from .checks import DUPLICATES, MISSING, Duplicates, Missing, as_out, check_place, checked, kept_as, one_of
from .commands import Admit, Assign, Command, Decayed, Evict, GoOn, Have, Put, Renew, Settle, Touch, Update
from .configured import Config, table_options
from .delta import Delta
from .doing import Doing, carry_out, done
from .entry.segments import SegmentConfig
from .entry.slot_configs import SlotOccurrenceThresholdConfig
from .eviction import Policy
from .expiry import Expiry
from .forks import watch
from .keeping import Keeping
from .leaving import NONE, chosen, crowded, expired
from .ondisk.options import OnDisk
from .options import whole
from .placed import joined_rows, taken
from .results import Applied, Entries, Stats
from .rows import ALIGNMENT, MakeStore, Rows
from .segment import Segment
from .touched import TouchedSet

Item = TypeVar("Item")
LINE = 64  # bytes of a line of the cache, to which rows are aligned that are not in memory alone
_AT_ONCE = 1 << 16  # rows


class Table(Keeping):
    """Embeddings by id. A row is the weights of all segments side by side, and each segment has its own rule.

    segments: one `Segment` or several, of one dtype; or what `entry.CombineAsSegment` makes.
    missing: what a lookup shows of an id without a row: "zeros"; "initialize" makes the row; "raise" UnknownIdError.
    duplicates: gradients of one id in a batch are added, in order, and the rule runs once ("sum"), or it runs for one
        after the other ("sequential").
    admission: which ids get a row when gradients come, or are assigned to (`Admission`; a number is its threshold).
    expiry: how long a row lives after its last write (`Expiry`; a number is days); `expire` lets the others go.
    max_rows, policy: at most so many rows; those that leave are chosen by a `Policy` or its name. Without one,
        TooLateError when the table is full.
    reserve: have room for so many rows from the start.
    ctx: where rows lie: so.cpu(), or so.gpu(0), on which gradients, values and lookups are then (docs/gpu.md).
    seed: of first weights, which depend on nothing but it and the id.
    engine: "auto", "native" or "reference".
    track: remember up to so many ids that change, for `take_delta`.
    path: a folder where the rows are kept, which may be more than memory holds (`OnDisk`, or a path). What is there is
        opened, and what a crash left undone is done; else it is made. `close` the table when it is done with.
    store: what makes another place for the rows: a function of the layout that gives a `RowStore`.
    name: what errors call the table.

    A batch is checked whole before anything is written; any number of threads may use one table.

    >>> import numpy as np
    >>> table = Table(Segment(4, "adagrad", learning_rate=0.1))
    >>> ids = np.array([3, -8, 3])
    >>> table.apply_gradients(ids, np.ones((3, 4))).updated
    2
    >>> table.lookup([3, 5])
    array([[-0.1, -0.1, -0.1, -0.1],
           [ 0. ,  0. ,  0. ,  0. ]], dtype=float32)
    """

    def __init__(
        self,
        segments: Segment | SegmentConfig | Sequence[Segment | SegmentConfig],
        *,
        missing: Missing = "zeros",
        duplicates: Duplicates = "sum",
        admission: Admission | int | None = None,
        expiry: Expiry | int | None = None,
        max_rows: int | None = None,
        policy: Policy | str | None = None,
        reserve: int = 0,
        seed: int = 0,
        track: int | None = None,
        ctx: Context | str | None = None,
        engine: str = "auto",
        path: str | os.PathLike[str] | OnDisk | None = None,
        store: MakeStore | None = None,
        name: str = "table",
    ) -> None:
        if not isinstance(name, str):
            raise AttributeValueError(f"the name of a table is a str, got {name!r}")
        self.name = name
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
            raise AttributeValueError(f"{name}: seed is a whole number, got {seed!r}")
        seed = int(seed)
        self.ctx = Context.as_context(ctx)
        self.place = place_of(self.ctx)
        check_place(self.place, engine, path is not None or store is not None, name)
        self.segments = checked(segments, name)
        self.missing = one_of("missing", missing, MISSING, name)
        self.duplicates = one_of("duplicates", duplicates, DUPLICATES, name)
        self.admission: Admission | None = kept_as(Admission, int, admission, name)
        self.expiry: Expiry | None = kept_as(Expiry, int, expiry, name)
        self.policy: Policy | None = kept_as(Policy, str, policy, name)
        self.max_rows = None if max_rows is None else whole(f"{name}: max_rows", max_rows, 1)
        if self.policy is not None and max_rows is None:
            raise AttributeValueError(
                f"{name}: a policy says which rows leave a full table: give max_rows too"
            )
        self.touched = None if track is None else TouchedSet(track)
        self.stats = Stats()
        self.latest = 0  # second of the latest write
        if path is not None and store is not None:
            raise AttributeValueError(
                f"{name}: rows are in the folder of path, or in a store: give one of them"
            )
        self._journal = _journal(path)
        self._lock: Any = threading.RLock() if self._journal is None else self._journal.lock
        make_store = store or (None if self._journal is None else self._journal.make_store)
        self._rows = Rows(
            self.segments,
            seed=seed,
            engine=engine,
            place=self.place,
            make_store=make_store,
            alignment=LINE if make_store else ALIGNMENT,
            what=name,
        )
        self._sent = list(self._rows.logs)  # when changes were taken last
        self._taken: weakref.ref[Delta] | None = None  # what was taken last
        self.seed, self.engine = seed, self._rows.map.engine
        if self._journal is not None:
            self._journal.begin(self)
        else:
            watch(self)
        self.reserve(reserve)

    @classmethod
    def from_config(
        cls, config: Config, *, occurrence: SlotOccurrenceThresholdConfig | None = None, **options: Any
    ) -> Table:
        """The table that a configuration of `so.embedding.entry` describes.

        config: a HashTableConfigInstance, with its learning rates, or an EmbeddingHashTableConfig, whose optimizers
        have their own. Segments, first capacity and expiry are taken from it; rows leave when `expire` is called,
        whatever `feature_evict_every_n_hours` says. `occurrence`: thresholds of admission, with exact counts.
        `options`: others of a Table's, which go before the configuration's.

        RuleError for a table that only serves, and for DcOptimizer: a table does not know the weights that a gradient
        was computed at.
        """
        return cls(**{**table_options(config, occurrence), **options})

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

    def __enter__(self) -> Table:
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

    @contextlib.contextmanager
    def _replacing(self) -> Iterator[None]:
        """What is done within replaces the table: on disk it is a checkpoint, or, if it fails, nothing; in memory no
        interrupt splits it."""
        with self._lock, uninterrupted() if self._journal is None else self._journal.replacing():
            yield

    # ---- what it is

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

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory: header, weights and states."""
        return self._rows.layout.stride

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id_: object) -> bool:
        return isinstance(id_, int | np.integer) and bool(self.contains(np.array([id_]))[0])

    def __iter__(self) -> Iterator[int]:
        """The ids, in the order of their places."""
        return iter(self.ids().tolist())

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.segments))
        given: dict[str, Any] = {
            "admission": self.admission,
            "expiry": self.expiry,
            "max_rows": self.max_rows,
        }
        given |= {"policy": self.policy, "ctx": None if self.place is HOST else self.ctx}
        more = "".join(f", {k}={v!r}" for k, v in given.items() if v is not None)
        return f"<Table {self.name!r}: {len(self)} rows of {self.dim} columns, {parts}{more}>"

    def ids(self) -> Ids:
        """All ids that have a row, (n,)."""
        with self._lock:
            return self._rows.map.ids()

    def contains(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which ids have a row, in the shape of `ids`."""
        flat, shape = ids_of(ids, f"{self.name}.contains")
        with self._lock:
            return (self._rows.map.get(flat) >= 0).reshape(shape)

    def memory_bytes(self) -> int:
        """Bytes of records, id map and counts, in use or reserved."""
        with self._lock:
            counts = self.admission.memory_bytes() if self.admission else 0
            return self._rows.store.memory_bytes() + self._rows.map.memory_bytes() + counts

    def reserve(self, n: int) -> None:
        """Have room for `n` rows, so that nothing need grow before."""
        n = whole(f"{self.name}: reserve", n, 0, 1 << 48)
        with self._lock:
            self._rows.store.reserve(n)
            self._rows.map.reserve(n)

    # ---- reading

    def lookup(
        self,
        ids: npt.ArrayLike | Bags,
        *,
        missing: Missing | None = None,
        with_hits: bool = False,
        out: Array | None = None,
        req_time: float | None = None,
    ) -> Any:
        """The embeddings of ids: for ids of any shape, that shape and (dim,). `with_hits`: also which had a row.

        `missing`: as the table's. `out`: a contiguous array to write to. `req_time`: of rows that are made. Nothing
        else is changed: looking up is no write. UnknownIdError names the first id that must have a row and has none.
        """
        what = f"{self.name}.lookup"
        flat, shape = given_ids(ids, what)
        missing = self.missing if missing is None else one_of("missing", missing, MISSING, what)
        if out is not None:
            out = as_out(out, (*shape, self.dim), self.dtype, what, self.place).reshape(-1, self.dim)
        with self._lock:
            if out is None:
                out = self._rows.prepare_read(math.prod(shape), len(flat))
            slots, hits = self._found(flat, missing, req_time, what)
            found = self._rows.pool(slots, ids, out) if isinstance(ids, Bags) else self._rows.read(slots, out)
        shown = found.reshape(*shape, self.dim)
        if not with_hits:
            return shown
        return shown, hits if isinstance(ids, Bags) else hits.reshape(shape)

    def _found(
        self, ids: Ids, missing: Missing, req_time: float | None, what: str
    ) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """The slots of ids that are looked up, -1 for a row that is shown as zeros; and which had one before."""
        slots = self._rows.map.get(ids)
        absent = slots < 0
        n_absent = int(np.count_nonzero(absent))
        if n_absent and missing == "raise":
            raise UnknownIdError(f"{what}: id {ids[absent][0]} has no row, nor have {n_absent - 1} more")
        if n_absent and missing == "initialize":
            born, now = unique(ids[absent]).ids, second(req_time, what)
            with self._batch():
                self._carry_out(self._leaving(ids), Have(born, now))
            slots = self._rows.map.get(ids)
        self.stats.hits += len(ids) - n_absent
        self.stats.misses += n_absent
        return slots, ~absent

    def lookup_entry(self, ids: npt.ArrayLike) -> Entries:
        """All that the table knows of ids: weights as they are stored, states, times. Copies."""
        flat, _ = ids_of(ids, f"{self.name}.lookup_entry")
        with self._lock:
            slots = self._rows.map.get(flat)
            return self._entries(slots[slots >= 0], slots >= 0)

    def _entries(self, slots: Ids, hits: npt.NDArray[np.bool_]) -> Entries:
        self._rows.need(slots)
        columns = self._rows.store.columns
        weights = [taken(columns[part.weight], slots) for part in self._rows.parts]
        names = [name for part in self._rows.parts for name, _, _ in part.state_columns()]
        states = {name: taken(columns[name], slots) for name in names}
        header = (columns[name][slots] for name in ("timestamp", "updates"))
        return Entries(hits, columns["id"][slots], joined_rows(weights, axis=1), states, *header)

    def prefetch(self, ids: npt.ArrayLike) -> None:
        """A hint that these ids come soon: rows on disk are read meanwhile."""
        flat, _ = ids_of(ids, f"{self.name}.prefetch")
        with self._lock:
            slots = self._rows.map.get(flat)
            self._rows.store.prefetch(slots[slots >= 0])

    def ahead(
        self, batches: Iterable[Item], ids: Callable[[Any], npt.ArrayLike] = itemgetter(0)
    ) -> Iterator[Item]:
        """The batches, one after the other; each time, the rows of the next are asked for. `ids` says which they are:
        by default the first entry of a batch.

        >>> import numpy as np
        >>> table = Table(Segment(2, "sgd", learning_rate=0.1))
        >>> batches = [([1, 2], np.ones((2, 2))), ([2, 3], np.ones((2, 2)))]
        >>> for some, grads in table.ahead(batches):
        ...     done = table.apply_gradients(some, grads)
        >>> len(table)
        3
        """
        waiting: list[Item] = []
        for batch in batches:
            self.prefetch(ids(batch))
            if waiting:
                yield waiting.pop()
            waiting.append(batch)
        yield from waiting

    # ---- writing

    def apply_gradients(
        self,
        ids: npt.ArrayLike | Bags,
        grads: npt.ArrayLike,
        global_step: int | None = None,
        req_time: float | None = None,
        *,
        duplicates: Duplicates | None = None,
        learning_rate: float | Sequence[float] | None = None,
    ) -> Applied:
        """One step: gradients (*ids.shape, dim) for ids of any shape, which may repeat.

        An id without a row gets one, if it is admitted; its gradient was computed at zeros, where `missing` is so, and
        is applied to the weights that the row begins with. `global_step`: for schedules, and rules that ask for it; the
        table's own count if not given. `req_time`: seconds, that rows note; now if not given. `learning_rate`: in place
        of all segments' own, or one for each.
        """
        what = f"{self.name}.apply_gradients"
        given = [(what, ids, grads)]
        return apply_all([Batch(self, given, global_step, req_time, duplicates, learning_rate, what=what)])[0]

    def assign(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Weights (*ids.shape, dim) for ids of any shape; states are kept. Of a repeated id the last stays.

        An id without a row gets one, if it is admitted."""
        self._put("assign", ids, values, req_time, adds=False)

    def assign_add(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Add to the weights of ids; of a repeated id, one after the other. A row that is made has its first weights
        before; it is made if its id is admitted."""
        self._put("assign_add", ids, values, req_time, adds=True)

    def _put(self, method: str, ids: Any, values: Any, req_time: float | None, adds: bool) -> None:
        what = f"{self.name}.{method}"
        flat, shape = ids_of(ids, what)
        rows = rows_of(values, shape, self.dim, self.dtype, f"{what}: values", self.place)
        now = second(req_time, what)
        with self._batch():
            admitted = self._admitted(flat, None)
            if admitted is not None:
                flat, rows = flat[admitted], taken(rows, admitted)
                self.stats.blocked += int((~admitted).sum())
            ids, its = (flat, rows) if adds else last_of(flat, rows)
            self._carry_out(self._leaving(flat), Assign(ids, its, now, adds))

    def reinitialize(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Rows as they are born, for all ids; which had one before, in the shape of `ids`."""
        what = f"{self.name}.reinitialize"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._batch():
            had = self._rows.map.get(flat) >= 0
            self._carry_out(self._leaving(flat), Renew(unique(flat).ids, now))
        return had.reshape(shape)

    def touch(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Note the time, as if the rows had been written; which ids have one, in the shape of `ids`."""
        what = f"{self.name}.touch"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._batch():
            had = self._rows.map.get(flat) >= 0
            self._carry_out(NONE, Touch(unique(flat[had]).ids, now))
        return had.reshape(shape)

    # ---- rows that leave

    def evict(
        self,
        ids: npt.ArrayLike | None = None,
        *,
        n: int | None = None,
        policy: Policy | str | None = None,
        where: Callable[[Mapping[str, Array]], npt.ArrayLike] | None = None,
    ) -> Ids:
        """Give up rows: of `ids`; or the `n` that a policy chooses, the table's if none is given; or those for which
        `where` says True of a dict of columns (id, timestamp, updates, weight). The ids that left, (k,)."""
        with self._batch():
            gone = chosen(self, ids, n, policy, where)
            self._carry_out(gone)
            return gone

    def expire(self, now: float | None = None) -> Ids:
        """Give up the rows whose time is over; `now`: by default the time of the latest write. The ids that left."""
        at = self.latest if now is None else second(now, f"{self.name}.expire")
        with self._batch():
            gone = expired(self, at)
            self._carry_out(gone)
            return gone

    def flush(self) -> None:
        """Let all rows have the decay of the steps that they missed (`decay="decoupled_global"`)."""
        ids = self.ids()
        for begin in range(0, len(ids), _AT_ONCE):  # no row knows of another, so each part is a batch
            with self._batch():
                self._carry_out(NONE, Settle(ids[begin : begin + _AT_ONCE]))

    # ---- within

    def _carry_out(self, gone: Ids, *commands: Command) -> None:
        """Let rows leave, then do the rest: all of it, or, if this raises, nothing. Within a `_batch`."""
        carry_out(self._doings(gone, *commands), holds=self._journal is None)

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
        elif not isinstance(command, Settle | Decayed | GoOn):
            self.latest = max(self.latest, command.now)
            self.stats.born += n_born
            if isinstance(command, Update):
                self.stats.updated += len(command.ids)
        if self.touched is None or isinstance(command, Settle | Decayed | GoOn | Touch):
            return
        try:
            (self.touched.evicted if isinstance(command, Evict) else self.touched.add)(command.ids)
        except MemoryError:
            self.touched.overflow()

    def _admitted(self, ids: Ids, counts: Array | None) -> npt.NDArray[np.bool_] | None:
        """Which entries may be written: those of ids that have a row, or are admitted. None: all."""
        if self.admission is None:
            return None
        admitted = self._rows.map.get(ids) >= 0
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

    def _leaving(self, ids: Ids) -> Ids:
        """The rows that have to leave before a batch. TooLateError without a policy that chooses."""
        return crowded(self, ids)


def _journal(path: str | os.PathLike[str] | OnDisk | None) -> Any:
    if path is None:
        return None
    from .ondisk.journal import Journal

    return Journal(path if isinstance(path, OnDisk) else OnDisk(path))

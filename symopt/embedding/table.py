"""Table: rows for any int64 id, that users look up and update."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..context import Context
from ..errors import AttributeValueError
from ..idmap import unique
from ..places import place_of
from .admission import Admission
from .bags import Bags
from .batch import Batch, apply_all
from .batches import Array, Ids, ids_of, last_of, rows_of, second
from .checks import DUPLICATES, MISSING, Duplicates, Missing, check_place, checked, kept_as, one_of
from .commands import Assign, Renew, Settle, Touch
from .configured import Config, table_options
from .delta import Delta
from .entry.segments import SegmentConfig
from .entry.slot_configs import SlotOccurrenceThresholdConfig
from .eviction import Policy
from .expiry import Expiry
from .forks import watch
from .keeping import Keeping
from .leaving import NONE, chosen, expired
from .ondisk.options import OnDisk
from .options import whole
from .placed import taken
from .reading import Reading
from .results import Applied, Stats
from .rows import ALIGNMENT, MakeStore, Rows
from .segment import Segment
from .touched import TouchedSet

LINE = 64  # bytes of a line of the cache, to which rows are aligned that are not in memory alone
_AT_ONCE = 1 << 16  # rows


class Table(Keeping, Reading):
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


def _journal(path: str | os.PathLike[str] | OnDisk | None) -> Any:
    if path is None:
        return None
    from .ondisk.journal import Journal

    return Journal(path if isinstance(path, OnDisk) else OnDisk(path))

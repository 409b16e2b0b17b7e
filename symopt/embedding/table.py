"""Table: rows for any int64 id, that users look up and update."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from ..context import Context
from ..errors import AttributeValueError
from ..places import place_of
from .accounts import ALIGNMENT
from .admission import Admission
from .checks import MISSING, Duplicates, Missing, check_place, checked, checked_seed, one_of
from .configured import Config, table_options
from .entry.segments import SegmentConfig
from .entry.slot_configs import SlotOccurrenceThresholdConfig
from .eviction import Policy
from .expiry import Expiry
from .forks import watch
from .keeping import Keeping
from .ondisk.options import OnDisk
from .reading import Reading
from .results import Stats
from .rows import MakeStore, Rows
from .segment import Segment
from .writing import Writing

LINE = 64  # bytes of a line of the cache, to which rows are aligned that are not in memory alone


class Table(Keeping, Reading, Writing):
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
        self.name, seed = name, checked_seed(seed, name)
        self.ctx = Context.as_context(ctx)
        self.place = place_of(self.ctx)
        check_place(self.place, engine, path is not None or store is not None, name)
        self.segments = checked(segments, name)
        self.missing = one_of("missing", missing, MISSING, name)
        self._follow(duplicates, admission, expiry, max_rows, policy, track)
        self.stats = Stats()
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
        self._sent = list(self._rows.logs)
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


def _journal(path: str | os.PathLike[str] | OnDisk | None) -> Any:
    if path is None:
        return None
    from .ondisk.journal import Journal

    return Journal(path if isinstance(path, OnDisk) else OnDisk(path))

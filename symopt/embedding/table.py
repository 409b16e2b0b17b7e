"""Table: rows for any int64 id, that users look up and update."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..context import Context
from ..errors import AttributeValueError, DTypeError, ShapeError, TooLateError, UnknownIdError
from ..idmap import unique
from ..places import HOST, Place, place_of
from .admission import Admission
from .bags import Bags, given_ids
from .batch import DUPLICATES, Batch, apply_all
from .batches import Array, Ids, ids_of, last_of, rows_of, second, waves
from .commands import Assign, Command, Evict, Have, Renew, Touch
from .eviction import Policy, matching
from .expiry import Expiry
from .placed import joined_rows, on_host, taken
from .results import Applied, Entries, Stats
from .rows import Rows
from .segment import Segment
from .touched import TouchedSet

Missing = Literal["zeros", "initialize", "raise"]
Duplicates = Literal["sum", "sequential"]
_NONE = np.zeros(0, np.int64)


class Table:
    """Embeddings by id. A row is the weights of all segments side by side, and each segment has its own rule.

    segments: one `Segment` or several, of one dtype.
    missing: what a lookup shows of an id without a row: "zeros"; "initialize" makes the row; "raise" UnknownIdError.
    duplicates: gradients of one id in a batch are added, in order, and the rule runs once ("sum"), or it runs for one
        after the other ("sequential").
    admission: which ids get a row when gradients come (`Admission`; a number is its threshold). expiry: how long a row
        lives after its last write (`Expiry`; a number is days).
    max_rows, policy: at most so many rows; those that leave are chosen by a `Policy` or its name. Without one,
        TooLateError when the table is full.
    seed: of first weights, which depend on nothing but it and the id. engine: "auto", "native" or "reference".
    track: remember up to so many ids that change, for `take_delta`.
    ctx: where rows lie: so.cpu(), or so.gpu(0), whose arrays gradients, values and lookups then are (docs/gpu.md).

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
        segments: Segment | Sequence[Segment],
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
        name: str = "table",
    ) -> None:
        self.name = name
        self.place = place_of(Context.as_context(ctx))
        self.segments = _checked(segments, name)
        self.missing = _one_of("missing", missing, _MISSING, name)
        self.duplicates = _one_of("duplicates", duplicates, DUPLICATES, name)
        self.admission = Admission(admission) if isinstance(admission, int) else admission
        self.expiry = Expiry(expiry) if isinstance(expiry, int) else expiry
        self.max_rows = max_rows
        self.policy = Policy(policy) if isinstance(policy, str) else policy
        if max_rows is not None and max_rows < 1:
            raise AttributeValueError(f"{name}: max_rows must be at least 1, got {max_rows!r}")
        if self.policy is not None and max_rows is None:
            raise AttributeValueError(
                f"{name}: a policy says which rows leave a full table: give max_rows too"
            )
        self.touched = None if track is None else TouchedSet(track)
        self.stats = Stats()
        self.latest = 0  # second of the latest write
        self._lock = threading.RLock()
        self._rows = Rows(
            self.segments, seed=seed, engine=_engine(engine, self.place, name), place=self.place, what=name
        )
        self.seed, self.engine = seed, self._rows.map.engine
        self.reserve(reserve)

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
        return bool(self.contains(np.array([id_]))[0])

    def __iter__(self) -> Iterator[int]:
        """The ids, oldest slot first."""
        return iter(self.ids().tolist())

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.segments))
        return f"<Table {self.name!r}: {len(self)} rows of {self.dim} columns, {parts}>"

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
        missing = self.missing if missing is None else _one_of("missing", missing, _MISSING, what)
        if out is not None:
            out = _as_out(out, (*shape, self.dim), self.dtype, what, self.place).reshape(-1, self.dim)
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
            self._make_room(ids)
            born = unique(ids[absent]).ids
            self._do(Have(born, second(req_time, what)))
            self._forget(born)
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
        columns = self._rows.store.columns
        weights = [taken(columns[part.weight], slots) for part in self._rows.parts]
        names = [name for part in self._rows.parts for name, _, _ in part.state_columns()]
        states = {name: taken(columns[name], slots) for name in names}
        header = (columns[name][slots] for name in ("timestamp", "updates"))
        return Entries(hits, columns["id"][slots], joined_rows(weights, axis=1), states, *header)

    def prefetch(self, ids: npt.ArrayLike) -> None:
        """A hint that these ids come soon."""
        flat, _ = ids_of(ids, f"{self.name}.prefetch")
        with self._lock:
            slots = self._rows.map.get(flat)
            self._rows.store.prefetch(slots[slots >= 0])

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
        given = [(ids, grads)]
        return apply_all([Batch(self, given, global_step, req_time, duplicates, learning_rate, what=what)])[0]

    def assign(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Weights (*ids.shape, dim) for ids of any shape; states are kept. Of a repeated id the last stays."""
        self._put("assign", ids, values, req_time, adds=False)

    def assign_add(self, ids: npt.ArrayLike, values: npt.ArrayLike, req_time: float | None = None) -> None:
        """Add to the weights of ids; of a repeated id, one after the other."""
        self._put("assign_add", ids, values, req_time, adds=True)

    def _put(self, method: str, ids: Any, values: Any, req_time: float | None, adds: bool) -> None:
        what = f"{self.name}.{method}"
        flat, shape = ids_of(ids, what)
        rows = rows_of(values, shape, self.dim, self.dtype, f"{what}: values", self.place)
        now = second(req_time, what)
        with self._lock:
            admitted = self._admitted(flat, None)
            if admitted is not None:
                flat, rows = flat[admitted], taken(rows, admitted)
                self.stats.blocked += int((~admitted).sum())
            self._make_room(flat, adds)
            for some, its in waves(flat, rows) if adds else [last_of(flat, rows)]:
                self._do(Assign(some, its, now, adds))

    def reinitialize(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Rows as they are born, for all ids; which had one before, in the shape of `ids`."""
        what = f"{self.name}.reinitialize"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._lock:
            had = self._rows.map.get(flat) >= 0
            self._make_room(flat)
            born = unique(flat).ids
            self._do(Renew(born, now))
            self._forget(born)
        return had.reshape(shape)

    def touch(self, ids: npt.ArrayLike, req_time: float | None = None) -> npt.NDArray[np.bool_]:
        """Note the time, as if the rows had been written; which ids have one, in the shape of `ids`."""
        what = f"{self.name}.touch"
        flat, shape = ids_of(ids, what)
        now = second(req_time, what)
        with self._lock:
            had = self._rows.map.get(flat) >= 0
            self._do(Touch(unique(flat[had]).ids, now))
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
        what = f"{self.name}.evict"
        if (ids is not None) + (n is not None) + (where is not None) != 1:
            raise AttributeValueError(f"{what}: give either ids, or n, or where")
        with self._lock:
            if ids is not None:
                gone = unique(ids_of(ids, what)[0]).ids
                gone = gone[self._rows.map.get(gone) >= 0]
            elif where is not None:
                rows = self._columns()
                gone = rows["id"][matching(rows, where)]
            else:
                chosen = Policy(policy) if isinstance(policy, str) else policy or self.policy or Policy()
                rows = self._columns(chosen.reads)
                gone = rows["id"][chosen.victims(min(int(n or 0), len(self)), rows)]
            return self._give_up(gone)

    def expire(self, now: float | None = None) -> Ids:
        """Give up the rows whose time is over; `now`: by default the time of the latest write. The ids that left."""
        at = self.latest if now is None else second(now, f"{self.name}.expire")
        with self._lock:
            if self.expiry is None or not len(self):
                return _NONE
            rows = self._columns(("id", "timestamp"))
            return self._give_up(rows["id"][self.expiry.expired(rows["id"], rows["timestamp"], at)])

    def flush(self) -> None:
        """Let all rows have the decay of the steps that they missed (`decay="decoupled_global"`)."""
        with self._lock:
            self._rows.flush()

    def _columns(self, names: Sequence[str] = ("id", "timestamp", "updates", "weight")) -> dict[str, Array]:
        """What policies look at: copies, on the host, of columns of all rows."""
        slots, columns = self._rows.map.slots(), self._rows.store.columns
        found = {name: columns[name][slots] for name in names if name != "weight"}
        if "weight" in names:
            weights = [on_host(taken(columns[part.weight], slots)) for part in self._rows.parts]
            found["weight"] = joined_rows(weights, axis=1)
        return found

    def _give_up(self, gone: Ids) -> Ids:
        if len(gone):
            self._do(Evict(gone))
        return gone

    # ---- within

    def _do(self, command: Command) -> None:
        """Everything that changes rows goes through here."""
        before = len(self)
        self._rows.do(command)
        if isinstance(command, Evict):
            self.stats.evicted += before - len(self)
            if self.touched is not None:
                self.touched.evicted(command.ids)
            return
        self.latest = max(self.latest, command.now)
        self.stats.born += len(self) - before
        if self.touched is not None and not isinstance(command, Touch):
            self.touched.add(command.ids)

    def _admitted(self, ids: Ids, counts: Array | None) -> npt.NDArray[np.bool_] | None:
        """Which entries may be written: those of ids that have a row, or are admitted. None: all."""
        if self.admission is None:
            return None
        admitted = self._rows.map.get(ids) >= 0
        asked = ~admitted
        if not asked.any():
            return None
        admitted[asked] = self.admission.admit(ids[asked], None if counts is None else counts[asked])
        return admitted

    def _forget(self, ids: Ids) -> None:
        """What was counted of ids that got a row without having to earn it."""
        if self.admission is not None:
            self.admission.forget(ids)

    def _make_room(self, ids: Ids, adds: bool | None = None) -> Ids:
        """Let rows leave if all new ones of a batch would not fit; which. `adds`: as `Rows.prepare` has it."""
        gone = self._leaving(ids)
        if len(gone):  # what may fail comes before
            self._rows.prepare(ids, self.max_rows, adds)
        return self._give_up(gone)

    def _leaving(self, ids: Ids) -> Ids:
        """The rows that have to leave before a batch. TooLateError without a policy that chooses."""
        if self.max_rows is None:
            return _NONE
        missing = len(self._rows.map.missing(ids))
        if len(self) + missing <= self.max_rows:
            return _NONE
        if self.policy is None:
            raise TooLateError(
                f"{self.name}: {missing} new ids and {len(self)} rows are more than max_rows={self.max_rows}; nothing "
                "was written. Give a policy that says which rows leave, evict rows, or raise max_rows"
            )
        protected = np.isin(self.ids(), ids)
        n = self.policy.excess(len(self), missing, self.max_rows, int(protected.sum()))
        rows = self._columns(self.policy.reads)
        gone: Ids = rows["id"][self.policy.victims(n, rows, protected)]
        return gone

    def _rates(self, given: float | Sequence[float] | None, what: str) -> tuple[float, ...] | None:
        if given is None:
            return None
        n = len(self.segments)
        found = (float(given),) * n if np.ndim(given) == 0 else tuple(map(float, given))  # type: ignore[arg-type]
        if len(found) != n:
            raise AttributeValueError(f"{what}: {n} segments need {n} learning rates, got {len(found)}")
        return found


_MISSING = ("zeros", "initialize", "raise")


def _checked(segments: Segment | Sequence[Segment], name: str) -> tuple[Segment, ...]:
    found = (segments,) if isinstance(segments, Segment) else tuple(segments)
    if not found or not all(isinstance(s, Segment) for s in found):
        raise AttributeValueError(f"{name}: a table is made of one Segment or more, got {segments!r}")
    if len({s.dtype for s in found}) > 1:
        raise DTypeError(
            f"{name}: the segments of a table have one dtype, got {', '.join(s.dtype for s in found)}"
        )
    return found


def _one_of(what: str, value: Any, known: tuple[str, ...], name: str) -> Any:
    if value not in known:
        raise AttributeValueError(f"{name}: {what} is one of {', '.join(known)}, got {value!r}")
    return value


def _engine(engine: str, place: Place, name: str) -> str:
    if place is not HOST and engine != "auto":
        raise AttributeValueError(
            f"{name}: rows on {place.context!r} are updated by CUDA kernels: engine must be 'auto', got {engine!r}"
        )
    return engine


def _as_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], what: str, place: Place) -> Array:
    if place is not HOST:
        out = place.as_array(out, f"{what}: out", mutable=True)
        if out.shape != shape or out.dtype != dtype:
            raise ShapeError(f"{what}: out must be {dtype} {shape}, got {out.dtype} {out.shape}")
        return out  # type: ignore[no-any-return]
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ShapeError(f"{what}: out must be a NumPy array of {dtype} {shape}, got {got}")
    if not out.flags.carray:
        raise ShapeError(f"{what}: out must be contiguous and writable")
    return out

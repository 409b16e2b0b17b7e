"""What can be asked of a table without changing it: what it is, and its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..context import Context
from ..idmap import unique
from ..places import HOST
from .bags import Bags, given_ids
from .batches import Array, Ids, ids_of, second
from .checks import MISSING, Missing, as_out, one_of, unknown
from .commands import Have
from .core import Core
from .options import whole
from .placed import joined_rows, taken
from .results import Entries

Item = TypeVar("Item")


class Reading(Core):
    """A base class of Table: lookups, which may make rows, and facts."""

    missing: Missing
    ctx: Context

    # ---- what it is

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory: header, weights and states."""
        return self._rows.layout.stride

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

    def contains(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which ids have a row, in the shape of `ids`."""
        flat, shape = ids_of(ids, f"{self.name}.contains")
        with self._lock:
            return self._have(flat).reshape(shape)

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
            raise unknown(ids[absent], what)
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
        >>> from symopt.embedding import Segment, Table
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

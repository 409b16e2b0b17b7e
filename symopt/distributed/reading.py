"""What can be asked of a sharded table: answers of all shards, joined."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..embedding.bags import Bags, given_ids
from ..embedding.batches import Array, Ids, ids_of, second
from ..embedding.checks import MISSING, Missing, as_out, one_of, unknown
from ..embedding.commands import Have
from ..embedding.options import whole
from ..embedding.reading import Reading
from ..embedding.results import Columns, Entries, Stats
from ..embedding.shards import Split
from ..errors import ClusterError
from ..idmap import unique
from .cluster import Cluster
from .partition import Known
from .stream import Stream


class ShardedReading(Reading):
    """A base class of ShardedTable: lookups, which may make rows, and facts."""

    cluster: Cluster
    _stream: Stream
    _is_closed = False
    _known: Known | None = None

    # ---- what it is

    @property
    def stats(self) -> Stats:  # type: ignore[override]
        """What was done with the table since it was made or opened here. `born`: as far as shards have answered."""
        return self._stream.stats

    def __len__(self) -> int:
        return sum(n for n, _ in self._ask("size"))

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.segments))
        return f"<ShardedTable {self.name!r}: {self.dim} columns, {parts}, at {self.cluster.n_shards} shards>"

    def ids(self) -> Ids:
        """All ids that have a row, (n,): those of the first shard first."""
        return np.concatenate(self._ask("ids"))

    def memory_bytes(self) -> int:
        """Bytes of records, id maps and counts, in use or reserved, at all shards and here."""
        counts = self.admission.memory_bytes() if self.admission else 0
        found: int = sum((nbytes for _, nbytes in self._ask("size")), counts)
        return found

    def reserve(self, n: int) -> None:
        """Have room for `n` rows, so that nothing need grow before."""
        n = whole(f"{self.name}: reserve", n, 0, 1 << 48)
        if n:
            self._ask("reserve", -(-n // self.cluster.n_shards))
            self._stream.reserved = max(self._stream.reserved, n)  # shards that are started again have it too

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
        """See Table.lookup. Steps that were pushed before are in it, but for the cluster's `staleness`."""
        what = f"{self.name}.lookup"
        flat, shape = given_ids(ids, what)
        missing = self.missing if missing is None else one_of("missing", missing, MISSING, what)
        if out is not None:
            out = as_out(out, (*shape, self.dim), self.dtype, what).reshape(-1, self.dim)
        with self._lock:
            rows, hits = self._pulled(flat, missing, req_time, what, None if isinstance(ids, Bags) else out)
        if isinstance(ids, Bags):
            rows = self._pooled(rows, ids, int(np.prod(shape)), out)
        shown = rows.reshape(*shape, self.dim)
        if not with_hits:
            return shown
        return shown, hits if isinstance(ids, Bags) else hits.reshape(shape)

    def _pulled(
        self, ids: Ids, missing: Missing, req_time: float | None, what: str, out: Array | None
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """The rows of ids (n,), as a writable array; and which of them had one before."""
        # whoever raises below has written nothing
        pulled = self._pull(ids, may_be_stale=True, out=out if missing == "zeros" else None)
        hits = pulled.hits()
        absent = ids[~hits]
        if len(absent) and missing == "raise":
            raise unknown(absent, what)
        made = None
        if len(absent) and missing == "initialize":
            born, now = unique(absent).ids, second(req_time, what)
            with self._batch():
                leaving = self._leaving(ids)
                # before rows are made: whoever interrupts that has looked up
                self._count(len(ids), len(absent))
                self._carry_out(leaving, Have(born, now))
            made = self._pull(absent)
        else:
            self._count(len(ids), len(absent))
        shown = pulled.rows() if out is None else None
        if shown is None:
            shown = np.empty((len(ids), self.dim), self.dtype) if out is None else out
            pulled.write(shown)
        if made is not None:
            rows = np.empty((len(absent), self.dim), self.dtype)
            made.write(rows)
            shown[~hits] = rows
        return shown, hits

    def _count(self, n: int, n_absent: int) -> None:
        self.stats.hits += n - n_absent
        self.stats.misses += n_absent

    def _split(self, ids: Ids) -> Split:
        """How the shards split ids."""
        known, partition = self._known, self.cluster.partition
        return known.split(partition) if known is not None and ids is known.ids else partition.split(ids)

    def _pull(self, ids: Ids, may_be_stale: bool = False, out: Array | None = None) -> Pulled:
        """`out`: where rows go, (n, dim). Shards of this process write them there at once, if they are in order."""
        self._check_open()
        split = self._split(ids)
        each = _each(split)
        is_written = out is not None and split.places is None and not self.cluster.transport.may_lose
        if is_written:
            assert out is not None
            each = [None if its is None else (*its, out[split.shard(k)]) for k, its in enumerate(each)]
        answers = self.cluster.ask(self._stream, "pull", each=each, may_be_stale=may_be_stale)
        return Pulled(split, answers, is_written)

    def _pooled(self, rows: Array, bags: Bags, n: int, out: Array | None) -> Array:
        if out is None:
            out = np.empty((n, self.dim), self.dtype)
        each = bags.spread_slots(np.arange(len(rows)))
        if each is not None:
            out[...] = np.where(each[:, None] >= 0, rows[each], 0) if len(rows) else 0
        else:
            bags.pool(rows, np.arange(len(rows)), self.dim, out, native=self.engine == "native")
        return out

    def lookup_entry(self, ids: npt.ArrayLike) -> Entries:
        """See Table.lookup_entry."""
        flat, _ = ids_of(ids, f"{self.name}.lookup_entry")
        split, answers = self._ask_of("entries", flat)
        parts = [Entries(*each) for each in answers]
        sorted_hits = np.concatenate([part.hits for part in parts])
        order = None if split.places is None else np.argsort(split.places[sorted_hits], kind="stable")

        def whole_of(columns: Sequence[Array]) -> Array:
            found = np.concatenate(columns)
            return found if order is None else found[order]

        return Entries(
            split.gather(sorted_hits),
            whole_of([part.ids for part in parts]),
            whole_of([part.weights for part in parts]),
            {name: whole_of([part.states[name] for part in parts]) for name in parts[0].states},
            whole_of([part.timestamps for part in parts]),
            whole_of([part.updates for part in parts]),
        )

    def prefetch(self, ids: npt.ArrayLike) -> None:
        """Nothing but a check: the rows of shards are in memory."""
        ids_of(ids, f"{self.name}.prefetch")
        self._check_open()
        self.cluster.check()

    # ---- within: what Core asks of its rows, asked of shards

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClusterError(f"{self.name} was closed: make a ShardedTable of this name to go on with it")

    def _ask(self, question: str, *args: Any, each: Sequence[Any] | None = None) -> list[Any]:
        self._check_open()
        return self.cluster.ask(self._stream, "ask", question, *args, each=each)

    def _ask_of(self, question: str, ids: Ids, *more: Any) -> tuple[Split, list[Any]]:
        """What the shards of ids answer about them, one after the other; one answers, even if there are no ids."""
        split = self._split(ids)
        each = _each(split, *more)
        if not len(ids):
            each[0] = (ids, *more)
        return split, [answer for answer in self._ask(question, each=each) if answer is not None]

    def _have(self, ids: Ids) -> npt.NDArray[np.bool_]:
        split, answers = self._ask_of("have", ids)
        return split.gather(np.concatenate(answers))

    def _n_missing(self, ids: Ids) -> int:
        found: int = sum(self._ask_of("n_missing", ids)[1])
        return found

    def _columns(self) -> Columns:
        return Columns({n: partial(self._column, n) for n in ("id", "timestamp", "updates", "weight")})

    def _column(self, name: str) -> Array:
        return np.concatenate([found[name] for found in self._ask("columns", [name])])


class Pulled(NamedTuple):
    """What shards answer to a lookup: rows, and which of the ids have one, None for all; None from one without ids.
    `is_written`: where they belong."""

    split: Split
    answers: list[Any]
    is_written: bool = False

    def hits(self) -> npt.NDArray[np.bool_]:
        """Which ids have a row, in the order that they were given in."""
        found = np.ones(len(self.split.ids), np.bool_)
        for k, answer in enumerate(self.answers):
            if answer is not None and answer[1] is not None:
                found[self.split.given(k)] = answer[1]
        return found

    def rows(self) -> Array | None:
        """The rows as the only shard gave them, if nobody else has this array, which then may be written to."""
        if len(self.answers) > 1 or self.answers[0] is None or not self.answers[0][0].flags.writeable:
            return None
        found: Array = self.answers[0][0]
        return found

    def write(self, out: Array) -> None:
        """Write the rows, (n, dim), in that order."""
        if not out.size or self.is_written:
            return
        whole = _as_one(out)
        for k, answer in enumerate(self.answers):
            if answer is not None:
                whole[self.split.given(k)] = _as_one(answer[0])


def _as_one(rows: Array) -> Array:
    """Rows (n, dim) as (n,) of their bytes, which numpy moves twice as fast as numbers."""
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1)


def _each(split: Split, *more: Any) -> list[tuple[Any, ...] | None]:
    """The arguments of each shard: its ids, and others; None for one that has no ids."""
    return [(split.ids[split.shard(k)], *more) if split.sizes[k] else None for k in range(len(split.sizes))]

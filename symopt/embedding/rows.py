"""The rows of a table, and what is done to them. Who may ask for it, and when, is for the table to decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..idmap import IdMap
from ..places import HOST, Place
from ..records.device import DeviceRowGraph
from ..records.graph import RowGraph
from ..records.layout import ID, TIMESTAMP, UPDATES, Layout
from ..training.graph import variable_name
from .accounts import ALIGNMENT, Accounts
from .bags import Bags
from .changing import assign, decay, evict, go_on, have, put, renew, resume, settle, touch
from .commands import (
    Array,
    Assign,
    Command,
    Decayed,
    Evict,
    GoOn,
    Have,
    Ids,
    Put,
    Renew,
    Resume,
    Settle,
    Touch,
    Update,
)
from .devicestore import DeviceStore
from .doing import Doing
from .initializers import Custom
from .parts import DECAYED, OUT, Graph, Part, joined, missed
from .placed import beside, on_host, taken, write
from .segment import Segment
from .store import MemoryStore, RowStore, vacate
from .updating import update

_AT_ONCE = 1 << 16  # rows
MakeStore = Callable[[Layout], RowStore]
AnyGraph = RowGraph | DeviceRowGraph
Slots = npt.NDArray[np.int64]


class Found(NamedTuple):
    """Slots (n,) of ids, -1 for those of them, `new`, that have no row yet; what functions of the user's give these as
    weights, for each segment."""

    slots: Slots
    new: Ids
    first: Sequence[Array | None]


class Rows(Accounts):
    """Ids, their records, and the graphs that run on them; and the numbers that all of them share."""

    def __init__(
        self,
        segments: Sequence[Segment],
        *,
        seed: int = 0,
        engine: str = "auto",
        place: Place = HOST,
        make_store: MakeStore | None = None,
        alignment: int = ALIGNMENT,
        what: str = "a table",
    ) -> None:
        super().__init__(segments, alignment)
        self.place = place
        self.store = make_store(self.layout) if make_store else self._store()
        self.map = IdMap(seed=seed, engine=engine)
        self.engine = self.map.engine
        self.ask: Callable[[Callable[[], Array]], Array] = _directly  # how functions of the user's are asked
        self._engine = engine
        self._options: dict[str, Any] = {"seed": seed, "what": what}
        self.updating = self._graph([p.updating() for p in self.parts], stamps=True)
        self._reading = self._graph([p.reading() for p in self.parts])
        self.born = self._graph([p.birth() for p in self.parts])
        self._assign_graphs: dict[bool, AnyGraph] = {}  # made when first asked for
        self._settling = [self._graph([p.settling()]) if p.is_global else None for p in self.parts]
        self._is_plain = all(p.segment.compressor.is_straight and not p.is_global for p in self.parts)
        self.needs_updates = any(p.needs_updates for p in self.parts)

    def _graph(self, graphs: Sequence[Graph], stamps: bool = False) -> AnyGraph:
        symbol, bound, outputs = joined(graphs)
        more = {"stamps": stamps, **self._options}
        if self.place is HOST:
            return RowGraph(symbol, self.layout, bound, outputs, engine=self._engine, **more)
        return DeviceRowGraph(symbol, self.layout, bound, outputs, place=self.place, **more)

    def _store(self) -> RowStore:
        if self.place is HOST:
            return MemoryStore(self.layout)
        kept = frozenset(variable_name(part.name, DECAYED) for part in self.parts)
        return DeviceStore(self.layout, self.place, kept)

    def __len__(self) -> int:
        return len(self.map)

    # ---- reading

    def read(self, slots: Array, out: Array | None = None) -> Array:
        """What lookups show of the rows in these slots, (n, dim); zeros for a slot of -1."""
        if out is None:
            out = self.prepare_read(len(slots), len(slots))
        self.need(slots)
        numbers = self.shown_scales(self.scales)
        for part, log in zip(self.parts, self.logs, strict=True):
            if part.is_global:
                columns = (
                    self.column(part, DECAYED)[np.maximum(slots, 0), 0] if len(self) else np.zeros(len(slots))
                )
                numbers[f"@{DECAYED}:{part.name}"] = missed(columns, log)
        self._reading.run(self.store.records, slots, {OUT: out}, numbers)
        return out

    def pool(self, slots: Array, bags: Bags, out: Array | None = None) -> Array:
        """What lookups show of bags of the rows in these slots, (n, dim): (n_bags, dim), or (n_bags * n, dim)."""
        each = bags.spread_slots(slots)
        if each is not None:
            return self.read(each, out)
        if out is None:
            out = self.prepare_read(len(bags), len(slots))
        if self.place is not HOST:
            bags.pool_there(self.place, self.read(slots), out)
            return out
        native = self.map.engine == "native"
        if native and self._is_plain:  # rows are added where they lie
            self.need(slots)
            begin = self.layout[self.parts[0].weight].offset
            weights = self.store.records[:, begin : begin + self.dim * self.dtype.itemsize].view(self.dtype)
            bags.pool(weights, slots, self.dim, out, native)
        else:
            bags.pool(self.read(slots), np.arange(len(slots)), self.dim, out, native)
        return out

    def need(self, slots: Array) -> None:
        """Have the records of those slots that are no -1 in memory."""
        if type(self.store) is not MemoryStore:
            self.store.fetch(slots[slots >= 0])

    def copied(self, name: str, slots: Array) -> Array:
        """A column of the records of these slots, on the host; some at a time, where they have to be fetched."""
        column = self.store.columns[name]
        found = np.empty((len(slots), *column.shape[1:]), column.dtype)
        for begin in range(0, len(slots), _AT_ONCE):
            some = slots[begin : begin + _AT_ONCE]
            self.store.fetch(some)
            found[begin : begin + _AT_ONCE] = on_host(taken(column, some))
        return found

    def take(self, slots: Array) -> None:
        """Have records in memory that are about to be written."""
        self.store.fetch(slots)
        self.store.changing(slots)

    def column(self, part: Part, kind: str) -> Array:
        """A column of a part: (capacity, width)."""
        return self.store.columns[f"{part.name}/{kind}"]

    # ---- writing

    def do(self, command: Command) -> None:
        """Carry out a command that was checked."""
        for _ in self.doing(command):
            pass

    def doing(self, command: Command, n_leaving: int = 0, is_last: bool = True) -> Doing:
        """A command that was checked, to be carried out in three parts. `n_leaving`: rows that leave before it.
        `is_last`: nothing may fail after it."""
        if isinstance(command, Evict):
            return evict(self, command, is_last)
        return _DOERS[type(command)](self, command, n_leaving)

    def assigning(self, adds: bool) -> AnyGraph:
        """The graph that writes weights, or adds to them."""
        if adds not in self._assign_graphs:
            self._assign_graphs[adds] = self._graph([p.assigning(adds) for p in self.parts])
        return self._assign_graphs[adds]

    def ready_to_settle(self, n: int) -> None:
        """Have what it takes to settle `n` rows."""
        for graph in self._settling:
            if graph is not None:
                graph.reserve(n)

    def settle(self, slots: Array) -> None:
        """Let rows have the decay that they have not seen."""
        for part, graph, log in zip(self.parts, self._settling, self.logs, strict=True):
            if graph is not None:
                column = self.column(part, DECAYED)
                numbers = {f"@{DECAYED}:{part.name}": missed(column[slots, 0], log)}
                graph.run(self.store.records, slots, {}, numbers)
                column[slots, 0] = log

    @contextmanager
    def kept(self, slots: Slots) -> Iterator[None]:
        """If what is done within fails, these records are what they were: on the host, where it may fail."""
        if self.place is not HOST:
            yield
            return
        before = self.store.records[slots]
        try:
            yield
        except BaseException:
            self.store.records[slots] = before
            raise

    # ---- births

    def find(self, ids: Ids, n_leaving: int = 0, asks: bool = True) -> Found:
        """What there is of ids, each once, and room for the others. Functions of the user's are asked, unless not."""
        slots = self.map.get(ids)
        absent = slots < 0
        if not absent.any():
            return Found(slots, ids[:0], ())
        new = ids[absent]
        first = self.first_weights(new) if asks else [None] * len(self.parts)
        self.born.reserve(len(new))
        self.make_room(max(len(new) - n_leaving, 0))
        return Found(slots, new, first)

    @contextmanager
    def having(self, found: Found, ids: Ids, now: int, keeps: bool = True) -> Iterator[Slots]:
        """The slots of ids; those that have none get one, and are born. If what is done within fails, they were never
        here, and, if that `keeps`, the others are what they were."""
        slots = found.slots
        if not len(found.new):
            self.take(slots)
            with self.kept(slots) if keeps else nullcontext():
                yield slots
            return
        slots = self.map.get_or_insert(ids).slots
        try:
            self.take(slots)
            born = slots[found.slots < 0]
            self.bear(born, found.new, now, found.first)
            with self.kept(slots) if keeps else nullcontext():
                yield slots
        except BaseException:
            vacate(self.store, self.map.remove(found.new))
            raise

    def prepare_read(self, n: int, n_slots: int) -> Array:
        """Have what it takes to read `n_slots` rows: an array for the `n` (n, dim) that are shown, among others."""
        self._reading.reserve(n_slots)
        return self.place.empty((n, self.dim), self.dtype)

    def make_room(self, n: int) -> None:
        """Have memory for `n` rows more. MemoryError or OSError, and nothing is changed, if there is none."""
        self.store.reserve(max(self.map.n_slots, len(self.map) + n))
        self.map.make_room(n)

    def first_weights(self, ids: Ids) -> list[Array | None]:
        """What functions of the user's give new ids as weights; None for segments that begin otherwise."""
        kinds = [(part.segment.initializer, part.segment.dim) for part in self.parts]
        made = [self._asked(i, ids, dim) if isinstance(i, Custom) else None for i, dim in kinds]
        columns = [self.column(part, "weight") for part in self.parts]
        return [None if x is None else beside(column, x) for x, column in zip(made, columns, strict=True)]

    def _asked(self, made: Custom, ids: Ids, dim: int) -> Array:
        return self.ask(lambda: made.rows(ids, dim, self.dtype.name))

    def bear(self, slots: Array, ids: Ids, now: int, first: Sequence[Array | None]) -> None:
        """Make these records rows as they are born. `first`: weights, for segments whose weights a function gives."""
        columns = self.store.columns
        columns[ID][slots] = ids
        columns[TIMESTAMP][slots] = now
        columns[UPDATES][slots] = 0
        self.born.run(self.store.records, slots)
        for part, log, weights in zip(self.parts, self.logs, first, strict=True):
            if part.is_global:
                self.column(part, DECAYED)[slots] = log
            if weights is not None:
                write(self.column(part, "weight"), slots, weights)


def _directly(function: Callable[[], Array]) -> Array:
    return function()


_DOERS: dict[type, Callable[[Rows, Any, int], Doing]] = {
    Update: update, Assign: assign, Have: have, Renew: renew, Put: put, Touch: touch, Settle: settle, Decayed: decay,
    GoOn: go_on, Resume: resume,
}  # fmt: skip

"""The rows of a table, and what is done to them. Who may ask for it, and when, is for the table to decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..idmap import IdMap
from ..places import HOST, Place
from ..records.device import DeviceRowGraph
from ..records.graph import RowGraph
from ..records.layout import ID, TIMESTAMP, UPDATES, Layout
from ..training.graph import variable_name
from .bags import Bags
from .commands import Array, Assign, Command, Decayed, Evict, Have, Ids, Put, Renew, Settle, Touch, Update
from .devicestore import DeviceStore
from .initializers import Custom
from .onebit import OneBit
from .parts import DECAYED, GRADS, OUT, Graph, Part, joined, layout_of, log_of, missed
from .placed import beside, on_host, taken, write
from .segment import Segment
from .store import MemoryStore, RowStore, vacate

ALIGNMENT = 16
_AT_ONCE = 1 << 16  # rows
MakeStore = Callable[[Layout], RowStore]
AnyGraph = RowGraph | DeviceRowGraph


class Rows:
    """Ids, their records, and the graphs that run on them.

    `dim`: columns of a row; `dtype`: of them, and of what is computed. `steps`: updates so far. `logs`: for each
    segment the logarithm of what its decay has made of weights since the table was empty; `scales`: of soft codes.
    """

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
        starts = np.cumsum([0, *(s.dim for s in segments)]).tolist()
        self.parts = [Part(s, k, starts[k]) for k, s in enumerate(segments)]
        self.dim: int = starts[-1]
        self.dtype = np.dtype(segments[0].dtype)
        self.layout = layout_of(self.parts, alignment)
        self.place = place
        self.store = make_store(self.layout) if make_store else self._store()
        self.map = IdMap(seed=seed, engine=engine)
        self.ask: Callable[[Callable[[], Array]], Array] = _directly  # how functions of the user's are asked
        self.steps = 0
        self.logs = [0.0] * len(self.parts)
        codes = [part.segment.compressor for part in self.parts]
        self.scales = [code.init_scale if isinstance(code, OneBit) else 1.0 for code in codes]
        self._soft = [k for k, code in enumerate(codes) if isinstance(code, OneBit)]
        self._engine = engine
        self._options: dict[str, Any] = {"seed": seed, "what": what}
        self._updating = self._graph([p.updating() for p in self.parts], stamps=True)
        self._reading = self._graph([p.reading() for p in self.parts])
        self._born = self._graph([p.birth() for p in self.parts])
        self._assign_graphs: dict[bool, AnyGraph] = {}  # made when first asked for
        self._settling = [self._graph([p.settling()]) if p.is_global else None for p in self.parts]
        self._is_plain = all(p.segment.compressor.is_straight and not p.is_global for p in self.parts)
        self._needs_updates = any(p.needs_updates for p in self.parts)

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
        numbers = self._shown()
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

    def _take(self, slots: Array) -> None:
        """Have records in memory that are about to be written."""
        self.store.fetch(slots)
        self.store.changing(slots)

    def _shown(self) -> dict[str, Any]:
        """The scales that soft codes have now."""
        return {f"@scale:{self.parts[k].name}": self.scales[k] for k in self._soft}

    def column(self, part: Part, kind: str) -> Array:
        """A column of a part: (capacity, width)."""
        return self.store.columns[f"{part.name}/{kind}"]

    # ---- writing

    def do(self, command: Command) -> None:
        """Carry out a command that was checked. If it raises, for want of memory, nothing was changed."""
        _DOERS[type(command)](self, command)

    def update(self, c: Update) -> None:
        """One step of every rule."""
        numbers: dict[str, Any] = {}
        for k, part in enumerate(self.parts):  # functions of the user's are asked before anything changes
            numbers |= part.numbers(c.done, c.rates[k] if c.rates else None)
        shrinks = [part.shrinking(numbers) if part.decays else 0.0 for part in self.parts]
        self.prepare_update(len(c.ids))
        slots = self._slots(c.ids, c.now)
        if c.first:
            self._grow_scales(c.done)
        numbers |= self._shown()
        if self._needs_updates:
            updates = self.store.columns[UPDATES][slots]
            for part in self.parts:
                numbers |= part.by_age(updates)
        for k, part in enumerate(self.parts):
            if part.decays:
                numbers |= self._decay(k, part, shrinks[k], slots, c.first)
        self._updating.run(self.store.records, slots, {GRADS: c.grads}, numbers, c.now)
        if c.first:
            self.steps = c.done + 1
            for part in self.parts:
                part.hyper.advance(c.done)

    def _grow_scales(self, done: int) -> None:
        for k in self._soft:
            code: Any = self.parts[k].segment.compressor
            self.scales[k] = code.scale_after(self.scales[k], done)

    def _decay(self, k: int, part: Part, taken: float, slots: Array, first: bool) -> dict[str, Any]:
        """The number of a part's decay in this step, which takes so much of the weights."""
        if part.is_global:
            if first:
                self.logs[k] += log_of(taken)
            column = self.column(part, DECAYED)
            found = missed(column[slots, 0], self.logs[k])
            column[slots, 0] = self.logs[k]
            return {f"@{DECAYED}:{part.name}": found}
        return {f"@{DECAYED}:{part.name}": taken}

    def assign(self, c: Assign) -> None:
        """Weights as they are given; states are kept."""
        self._ready_to_assign(len(c.ids), c.adds)
        slots = self._slots(c.ids, c.now)
        self._settle(slots)
        self._assigning(c.adds).run(self.store.records, slots, {GRADS: c.values})
        self.store.columns[TIMESTAMP][slots] = c.now

    def _assigning(self, adds: bool) -> AnyGraph:
        if adds not in self._assign_graphs:
            self._assign_graphs[adds] = self._graph([p.assigning(adds) for p in self.parts])
        return self._assign_graphs[adds]

    def _ready_to_assign(self, n: int, adds: bool) -> None:
        for graph in (self._assigning(adds), *self._settling):
            if graph is not None:
                graph.reserve(n)

    def renew(self, c: Renew) -> None:
        """Rows as they are born."""
        self._born.reserve(len(c.ids))
        first = self.first_weights(c.ids)
        self._bear(self._slots(c.ids, c.now), c.ids, c.now, first)

    def put(self, c: Put) -> None:
        """Columns as they are given."""
        first = self.first_weights(c.ids) if c.anew else ()
        slots = self._slots(c.ids, c.now)
        if c.anew:
            self._bear(slots, c.ids, c.now, first)
        else:
            self._settle(slots)
        for name, values in c.columns.items():
            write(self.store.columns[name], slots, values)

    def have(self, c: Have) -> None:
        """Rows as they are born, for ids that have none."""
        self._slots(c.ids, c.now)

    def touch(self, c: Touch) -> None:
        """The second only."""
        slots = self.map.get(c.ids)
        slots = slots[slots >= 0]
        self._take(slots)
        self.store.columns[TIMESTAMP][slots] = c.now

    def evict(self, c: Evict) -> None:
        """Give rows up; their slots are used again."""
        self._leave(c.ids)

    def _leave(self, ids: Ids) -> None:
        slots = self.map.remove(ids)
        vacate(self.store, slots[slots >= 0])

    def decay(self, c: Decayed) -> None:
        """Decay of all rows, which they make up for."""
        self.logs = [log + more for log, more in zip(self.logs, c.logs, strict=True)]

    def settle(self, c: Settle) -> None:
        """The decay that rows have not seen."""
        slots = self.map.get(c.ids)
        slots = slots[slots >= 0]
        self._take(slots)
        self._settle(slots)

    def _settle(self, slots: Array) -> None:
        for part, graph, log in zip(self.parts, self._settling, self.logs, strict=True):
            if graph is not None:
                column = self.column(part, DECAYED)
                numbers = {f"@{DECAYED}:{part.name}": missed(column[slots, 0], log)}
                graph.run(self.store.records, slots, {}, numbers)
                column[slots, 0] = log

    # ---- births

    def _slots(self, ids: Ids, now: int) -> npt.NDArray[np.int64]:
        """The slots of ids, each once; those that have none get one, and are born."""
        slots = self.map.get(ids)
        absent = slots < 0
        if not absent.any():
            self._take(slots)
            return slots
        first = self.first_weights(ids[absent])
        self._born.reserve(int(absent.sum()))
        self.make_room(int(absent.sum()))
        found = self.map.get_or_insert(ids)
        self._take(found.slots)
        if len(found.new_slots):
            try:
                self._bear(found.new_slots, found.new_ids, now, first)
            except BaseException:  # such as an interrupt: they were never here
                self._leave(found.new_ids)
                raise
        return found.slots

    def has_room(self, n: int) -> bool:
        """Whether `n` rows more can be born for certain: without more memory, and without functions of the user's."""
        fits = max(self.map.n_slots, len(self.map) + n) <= len(self.store.columns[ID]) and self.map.has_room(
            n
        )
        return fits and not any(isinstance(p.segment.initializer, Custom) for p in self.parts)

    def prepare(self, ids: Ids, most: int | None = None, adds: bool | None = None) -> None:
        """Have all memory that it takes to give a row to each of these ids, of which `most` stay; and, with `adds`, to
        assign weights, or add to them. MemoryError or OSError if there is none: nothing is changed then."""
        missing = self.map.missing(ids)
        if len(missing):
            self.first_weights(missing)
            self.make_room(len(missing), most)
        self._born.reserve(len(ids))
        if adds is not None:
            self._ready_to_assign(len(ids), adds)

    def prepare_update(self, n: int) -> None:
        """Have what an update of `n` rows, some of them new, takes beside the rows themselves."""
        self._updating.reserve(n)
        self._born.reserve(n)

    def prepare_read(self, n: int, n_slots: int) -> Array:
        """Have what it takes to read `n_slots` rows: an array for the `n` (n, dim) that are shown, among others."""
        self._reading.reserve(n_slots)
        return self.place.empty((n, self.dim), self.dtype)

    def make_room(self, n: int, most: int | None = None) -> None:
        """Have memory for `n` rows more, but for `most` at most, since others leave before. MemoryError or OSError, and
        nothing is changed, if there is none."""
        wanted = len(self.map) + n
        self.store.reserve(max(self.map.n_slots, wanted if most is None else min(wanted, most)))
        self.map.make_room(n)

    def first_weights(self, ids: Ids) -> list[Array | None]:
        """What functions of the user's give new ids as weights; None for segments that begin otherwise."""
        kinds = [(part.segment.initializer, part.segment.dim) for part in self.parts]
        made = [self._asked(i, ids, dim) if isinstance(i, Custom) else None for i, dim in kinds]
        columns = [self.column(part, "weight") for part in self.parts]
        return [None if x is None else beside(column, x) for x, column in zip(made, columns, strict=True)]

    def _asked(self, made: Custom, ids: Ids, dim: int) -> Array:
        return self.ask(lambda: made.rows(ids, dim, self.dtype.name))

    def _bear(self, slots: Array, ids: Ids, now: int, first: Sequence[Array | None]) -> None:
        columns = self.store.columns
        columns[ID][slots] = ids
        columns[TIMESTAMP][slots] = now
        columns[UPDATES][slots] = 0
        self._born.run(self.store.records, slots)
        for part, log, weights in zip(self.parts, self.logs, first, strict=True):
            if part.is_global:
                self.column(part, DECAYED)[slots] = log
            if weights is not None:
                write(self.column(part, "weight"), slots, weights)


def _directly(function: Callable[[], Array]) -> Array:
    return function()


_DOERS: dict[type, Callable[[Rows, Any], None]] = {
    Update: Rows.update, Assign: Rows.assign, Have: Rows.have, Renew: Rows.renew, Put: Rows.put, Touch: Rows.touch,
    Evict: Rows.evict, Settle: Rows.settle, Decayed: Rows.decay,
}  # fmt: skip

"""Several tables that are looked up and updated together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, DeviceError
from ..places import HOST
from ..state import Commit, Differences, load_state
from .bags import Bags
from .batch import Batch, apply_all
from .checks import Missing
from .configured import Config, merged
from .core import Core
from .entry.features import FeatureFactory
from .fused import Cells, Fused, Parcel, known_names, one_dtype
from .results import Applied, Stats
from .table import Table

Rates = Mapping[str, float | Sequence[float]]


class Tables:
    """Tables by name, for batches that have ids of several.

    tables: `Table`s, and `so.distributed.ShardedTable`s, which wait for their shards at the end of each step.

    Two names may have one table, such as those of two features whose ids are of one kind: their ids are looked up
    together, and in a step the gradients of an id that both have are summed once. Whatever is given by name may leave
    names out.

    A step is applied to all tables or, if anything is wrong with one, to none. Any number of threads may use the
    tables, together or one by one.

    >>> from symopt.embedding import Segment
    >>> users = Table(Segment(2, "adagrad", learning_rate=0.1), name="users")
    >>> items = Table(Segment(3, "sgd", learning_rate=1.0), name="items")
    >>> tables = Tables({"user": users, "clicked": items, "bought": items})
    >>> one = np.ones((1, 3), np.float32)
    >>> batch = {"clicked": ([7], one), "bought": ([7], one), "user": ([7], one[:, :2])}
    >>> done = tables.apply_gradients(batch)
    >>> tables.lookup({"bought": [7]})
    {'bought': array([[-2., -2., -2.]], dtype=float32)}
    >>> len(tables)
    2
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        are_named = isinstance(tables, Mapping) and all(isinstance(name, str) for name in tables)
        if not are_named or not tables or not all(isinstance(table, Core) for table in tables.values()):
            raise AttributeValueError(f"Tables: expected a dict of Tables by their names, got {tables!r}")
        self._by_name = {name: tables[name] for name in sorted(tables)}
        self._names: dict[int, list[str]] = {}
        for name, table in self._by_name.items():
            self._names.setdefault(id(table), []).append(name)
        #: Each table once, under the first of its names.
        self.members = {names[0]: self._by_name[names[0]] for names in self._names.values()}

    @classmethod
    def from_config(cls, configs: FeatureFactory | Mapping[str, Config], **options: Any) -> Tables:
        """The tables of a FeatureFactory, or of configurations by name; `options`: those of every `Table.from_config`.

        Configurations with equal text make one table, which has all their names, as in Monolith: their ids must differ,
        for an id that two names share is one row.

        >>> from symopt.embedding import entry
        >>> factory = entry.FeatureFactory()
        >>> for k in (3, 5):
        ...     slot = factory.create_feature_slot(entry.FeatureSlotConfig(slot_id=k))
        ...     _ = slot.add_feature_slice(16)
        >>> Tables.from_config(factory)
        <Tables with rows of 3=5: 0>
        """
        found, own = merged(configs)
        made: dict[str, Table] = {}
        for names, config in found.items():
            table = Table.from_config(config, **{"name": "+".join(names), **own, **options})
            made |= dict.fromkeys(names, table)
        return cls(made)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(self._by_name)

    def __getitem__(self, name: str) -> Any:
        known_names({name: None}, self.names, "Tables")
        return self._by_name[name]

    def __len__(self) -> int:
        """Rows in all tables."""
        return sum(len(table) for table in self.members.values())

    def __repr__(self) -> str:
        parts = [f"{'='.join(self._names[id(table)])}: {len(table)}" for table in self.members.values()]
        return f"<Tables with rows of {', '.join(parts)}>"

    def memory_bytes(self) -> int:
        """Bytes of all tables, in use or reserved."""
        return sum(table.memory_bytes() for table in self.members.values())

    @property
    def stats(self) -> dict[str, Stats]:
        """What each table has done, under the first of its names."""
        return {name: table.stats for name, table in self.members.items()}

    # ---- by name

    def lookup(
        self,
        ids: Mapping[str, npt.ArrayLike | Bags],
        *,
        missing: Missing | None = None,
        with_hits: bool = False,
        req_time: float | None = None,
    ) -> dict[str, Any]:
        """The embeddings of ids of any shapes, or of Bags, by name; `Table.lookup` has the rest."""
        known_names(ids, self.names, "Tables.lookup")
        more: dict[str, Any] = {"missing": missing, "with_hits": with_hits, "req_time": req_time}
        return {name: self._by_name[name].lookup(given, **more) for name, given in ids.items()}

    def apply_gradients(
        self,
        batch: Mapping[str, tuple[npt.ArrayLike | Bags, npt.ArrayLike]],
        global_step: int | None = None,
        req_time: float | None = None,
        *,
        duplicates: str | None = None,
        learning_rate: Rates | None = None,
    ) -> dict[str, Applied]:
        """One step of every table that is named: {name: (ids, gradients)}. What each did, under its first name.

        `learning_rate`: by name, in place of the segments' own; names of one table must agree. `Table.apply_gradients`
        has the rest. If this raises, no row of any table is changed; occurrences that an admission has counted by then
        stay counted.
        """
        what = "Tables.apply_gradients"
        known_names(batch, self.names, what)
        rates = self._rates(learning_rate or {}, what)
        batches = []
        for table, names in self._grouped(batch):
            of, given = f"{what}: {', '.join(names)}", [_checked(batch[n], f"{what}: {n}") for n in names]
            rate = rates.get(id(table))
            batches.append(Batch(table, given, global_step, req_time, duplicates, rate, what=of))
        applied = apply_all(batches)
        return {self._names[id(b.table)][0]: result for b, result in zip(batches, applied, strict=True)}

    # ---- in one vector

    def parcel(self, ids: Mapping[str, npt.ArrayLike], n_shards: int) -> Parcel:
        """Ids by name, each once, sorted for `n_shards` owners (`shard_of`): see `Parcel`."""
        known_names(ids, self.names, "Tables.parcel")
        dims = {name: table.dim for name, table in self._by_name.items()}
        return Parcel(ids, dims, n_shards, self._dtype("Tables.parcel"), "Tables.parcel")

    def fused_lookup(self, ids: npt.ArrayLike, sizes: npt.ArrayLike, n_shards: int = 1) -> Fused:
        """Embeddings in one vector for ids in one vector, as Monolith's fused_lookup has them.

        The ids are those of shard 0 of each table in the order of `names`, then of shard 1, and so on; `sizes`
        (n_shards * n_tables,) says how many each has.
        """
        what = "Tables.fused_lookup"
        cells = Cells([table.dim for table in self._by_name.values()], sizes, n_shards, what)
        dtype, own = self._dtype(what), cells.ids(ids)
        rows = [table.lookup(its) for table, its in zip(self._by_name.values(), own, strict=True)]
        return cells.fused(rows, dtype)

    def fused_apply_gradients(
        self,
        ids: npt.ArrayLike,
        sizes: npt.ArrayLike,
        grads: npt.ArrayLike,
        n_shards: int = 1,
        global_step: int | None = None,
        req_time: float | None = None,
        *,
        duplicates: str | None = None,
        learning_rate: Rates | None = None,
    ) -> dict[str, Applied]:
        """One step with ids and gradients in one vector each, laid out as `fused_lookup` has them.

        An id that several shards send has its gradients summed like any that is repeated (`duplicates`).
        """
        what = "Tables.fused_apply_gradients"
        cells = Cells([table.dim for table in self._by_name.values()], sizes, n_shards, what)
        pairs = zip(cells.ids(ids), cells.rows(grads, self._dtype(what)), strict=True)
        batch = {name: pair for name, pair in zip(self.names, pairs, strict=True) if len(pair[0])}
        more: dict[str, Any] = {"duplicates": duplicates, "learning_rate": learning_rate}
        return self.apply_gradients(batch, global_step, req_time, **more)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """The state of each table, under the first of its names."""
        return {name: table.state_dict() for name, table in self._stateful()}

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """As `so.load` needs it: a state of the same tables."""
        own = dict(self._stateful())
        prefix = f"{path}/" if path else ""
        both = found.names(path, own, state)
        commits = [own[name].plan_load(state[name], found, f"{prefix}{name}") for name in both]

        def commit() -> None:
            for each in commits:
                each()

        return commit

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state, of all tables or of none. With strict=False, of those that both have."""
        return load_state(self, state, strict, repr(self))

    # ---- within

    def _stateful(self) -> Iterator[tuple[str, Any]]:
        yield from self.members.items()

    def _grouped(self, given: Mapping[str, Any]) -> Iterator[tuple[Any, list[str]]]:
        """Each table that is named, with those of its names that are given."""
        for table in self.members.values():
            names = [name for name in self._names[id(table)] if name in given]
            if names:
                yield table, names

    def _rates(self, given: Rates, what: str) -> dict[int, float | Sequence[float]]:
        """Learning rates by table."""
        known_names(given, self.names, what)
        rates: dict[int, float | Sequence[float]] = {}
        for table, names in self._grouped(given):
            first, *others = names
            for name in others:
                if not np.array_equal(given[name], given[first]):
                    raise AttributeValueError(
                        f"{what}: {first!r} and {name!r} are one table, and their learning rates differ: "
                        f"{given[first]!r} and {given[name]!r}"
                    )
            rates[id(table)] = given[first]
        return rates

    def _dtype(self, what: str) -> np.dtype[Any]:
        for name, table in self._by_name.items():
            if table.place is not HOST:
                raise DeviceError(
                    f"{what}: one NumPy vector holds numbers of all tables, and the rows of {name!r} are on "
                    f"{table.place.context!r}: look tables up by name"
                )
        return one_dtype({name: table.dtype for name, table in self._by_name.items()}, what)


def _checked(given: Any, what: str) -> tuple[str, Any, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise AttributeValueError(f"{what}: expected a pair of ids and gradients, got {type(given).__name__}")
    return what, *given

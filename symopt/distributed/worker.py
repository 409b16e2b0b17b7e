"""What runs in the process of a worker: step functions, which ask for rows and return gradients."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from inspect import isgeneratorfunction
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..errors import AttributeValueError, UnknownArgumentError
from .asking import Ask, Rows, View, gradients
from .named import named
from .parcels import Parcel, Parcels
from .partition import Partition

Dense: TypeAlias = Mapping[str, Any]  # weights by parameter

SERVICE = "symopt.distributed.worker:Worker"


class Said(NamedTuple):
    """What a turn of a worker gives beside arrays: whether the step is done; for each table that it asks rows of, or
    has gradients for, the bytes for each shard; ids that first have to get a row, and the others of the same batch, by
    table; and of a step that is done, for each optimizer that there are gradients for, a Parcel without its parts, what
    the function reports, and how many ids had a row and had none."""

    is_done: bool
    sizes: Mapping[str, Sequence[int]]
    absent: Mapping[str, tuple[Any, Any]]
    parcels: Mapping[str, Parcel]
    report: Any = None
    counts: Mapping[str, tuple[int, int]] | None = None


class Worker:
    """Runs the function `config["step"]` for any step and rank. What it gives is a Said, and for each table and each
    shard, and for each optimizer and each owner, a part of its own, so that the driver can pass parts on without
    reading them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        step = config["step"]
        self._function = named(step, "a step function") if isinstance(step, str) else step
        if not isgeneratorfunction(self._function):
            raise AttributeValueError(
                f"a step function is a generator function: it yields the ids that it wants rows of; {step!r} is "
                f"{self._function!r}"
            )
        self._views = {name: View(name, said) for name, said in config["tables"].items()}
        self._ranks, self._given = int(config["ranks"]), dict(config["given"])
        self._running: dict[tuple[int, int], Running] = {}
        self._partition = Partition(1)
        self._partition_said: Mapping[str, Any] = {}
        self._parcels: dict[str, Parcels] = {}
        self._parcels_said: Mapping[str, Any] = {}

    def hello(self) -> None:
        """Answered when the process is there, and has compiled what cuts ids and adds gradients."""
        for view in self._views.values():
            ask = view.ask([0, 0], Partition(2))
            view.cut(ask.ids, np.zeros((2, view.dim), view.dtype), Partition(2))

    def begin(
        self,
        step: int,
        rank: int,
        sent: int,
        partition: Mapping[str, Any],
        optimizers: Mapping[str, Any],
        *weights: Dense,
    ) -> tuple[Any, ...]:
        """Begin a step, up to the first ids that it asks for; anew, if it was begun before. `sent`: nobody will ask for
        that step again, nor for those before it. `optimizers`: how gradients are cut, by name, as `Parcels` takes it;
        `weights`: of each."""
        self._running = {at: running for at, running in self._running.items() if at[0] > sent}
        if partition != self._partition_said:
            self._partition, self._partition_said = Partition.from_dict(partition), partition
        if optimizers != self._parcels_said:
            self._parcels = {name: Parcels(said) for name, said in optimizers.items()}
            self._parcels_said = optimizers
        made = self._function(step, rank, self._ranks, **self._given)
        dense = {n: (p, w) for (n, p), w in zip(self._parcels.items(), weights, strict=True)}
        self._running[step, rank] = Running(made, rank, self._views, self._partition, dense)
        return self._next((step, rank), None)

    def go_on(self, step: int, rank: int, *pulled: Any) -> tuple[Any, ...]:
        """Go on with what shards answered to the ids that were asked for, in the order that they were given in."""
        return self._next((step, rank), pulled)

    def _next(self, at: tuple[int, int], pulled: Sequence[Any] | None) -> tuple[Any, ...]:
        said, *parts = self._running[at].next(pulled)
        if said.is_done:
            del self._running[at]
        return said, *parts


class Running:
    """A step of one rank that has begun. `dense`: of each optimizer, what cuts gradients, and the weights."""

    def __init__(
        self,
        function: Generator[Any, Any, Any],
        rank: int,
        views: Mapping[str, View],
        partition: Partition,
        dense: Mapping[str, tuple[Parcels, Dense]],
    ) -> None:
        self._function, self._rank = function, rank
        self._views, self._partition, self._dense = views, partition, dense
        self._weights: list[str] = []  # of optimizers, that it asked for
        self._asks: dict[str, Ask] = {}  # of the last time that it asked
        self._every: dict[str, list[Ask]] = {name: [] for name in views}
        self._found: dict[str, Rows] = {}
        self._births: dict[str, Ask] = {}  # of ids that get a row before it goes on
        self._counts: dict[str, tuple[int, int]] = {}
        self._error: Exception | None = None

    def next(self, pulled: Sequence[Any] | None = None) -> tuple[Any, ...]:
        """Up to the next ids that it asks for, or to its end. What it raised it raises for good: a generator that has
        raised would seem to be at its end."""
        if self._error is not None:
            raise self._error
        try:
            return self._next(pulled)
        except Exception as error:
            self._error = error
            raise

    def _next(self, pulled: Sequence[Any] | None) -> tuple[Any, ...]:
        if pulled is not None:
            self._take(list(pulled))
            if self._births:
                return self._ask(self._births)
        try:
            wanted = self._function.send(None if pulled is None else self._shown())
        except StopIteration as end:
            return self._finish(end.value)
        given = dict(self._known(wanted, "yields"))
        self._weights = [name for name in self._dense if name in given]
        for name in self._weights:
            if given.pop(name) is not None:
                raise AttributeValueError(
                    f"{name}: a step function yields None for it, and is sent all weights"
                )
        self._asks = {name: self._views[name].ask(ids, self._partition) for name, ids in given.items()}
        for name, ask in self._asks.items():
            self._every[name].append(ask)
        return self._ask(self._asks)

    def _known(self, given: Any, does: str) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise AttributeValueError(
                f"a step function {does} a dict by names of tables, got {type(given).__name__}"
            )
        for name in given:
            if name not in self._views and name not in self._dense:
                known = ", ".join([*self._views, *self._dense])
                raise UnknownArgumentError(
                    f"a step function {does} a dict by names of tables, {known}; got {name!r}"
                )
        return given

    def _ask(self, asks: Mapping[str, Ask]) -> tuple[Any, ...]:
        absent = {
            name: (ask.ids, self._asks[name].split.ids) for name, ask in asks.items() if name in self._births
        }
        parts = {name: [ids if len(ids) else None for ids in ask.cut()] for name, ask in asks.items()}
        sizes = {
            name: [0 if part is None else part.nbytes for part in every] for name, every in parts.items()
        }
        return self._with_parts(Said(False, sizes, absent, {}), parts)

    def _take(self, pulled: list[Any]) -> None:
        """Rows that were asked for; and then ids that still have none, and should."""
        births, self._births = self._births, {}
        for name, ask in (births or self._asks).items():
            n = int(np.count_nonzero(ask.split.sizes))
            its, pulled = pulled[:n], pulled[n:]
            found = self._views[name].gathered(ask, its)
            if births:
                self._found[name].rows[~self._found[name].hits] = found.rows
                continue
            self._found[name] = found
            self._count(name, int(np.count_nonzero(found.hits[ask.inverse])), len(ask.ids))
            absent = self._views[name].absent(ask, found)
            if len(absent):
                self._births[name] = self._views[name].ask(absent, self._partition)

    def _count(self, name: str, hits: int, n: int) -> None:
        before = self._counts.get(name, (0, 0))
        self._counts[name] = before[0] + hits, before[1] + n - hits

    def _shown(self) -> dict[str, Any]:
        rows = {name: self._views[name].shown(ask, self._found[name]) for name, ask in self._asks.items()}
        # copies: the memory that they lie in is used again
        return rows | {n: {p: w.copy() for p, w in self._dense[n][1].items()} for n in self._weights}

    def _finish(self, returned: Any) -> tuple[Any, ...]:
        report = None
        if isinstance(returned, tuple) and len(returned) == 2:
            returned, report = returned
        parts: dict[str, Any] = {}
        parcels: dict[str, Parcel] = {}
        for name, given in self._known({} if returned is None else returned, "returns").items():
            if name in self._dense:
                cutting, _ = self._dense[name]
                # the function may write to what it gave
                parcels[name] = cutting.cut(cutting.checked(self._rank, given), is_kept=True)
                continue
            view = self._views[name]
            parts[name] = view.cut(*gradients(view, given, self._every[name]), self._partition)
        sizes = {
            name: [0 if part is None else part[0].nbytes + part[1].nbytes for part in every]
            for name, every in parts.items()
        }
        unread = {name: parcel._replace(parts=()) for name, parcel in parcels.items()}
        return self._with_parts(Said(True, sizes, {}, unread, report, self._counts), parts, parcels)

    def _with_parts(
        self, said: Said, parts: Mapping[str, Sequence[Any]], parcels: Mapping[str, Parcel] | None = None
    ) -> tuple[Any, ...]:
        nothing = [None] * self._partition.n_shards
        answers = [part for name in self._views for part in parts.get(name, nothing)]
        for name, (cutting, _) in self._dense.items():
            parcel = (parcels or {}).get(name)
            answers += [None] * cutting.n_owners if parcel is None else parcel.parts
        return said, *answers

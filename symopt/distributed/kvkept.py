"""Where the values of a KVStore are: in this process, at shards, or at owners; and how one goes from here to there."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from ..errors import MismatchError, RuleError, TooLateError
from ..optimizer import Optimizer, Updater
from ..sparse import RowSparseArray
from .cluster import Cluster
from .dense import ShardedOptimizer
from .kvback import Back, Value
from .kvpairs import Key
from .kvsteps import Steps
from .kvvalues import Held, Sharded
from .kvwhole import Whole, gather, looks_at_whole
from .wire import Wire

Function = Callable[[Key, Any, Any], None]


class Kept:
    """`values` by key; `updater`: what changes them, if something does; `wire`: what gradients are sent as."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.values: dict[Key, Value] = {}
        self.updater: Updater | Function | None = None
        self.wire: Wire = None
        self.back = Back()
        self._n_groups = 0

    @property
    def optimizer(self) -> Optimizer | None:
        """That of the updater."""
        return self.updater.optimizer if isinstance(self.updater, Updater) else None

    def replace(self, updater: Updater | Function) -> None:
        """Have another updater, with no states."""
        with self.cluster.lock:
            self.cluster.settle()
            before = list(self.values.values())
            self.updater = updater
            self.place([self._held(value) for value in before])
            for value in before:
                value.release()

    def _held(self, value: Value) -> Held:
        if isinstance(value, Held):
            return value
        if not value.is_sparse:
            return Held(value.read(), value.key)
        ids = value.stored()
        return Held(RowSparseArray(value.rows(ids), ids, value.shape, canonical=True), value.key)

    def place(self, held: Sequence[Held]) -> None:
        """Have these values, at the shards if there is an optimizer whose rules can be run there; or those that a
        checkpoint has of them."""
        for each in held:
            self.back.value_of(each)
        placed = {each.key: self._placed(each) for each in held}
        whole = [value for value in placed.values() if isinstance(value, Whole)]
        if whole:
            self._n_groups += 1
            name = f"{self.name}-whole-{self._n_groups}"
            gather(self.cluster, whole, name, self.wire, whole[0].steps.engine)
        if isinstance(self.updater, Updater):
            again = [value for key, value in placed.items() if key in self.back.keys]
            for value in again:
                self.back.check(value)
            for value in again:
                self.back.states_of(value, self.updater)
        self.values.update(placed)

    def go_back(self, back: Back) -> None:
        """Have all as it was. MismatchError if an optimizer was set or changed its rule since."""
        updater = self.updater
        known = {key: value for key, value in self.values.items() if key in back.keys}
        for value in known.values():
            back.check(value)
        if isinstance(updater, Updater):
            if back.updater is None:
                raise MismatchError("the optimizer was set after the checkpoint: make the KVStore anew")
            for counts in updater.optimizer._all_index_update_counts.values():
                counts.clear()
            updater.optimizer.num_update = 0
            updater.states.clear()
        self.values = known
        for key, value in self.values.items():
            if not isinstance(value, Sharded):
                value.write(back.keys[key]["value"])
            if isinstance(updater, Updater):
                back.states_of(value, updater)
            else:
                del back.keys[key]
        self.back = back

    def groups(self) -> list[ShardedOptimizer]:
        """The owners of whole tensors, each group once."""
        found = {id(v.group): v.group for v in self.values.values() if isinstance(v, Whole) and v.group}
        return list(found.values())

    def _placed(self, held: Held) -> Value:
        optimizer = self.optimizer
        if optimizer is None:
            return held
        try:
            steps = Steps(optimizer, held.key, held.shape, held.dtype.name, held.is_sparse)
            if looks_at_whole(steps):
                return Whole(held, steps)
            name, resumes = self._table_name(held.key)
            first = zlib.crc32(str(held.key).encode()) << 20
            return Sharded(self.cluster, name, steps, held, first=first, wire=self.wire, resumes=resumes)
        except RuleError:
            return held

    def _table_name(self, key: Key) -> tuple[str, bool]:
        """What the table of a key is called, and whether the checkpoint that the cluster began with has it. The first
        has number 1; each of another rule, another one."""
        stem = f"{self.name}-{quote(str(key), safe='')}-"
        saved = self.cluster.found.tables if self.cluster.found else {}
        numbers = [int(n.removeprefix(stem)) for n in {*saved, *self.cluster.streams} if n.startswith(stem)
                   and n.removeprefix(stem).isdigit()]  # fmt: skip
        newest = f"{stem}{max(numbers, default=1)}"
        if newest in self.cluster.streams:
            return f"{stem}{max(numbers) + 1}", False
        return newest, newest in saved

    def update(self, key: Key, grad: Any) -> None:
        """What a push does to a value."""
        value = self.values[key]
        if self.updater is None:
            value.write(grad)  # type: ignore[union-attr]
        elif isinstance(value, Held):
            value.update(self.updater, grad)
        else:
            asked = value.steps.ask()
            if isinstance(value, Sharded) and not value.steps.fits(asked):
                value = self._moved(value)
                asked = value.steps.ask()
            value.update(grad, asked)

    def _moved(self, value: Sharded) -> Sharded:
        """The same value and states at a table with another rule: when a clip goes on or off, for instance."""
        self.cluster.settle()
        states, t = value.states(), value.table.steps
        placed = self._placed(self._held(value))
        if not isinstance(placed, Sharded):
            raise TooLateError(f"key {value.key!r}: the rule can't become one that looks at whole tensors")
        placed.load_states(states)
        placed.steps.resume(t)
        value.release()
        self.values[value.key] = placed
        return placed

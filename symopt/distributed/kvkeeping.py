"""The state of a KVStore: that of its optimizer, and what it has in the checkpoints of its cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..checkpoint import load, save
from ..errors import AttributeValueError, TooLateError
from ..optimizer import Updater
from ..state import Commit, Differences, load_state
from ..view.plain import counted, safe
from . import kvstate
from .cluster import Cluster
from .kvback import Back
from .kvkept import Kept
from .kvvalues import Held, Sharded
from .kvwhole import Whole


class KVKeeping:
    """A base class of KVStore."""

    cluster: Cluster
    name: str
    _kept: Kept

    # ---- state of the optimizer

    def save_optimizer_states(self, fname: str | os.PathLike[str], dump_optimizer: bool = False) -> None:
        """Write counts and states, of all keys and whole, as `so.save` does. `Cluster.checkpoint` writes values too,
        and from each shard its own. Settings of the optimizer are in it to be read, and are not loaded.

        AttributeValueError for dump_optimizer: MXNet pickles the optimizer then; make it again."""
        if dump_optimizer:
            raise AttributeValueError("save_optimizer_states: an optimizer is not saved: make it again")
        save(fname, self.state_dict())

    def load_optimizer_states(self, fname: str | os.PathLike[str]) -> None:
        """Take over counts and states, whole or not at all: StateError lists what does not fit."""
        self.load_state_dict(load(fname))

    def state_dict(self) -> dict[str, Any]:
        """Counts and states by name, as `so.optimizer.Updater` has them: either loads the other's."""
        return kvstate.described(self._the_updater("state_dict"), self._away())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """See Updater."""
        return load_state(self, state, strict, "this KVStore")

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """What `load_state_dict` does, in two moves; see symopt.state."""
        return kvstate.plan(self._the_updater("load_state_dict"), self._away(), state, found, path)

    def _away(self) -> list[Sharded | Whole]:
        self.cluster.settle()
        return [value for value in self._kept.values.values() if not isinstance(value, Held)]

    def _the_updater(self, what: str) -> Updater:
        if not isinstance(self._kept.updater, Updater):
            raise TooLateError(f"{what}: there is no optimizer: call set_optimizer first")
        return self._kept.updater

    # ---- in a cluster: see joined.Joining

    def unfinished(self) -> str:
        """Why there can be no checkpoint now: there always can."""
        return ""

    def save_to(self, folder: str) -> None:
        """Write, as a new folder of `so.save`, what is not in tables: values in this process, those at owners with
        their states, counts, and what an Updater keeps."""
        save(folder, self._kept.back.described(self._kept.values, self._kept.updater))

    def _begin(self, folder: str) -> None:
        """Let keys begin as they were then: values when they are initialized, states when the optimizer is set."""
        self._kept.back = Back(load(folder))

    def go_back(self, folder: str) -> None:
        """Have all keys as they were then; those that were initialized later have no value any more."""
        self._kept.go_back(Back(load(folder)))

    def follow(self, n_shards: int) -> None:
        """Have as many owners of whole tensors."""
        for group in self._kept.groups():
            group.follow(n_shards, always=True)

    def told(self) -> str:
        """A line of what it has."""
        values = list(self._kept.values.values())
        n = sum(value.is_sharded for value in values)
        done = 0 if self._kept.optimizer is None else self._kept.optimizer.num_update
        return f"{safe(self.name)}: {counted(len(values), 'key')}, {n} of them sharded, {counted(done, 'update')}"

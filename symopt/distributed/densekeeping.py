"""The state of a ShardedOptimizer beside its steps: given out, taken over, and in the checkpoints of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..checkpoint import load, save
from ..errors import MissingArgumentError
from ..given import Given
from ..state import Commit, Differences, load_state
from ..training.assigned import Assigned
from ..training.plan import Options
from ..training.scaling import LossScale
from ..view.plain import counted, safe, size_text
from .densepieces import Pieces
from .densestate import Full, plan
from .densesteps import Steps
from .owner import Kinds
from .owners import Owners


class DenseKeeping:
    """A base class of ShardedOptimizer."""

    params: Any
    updates: int
    loss_scale: LossScale | None
    name: str
    recoveries: Any  # int
    _check_usable: Callable[[], None]
    _own: Callable[[int], None]
    _n_owners: int
    _lock: Any  # threading.RLock
    _options: Options
    _assigned: Assigned
    _views: Mapping[str, Any]
    _pieces: Pieces
    _owners: Owners
    _steps: Steps
    _pushed: dict[int, Kinds]
    _micro: int
    _done: int
    _recovered: int
    _follows: bool
    _broken: str
    _is_closed: bool

    @property
    def averages(self) -> dict[str, Any]:
        """Copies of the averages of the weights by name; empty without `ema=`."""
        with self._lock:
            self._check_usable()
            if self._options.ema is None:
                return {}
            return self._pieces.whole("average", self._owners.ask("kept", "average"))

    @contextmanager
    def averaged(self) -> Iterator[Mapping[str, Any]]:
        """The averages in place of the weights, for as long as the block lasts; then the weights come back."""
        if self._options.ema is None:
            raise MissingArgumentError("averaged: there are no averages; give ema=")
        with self._lock:
            weights = {name: view.copy() for name, view in self._views.items()}
            try:
                for name, average in self.averages.items():
                    self._views[name][...] = average
                yield self.params
            finally:
                for name, weight in weights.items():
                    self._views[name][...] = weight

    # ---- state

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """Copies of the states by parameter, then by name, whole."""
        return {n: dict(p["states"]) for n, p in self.state_dict()["parameters"].items()}

    def state_dict(self) -> dict[str, Any]:
        """All but the weights, whole, as the step of `so.compile` has it: either loads the other's, with any number of
        owners. Copies."""
        with self._lock:
            self._check_usable()
            return self._full().state_dict()

    def _full(self) -> Full:
        kept = None if self._broken else self._owners.ask("state")
        return Full(self, self._pieces, self._assigned, self._options, kept)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Differences:
        """Take over a state, whole or not at all, and the weights that `params` has then; see CompiledStep. What ranks
        pushed for the next step is let go of."""
        with self._lock:
            return load_state(self, state, strict, "this optimizer")

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """What `load_state_dict` does, in two moves; see symopt.state."""
        if self._is_closed:
            self._check_usable()
        full = self._full()
        commit = plan(full, state, found, path, self._loaded)
        if self._broken and found.missing:
            found.different.append(
                f"{path or 'the state'}: the states here are lost, so none is left as it is"
            )
        return commit

    def _loaded(self, full: Full) -> None:
        self._broken = "a state was not taken over by all owners; load one"
        self._steps.begin(self._done, full.parts(self._pieces))
        self.updates, self._micro = full.updates, full.micro
        self._pushed.clear()
        self._broken = ""

    def snapshot(self) -> None:
        """Let an owner that is lost later begin with the states as they are now: what was kept for it until now is let
        go of. It is done by itself when `kept_bytes` is reached."""
        with self._lock:
            self._check_usable()
            self._owners.snapshot()

    # ---- in a cluster: see joined.Joining

    def unfinished(self) -> str:
        """Why there can be no checkpoint now, or ""."""
        if self._broken:
            return f"{self.name} can't go on: {self._broken}"
        return (
            f"step {self._done + 1} of {self.name} has those of ranks {sorted(self._pushed)}"
            if self._pushed
            else ""
        )

    def save_to(self, folder: str) -> None:
        """Write the weights, the state that `state_dict` gives, and the number of steps as a new folder of `so.save`:
        {"weights": by name, "optimizer": what the step of `so.compile` loads too, "steps"}."""
        with self._lock:
            state = {"weights": dict(self._views), "optimizer": self.state_dict(), "steps": self._done}
            save(folder, state)

    def go_back(self, folder: str) -> None:
        """Take over what `save_to` wrote, weights too, whole or not at all; with any number of owners."""
        with self._lock:
            state, found = load(folder), Differences()
            given = Given(state, found)
            given.needs("weights", "optimizer", "steps")
            fill, steps = given.arrays("weights", dict(self._views)), given.count("steps")
            commit = self.plan_load(given.get("optimizer", {}), found, "optimizer")
            found.check(f"the ShardedOptimizer {self.name!r}, which the checkpoint has,", strict=True)
            fill()
            self._done = steps
            commit()

    def follow(self, n_shards: int, *, always: bool = False) -> None:
        """Have as many owners, unless a number was given. Their states go through this process."""
        with self._lock:
            if not (self._follows or always) or self._broken or n_shards == self._n_owners:
                return
            full, before = self._full(), self._owners
            self._broken = "its owners were being replaced"
            self._recovered += sum(line.recoveries for line in before.lines)
            before.stop()
            self._own(n_shards)
            self._steps.begin(self._done, full.parts(self._pieces))
            self._broken = ""

    def told(self) -> str:
        """A line of what it does."""
        lines = self._owners.lines
        kept = size_text(sum(line.kept_bytes for line in lines))
        trouble = f"; can't go on: {safe(self._broken, 200)}" if self._broken else ""
        return (
            f"{safe(self.name)}: {counted(self.updates, 'update')}, {counted(len(lines), 'owner')}, "
            f"replaced {counted(self.recoveries, 'time')}, {kept} kept for lost owners{trouble}"
        )

"""The state of a KVStore's optimizer: as an Updater has it, gathered from shards and taken back to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..given import Given
from ..optimizer import Updater
from ..optimizer.restore import name_of
from ..state import Commit, Differences
from .kvvalues import Sharded
from .kvwhole import Whole

Away = Sharded | Whole


def described(updater: Updater, sharded: Sequence[Away]) -> dict[str, Any]:
    """Of keys here and at shards, by name."""
    state = updater.state_dict()
    for value in sharded:
        if value.done:  # an Updater has no state before the first push
            state["parameters"][name_of(updater.optimizer, value.key)] = _entry(updater, value)
    return state


def _entry(updater: Updater, value: Away) -> dict[str, Any]:
    optimizer = updater.optimizer
    return {
        "index": value.key,
        "updates": optimizer._index_update_count.get(value.key, optimizer.begin_num_update),
        "shape": list(value.shape),
        "dtype": value.dtype.name,
        "states": value.states(),
    }


def plan(
    updater: Updater, sharded: Sequence[Away], state: Mapping[str, Any], found: Differences, path: str
) -> Commit:
    """Compare, and give the function that takes it over."""
    given = Given(state, found, path)
    parameters = given.part("parameters")
    by_name = {name_of(updater.optimizer, value.key): value for value in sharded}
    mine = {name: value for name, value in by_name.items() if name in parameters}
    for name, value in by_name.items():
        if value.done:
            parameters.needs(name)
    commits = [_plan(value, parameters.part(name)) for name, value in mine.items()]
    rest = {name: state["parameters"][name] for name in parameters if name not in by_name}
    others = updater.plan_load({**state, "parameters": rest}, found, path)

    def commit() -> None:
        others()
        for write in commits:
            write()

    return commit


def _plan(value: Away, there: Given) -> Commit:
    there.needs("index", "updates", "shape", "dtype", "states")
    there.same("shape", list(value.shape))
    there.same("dtype", value.dtype.name)
    updates, own = there.count("updates"), value.states()
    fill = there.arrays("states", own)

    def commit() -> None:
        fill()
        value.load_states(own)
        value.steps.resume(updates)

    return commit

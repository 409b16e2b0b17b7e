"""What a checkpoint has of a KVStore beside its tables, and how keys take it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import FormatError, MismatchError
from ..optimizer import Updater
from ..optimizer.restore import name_of
from ..sparse import RowSparseArray
from .kvpairs import Key
from .kvvalues import Held, Sharded
from .kvwhole import Whole

FORMAT = "symopt kvstore 2"  # since 2, rows of dense keys are in the order of their ids' buckets
HERE, TABLE, OWNERS = "here", "table", "owners"

Value = Held | Sharded | Whole


class Back:
    """What is still to be taken back, by key. `keys`: entries with `key`, `where` it was, `updates`, and `value`,
    `states`, or the name of the `table`."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        if state is not None and state.get("format") != FORMAT:
            raise FormatError("the checkpoint has something else of this name than a KVStore")
        state = state or {"keys": [], "num_update": 0, "updater": None}
        self.keys: dict[Key, dict[str, Any]] = {entry["key"]: dict(entry) for entry in state["keys"]}
        self.num_update: int = state["num_update"]
        self.updater: dict[str, Any] | None = state["updater"]

    def described(self, values: Mapping[Key, Value], updater: Any) -> dict[str, Any]:
        """What a checkpoint has: of values as they are, and of what nobody took back yet as it was."""
        optimizer = updater.optimizer if isinstance(updater, Updater) else None
        own = None if optimizer is None else updater.state_dict()
        if self.keys and self.updater is not None:
            before = dict(self.updater["parameters"])
            own = {
                **self.updater,
                **(own or {}),
                "parameters": before | (own or {"parameters": {}})["parameters"],
            }
        entries = [_entry(value, optimizer, self.keys.get(key)) for key, value in values.items()]
        return {
            "format": FORMAT,
            "num_update": max(self.num_update, 0 if optimizer is None else optimizer.num_update),
            "keys": entries + [entry for key, entry in self.keys.items() if key not in values],
            "updater": own,
        }

    def value_of(self, held: Held) -> None:
        """Let a first value be the one that there was, once."""
        entry = self.keys.get(held.key)
        if entry is None or "value" not in entry:
            return
        found = entry["value"]
        same = (held.shape, held.dtype, held.is_sparse)
        if same != (there := (found.shape, found.dtype, isinstance(found, RowSparseArray))):
            raise MismatchError(
                f"key {held.key!r} is {there} in the checkpoint, as shape, dtype, has rows: {same} here"
            )
        held.write(found)
        del entry["value"]
        if entry["where"] == HERE and entry["updates"] is None:
            del self.keys[held.key]

    def check(self, value: Value) -> None:
        """MismatchError for a value that is elsewhere now than it was."""
        entry = self.keys[value.key]
        if (where := where_of(value)) != entry["where"] or (
            isinstance(value, Sharded) and value.table.name != entry["table"]
        ):
            at = {HERE: "in the driver", TABLE: f"in table {entry.get('table')!r}", OWNERS: "at owners"}
            raise MismatchError(
                f"key {value.key!r} was {at[entry['where']]} when the checkpoint was written, and is "
                f"{value.table.name if isinstance(value, Sharded) else at[where]} with this optimizer"
            )

    def states_of(self, value: Value, updater: Updater) -> None:
        """Let a value have the states and counts that there were, once."""
        entry, optimizer = self.keys[value.key], updater.optimizer
        if isinstance(value, Whole):
            value.take(entry["states"], entry["done"])
        if isinstance(value, Held) and self.updater is not None:
            name = name_of(optimizer, value.key)
            mine = {n: p for n, p in self.updater["parameters"].items() if n == name}
            updater.load_state_dict({**self.updater, "parameters": mine}, strict=False)
        if entry["updates"] is not None:
            optimizer._index_update_count[value.key] = entry["updates"]
        optimizer.num_update = max(optimizer.num_update, self.num_update)
        del self.keys[value.key]


def where_of(value: Value) -> str:
    """Where a value is."""
    return TABLE if isinstance(value, Sharded) else OWNERS if isinstance(value, Whole) else HERE


def _entry(value: Value, optimizer: Any, before: Mapping[str, Any] | None) -> dict[str, Any]:
    if before is not None:  # it waits for the optimizer
        return (
            {**before, "value": value.value}
            if isinstance(value, Held) and before["where"] != TABLE
            else {**before}
        )
    updates = None if optimizer is None else optimizer._index_update_count.get(value.key)
    found: dict[str, Any] = {"key": value.key, "where": where_of(value), "updates": updates}
    if isinstance(value, Sharded):
        return {**found, "table": value.table.name}
    if isinstance(value, Whole):
        found |= {"states": value.states(), "done": value.done}
    return {**found, "value": value.value}

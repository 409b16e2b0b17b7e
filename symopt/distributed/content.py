"""What a push says: commands for the rows of one shard, in one part or in one from each rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..embedding.batch import Part, summed
from ..embedding.batches import Array, Ids
from ..embedding.commands import Assign, Command, Decayed, GoOn, Put, Resume, Update
from ..embedding.shards import Split
from ..errors import AttributeValueError
from .wire import Wire, narrowed, widened


class Content(NamedTuple):
    """Commands on the rows of one shard; what functions of the step said for them; and what gradients are sent as."""

    commands: tuple[Command, ...]
    answers: tuple[float, ...]
    wire: Wire

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        found = 0
        for command in self.commands:
            for value in (*command, *command.columns.values()) if isinstance(command, Put) else command:
                if isinstance(value, np.ndarray):
                    found += value.nbytes
        return found


def split_commands(commands: Sequence[Command], split: Sequence[Split | None], n: int) -> list[list[Command]]:
    """The commands for each of `n` shards. `split`: of the ids of each command; None for one that has no ids, which all
    shards get."""
    if n == 1:
        return [[*commands]]
    found: list[list[Command]] = [[] for _ in range(n)]
    for command, places in zip(commands, split, strict=True):
        if places is None:
            for each in found:
                each.append(command)
            continue
        columns = {name: _scattered(places, rows) for name, rows in _by_id(command).items()}
        for k, each in enumerate(found):
            own = places.shard(k)
            each.append(_with(command, places.ids[own], {name: _cut(x, own) for name, x in columns.items()}))
    return found


def ids_in(command: Command) -> Ids | None:
    """The ids of a command; None for one that is about all rows."""
    return None if isinstance(command, Decayed | GoOn | Resume) else command.ids


def narrow(commands: Sequence[Command], wire: Wire) -> tuple[Command, ...]:
    """The same with gradients as they are sent."""
    if wire is None:
        return tuple(commands)
    return tuple(c._replace(grads=narrowed(c.grads, wire)) if isinstance(c, Update) else c for c in commands)


def filled(content: Content, ids: Ids, grads: Array) -> Content:
    """A content of one Update without rows, with these."""
    (update,) = content.commands
    assert isinstance(update, Update)
    return content._replace(commands=(update._replace(ids=ids, grads=grads),))


def joined(parts: Sequence[Content], dtype: np.dtype[Any], native: bool) -> Content:
    """One content of those of all ranks, in their order, in which gradients of an id that several have are added."""
    if len(parts) == 1:
        return Content(_wide(parts[0], dtype), parts[0].answers, None)
    every = [command for part in parts for command in _wide(part, dtype)]
    updates = [command for command in every if isinstance(command, Update)]
    if len(updates) != len(parts) or len(every) != len(parts):
        raise AttributeValueError("only gradients, one Update from each, come from several ranks")
    ids = np.concatenate([each.ids for each in updates])
    grads = np.concatenate([each.grads for each in updates])
    first = updates[0]
    if not first.repeats:
        found, grads = summed(ids, [Part(ids, grads, None)], native)
        ids = found.ids
    return Content((first._replace(ids=ids, grads=grads),), parts[0].answers, None)


def _wide(content: Content, dtype: np.dtype[Any]) -> tuple[Command, ...]:
    if content.wire is None:
        return content.commands
    return tuple(
        c._replace(grads=widened(c.grads, content.wire, dtype)) if isinstance(c, Update) else c
        for c in content.commands
    )


def copied(content: Content) -> Content:
    """The same in arrays of its own, which nobody else writes to."""
    commands = tuple(
        c
        if isinstance(c, Decayed | GoOn | Resume)
        else _with(c, c.ids.copy(), {n: _copy(x) for n, x in _by_id(c).items()})
        for c in content.commands
    )
    return content._replace(commands=commands)


def _by_id(command: Any) -> dict[str, Any]:
    """What a command has for each id, by field."""
    if isinstance(command, Update):
        return {"grads": command.grads}
    if isinstance(command, Assign):
        return {"values": command.values}
    return {"columns": command.columns} if isinstance(command, Put) else {}


def _with(command: Any, ids: Ids, more: dict[str, Any]) -> Command:
    made: Command = command._replace(ids=ids, **more)
    return made


def _scattered(places: Split, x: Any) -> Any:
    return (
        {name: places.scatter(rows) for name, rows in x.items()} if isinstance(x, dict) else places.scatter(x)
    )


def _cut(x: Any, at: slice) -> Any:
    return {name: rows[at] for name, rows in x.items()} if isinstance(x, dict) else x[at]


def _copy(x: Any) -> Any:
    return {name: rows.copy() for name, rows in x.items()} if isinstance(x, dict) else x.copy()

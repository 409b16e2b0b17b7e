"""What a cluster keeps beside tables: each thing writes a folder of its own into checkpoints, and begins from it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from ..errors import AttributeValueError, TooLateError

LOG = logging.getLogger("symopt.distributed")
FOLDER = "joined"  # in a step's folder


class Joining(Protocol):
    """What can be in the checkpoints of a cluster. All is called with the cluster's lock held."""

    def unfinished(self) -> str:
        """Why there can be no checkpoint now, such as a step of which parts are missing; "" if there can."""

    def save_to(self, folder: str) -> None:
        """Write all that `go_back` needs as a new folder, durably."""

    def go_back(self, folder: str) -> None:
        """Be as it was when it wrote this folder."""

    def follow(self, n_shards: int) -> None:
        """The cluster has another number of shards from now on."""

    def told(self) -> str:
        """A line for `Cluster.status`. May be called without the lock."""

    def close(self) -> None:
        """The cluster is closed."""


class Joined:
    """All that has joined a cluster, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Joining] = {}
        self._seen: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def left(self, folders: Iterable[str]) -> list[str]:
        """Those of these names that nobody took over."""
        return [name for name in folders if name not in self._by_name and name not in self._seen]

    def items(self) -> Iterator[tuple[str, Joining]]:
        """Name and what it is."""
        return iter(list(self._by_name.items()))

    def join(self, name: str, one: Joining, folders: Mapping[str, str], is_taken: bool) -> str | None:
        """Be in checkpoints from now on. Returns the folder of this name in the one that the cluster began with; None
        if there is none, or somebody had it already. `folders`: those of that checkpoint. AttributeValueError for a
        name that another has."""
        if is_taken or name in self._by_name:
            raise AttributeValueError(
                f"this cluster has {name!r} already: close that before you make it again, or give another name="
            )
        if not name or os.path.basename(name) != name or name.startswith("."):
            raise AttributeValueError(f"name={name!r} can't be the name of a folder")
        folder = None if name in self._seen else folders.get(name)
        if folder is None and folders and name not in self._seen:
            LOG.info("%s is not in the checkpoint that the cluster began with: it begins anew", name)
        self._by_name[name] = one
        return folder

    def began(self, name: str) -> None:
        """It has taken what is in the checkpoint: another one of this name begins anew."""
        self._seen.add(name)

    def leave(self, name: str, one: Joining) -> None:
        """Be in no checkpoint any more."""
        if self._by_name.get(name) is one:
            del self._by_name[name]

    # ---- what the cluster does

    def unfinished(self) -> str:
        """Why there can be no checkpoint now, or ""."""
        return "; ".join(why for one in self._by_name.values() if (why := one.unfinished()))

    def save(self, folder: str) -> list[str]:
        """Have each write a folder in this one; their names."""
        for name, one in self._by_name.items():
            one.save_to(os.path.join(folder, name))
        return list(self._by_name)

    def check_back(self, folders: Mapping[str, str]) -> None:
        """TooLateError for what can't go back, because it was not there then."""
        if missing := [name for name in self._by_name if name not in folders]:
            raise TooLateError(
                f"no checkpoint to go back to has {', '.join(missing)}: close them, or begin anew from the one there is"
            )

    def go_back(self, folders: Mapping[str, str]) -> None:
        """Have all be as they were."""
        for name, one in self._by_name.items():
            one.go_back(folders[name])

    def follow(self, n_shards: int) -> None:
        """Tell all of another number of shards."""
        for one in self._by_name.values():
            one.follow(n_shards)

    def close(self) -> None:
        """Close all."""
        for one in list(self._by_name.values()):
            one.close()


def enter(cluster: Any, name: str, one: Joining, begin: Callable[[str], None]) -> None:
    """Join a cluster, and `begin` from its checkpoint, if that has this name; if that raises, nothing has joined."""
    with cluster.lock:
        cluster.check()
        found = cluster.found
        tables, folders = ({}, {}) if found is None else (found.tables, found.folders)
        folder = cluster.joined.join(name, one, folders, name in cluster.streams or name in tables)
        try:
            if folder is not None:
                begin(folder)
        except BaseException:
            cluster.joined.leave(name, one)
            raise
        cluster.joined.began(name)

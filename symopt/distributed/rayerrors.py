"""What Ray raises, as errors that say what is lost or full, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ClusterError, ProcessLostError, StoreFullError
from .rayhandles import Host


def gone(error: Exception, host: Host, hosts: Sequence[Host]) -> ProcessLostError | ClusterError:
    """`error` is of the process `host` that was asked, or of one of `hosts` whose answer that was to get."""
    error = getattr(error, "cause", None) or error
    actor = getattr(error, "actor_id", None)
    host = next((h for h in hosts if h.actor._actor_id.hex() == actor), host)
    if getattr(error, "_actor_init_failed", False):
        return ClusterError(
            f"{host.name} could not be started: {last_line(error)}\n  symopt and what a service needs must be "
            "importable on all machines; `paths` are folders to import from"
        )
    lost = ProcessLostError(f"{host.name} is gone: {last_line(error)}")
    lost.process = host.name
    return lost


def no_room(why: object, capacity: int, held_bytes: int) -> StoreFullError:
    """Ray's store, of so many bytes, is full, of which so many are held by who puts more there."""
    return StoreFullError(
        f"the object store of Ray, {capacity:,} bytes, has no room; {held_bytes:,} bytes are held here: "
        f"{first_line(why)}\n  a larger store_bytes, a smaller window or max_bytes of the cluster, or checkpoints "
        "more often (what was sent since the last is kept for replay)"
    )


def first_line(error: object) -> str:
    """The first line of Ray's many."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def last_line(error: object) -> str:
    """The last line, which tells most: what was raised, or how a process died, without a guess why."""
    return first_line(str(error).strip().splitlines()[-1].partition(" Some common causes")[0])

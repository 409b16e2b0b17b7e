"""What workers are made of, checked, and what is sent of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import AttributeValueError
from .cluster import Cluster
from .dense import ShardedOptimizer
from .handing import sees_ids
from .named import name_of, named
from .table import ShardedTable


def tables_by_name(cluster: Cluster, tables: Sequence[ShardedTable]) -> dict[str, ShardedTable]:
    """The tables of workers by name, checked."""
    found = {table.name: table for table in tables}
    if not found or len(found) != len(tables):
        raise AttributeValueError("workers: tables are one or more ShardedTables with names of their own")
    for table in tables:
        if table.cluster is not cluster:
            raise AttributeValueError(f"workers: {table.name} is a table of another cluster")
        if table.max_rows is not None and table.missing == "initialize":
            raise AttributeValueError(
                f"workers: {table.name} has max_rows and missing='initialize': what one rank looks up would push out "
                "rows that another has, or not, by who comes first; give missing='zeros'"
            )
    return found


def optimizers_by_name(
    given: Sequence[ShardedOptimizer], tables: Mapping[str, Any], ranks: int
) -> dict[str, ShardedOptimizer]:
    """The optimizers of workers by name, checked."""
    found = {optimizer.name: optimizer for optimizer in given}
    if len(found) != len(given) or not found.keys().isdisjoint(tables):
        raise AttributeValueError("workers: optimizers and tables have names of their own: give name=")
    for name, optimizer in found.items():
        if optimizer.n_ranks != ranks:
            raise AttributeValueError(f"workers: {name} has n_ranks={optimizer.n_ranks}, and ranks={ranks}")
    return found


def seconds(timeout: float | None) -> float | None:
    """A time that may be waited, checked."""
    if timeout is not None and not timeout > 0:
        raise AttributeValueError(
            f"workers: timeout is a number of seconds above 0, or None; got {timeout!r}"
        )
    return timeout


def sent_as(step: str | Callable[..., Any], cluster: Cluster) -> Any:
    """A step function by its name; in one process, itself."""
    if isinstance(step, str):
        named(step, "a step function")
        return step
    return name_of(step, "a step function") if cluster.transport.may_lose else step


def said_of(table: ShardedTable) -> dict[str, Any]:
    """What workers are told of a table."""
    return {
        "dim": table.dim,
        "dtype": table.dtype.name,
        "missing": table.missing,
        "duplicates": table.duplicates,
        "engine": table.engine,
        "wire": table.wire,
        "whole": sees_ids(table),
    }

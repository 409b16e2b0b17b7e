"""What the workers of a step have found out, handed to the tables as one step of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..embedding.accounts import Step
from ..embedding.batch import Batch
from ..embedding.batches import second
from ..embedding.commands import Update
from ..embedding.doing import Doing, carry_out
from .cluster import Cluster
from .dense import ShardedOptimizer
from .parcels import Parcel
from .stream import Holding
from .table import ShardedTable
from .task import Task


def sees_ids(table: ShardedTable) -> bool:
    """Whether the driver has to see the ids of gradients: to count them, to note them, or to make room for them."""
    return table.admission is not None or table.max_rows is not None or table.touched is not None


def hand_over(
    cluster: Cluster,
    tables: Mapping[str, ShardedTable],
    optimizers: Mapping[str, ShardedOptimizer],
    tasks: Sequence[Task],
    count: Callable[[], None],
) -> None:
    """A step of every table and optimizer that any of the tasks, one of each rank, has gradients for; and `count`. All
    of it or, if this raises, nothing: no interrupt splits it."""
    by_table = {name: [t for t in tasks if t.said is not None and name in t.said.sizes] for name in tables}
    every = {name: its for name, its in by_table.items() if its}
    seen = [name for name in every if sees_ids(tables[name])]
    unread = [name for name in every if name not in seen]
    with cluster.lock, ExitStack() as held:
        cluster.tidy()
        nbytes = sum(sum(_sizes(t, name)) for name in unread for t in every[name])
        cluster.make_way(nbytes, len(tasks))
        cluster._largest = max(cluster._largest, nbytes)
        batches = [_batch(cluster, tables[name], every[name]) for name in seen]
        for name in seen:
            held.enter_context(tables[name]._sending_only())
            held.enter_context(tables[name]._batch())
        for batch in batches:
            batch.admit()
        carry_out(
            [
                # the only ones that may fail when they are carried out
                *(_stepping(cluster, optimizer, tasks) for optimizer in optimizers.values()),
                *(doing for batch in batches for doing in batch.doings()),
                *(_passing(cluster, tables[name], every[name]) for name in unread),
                _counting(tables, tasks, count),
            ]
        )


def _stepping(cluster: Cluster, optimizer: ShardedOptimizer, tasks: Sequence[Task]) -> Doing:
    """Parts go to owners as they are. What a rank that has no gradients sends is made here."""
    if any(task.said is not None and optimizer.name in task.said.parcels for task in tasks):
        yield from optimizer._stepping([_parcel(cluster, optimizer, task) for task in tasks])


def _parcel(cluster: Cluster, optimizer: ShardedOptimizer, task: Task) -> Parcel:
    unread = None if task.said is None else task.said.parcels.get(optimizer.name)
    if unread is None:
        return optimizer._pieces.parcels.cut([None] * len(optimizer._trained), is_kept=False)
    answers = task.parts[optimizer.name]
    if optimizer._transport is cluster.transport:
        return unread._replace(parts=answers, are_answers=True)
    return unread._replace(parts=[cluster.transport.wait(each) for each in answers])


def _counting(tables: Mapping[str, ShardedTable], tasks: Sequence[Task], count: Callable[[], None]) -> Doing:
    yield
    yield
    count()
    for task in tasks:
        assert task.said is not None
        for name, (hits, misses) in (task.said.counts or {}).items():
            tables[name].stats.hits += hits
            tables[name].stats.misses += misses


def _sizes(task: Task, name: str) -> Sequence[int]:
    assert task.said is not None
    return task.said.sizes[name]


def _passing(cluster: Cluster, table: ShardedTable, tasks: Sequence[Task]) -> Doing:
    """Parts go to shards as they are; a shard that has none is told of the step. Ranks that have nothing for a table
    are left out; the others keep their order."""
    update, step, held = _held(table, tasks)
    parts = ([x.rows for x in its if x.rows is not None] for its in zip(*held, strict=True))
    table._try_first_weights_unread([*parts])
    yield
    yield
    for rank, each in enumerate(held):
        cluster.push(table._stream, each, rank, len(held))
    table._account(update, step)
    table._note(update, 0)
    table.stats.updated += _n_rows(tasks, table)


def _held(table: ShardedTable, tasks: Sequence[Task]) -> tuple[Update, Step | None, list[list[Holding]]]:
    """A step of a table but for its rows, with its numbers, which are asked for here, once; and what each rank sends to
    each shard."""
    table._check_writable()
    now = second(None, f"{table.name}: a step of workers")
    nothing = np.empty(0, np.int64), np.empty((0, table.dim), table.dtype)
    update = Update(*nothing, table.steps, None, now, repeats=table.duplicates != "sum")
    contents, step = table._contents([update])
    held = [
        [
            Holding(content, nbytes, part if nbytes else None)
            for content, part, nbytes in zip(
                contents, task.parts[table.name], _sizes(task, table.name), strict=True
            )
        ]
        for task in tasks
    ]
    return update, step, held


def _n_rows(tasks: Sequence[Task], table: ShardedTable) -> int:
    """Rows in all parts; one that several ranks have counts for each."""
    width = 2 if table.wire else table.dtype.itemsize
    nbytes = sum(sum(_sizes(t, table.name)) for t in tasks)
    return nbytes // (8 + width * table.dim)


def _batch(cluster: Cluster, table: ShardedTable, tasks: Sequence[Task]) -> Batch:
    what = f"{table.name}: a step of workers"
    parts: list[Any] = [
        cluster.transport.wait(t.parts[table.name][0]) for t in tasks if _sizes(t, table.name)[0]
    ]
    nothing = np.empty(0, np.int64), np.empty((0, table.dim), table.dtype)
    return Batch(table, [(what, *part) for part in parts or [nothing]], what=what)

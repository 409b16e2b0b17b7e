"""Tables of an example at shards of a cluster: its arguments, a shard that is killed, and a check of all bits."""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from curves import count

from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those that say where tables are."""
    group = parser.add_argument_group("tables at shards")
    group.add_argument("--shards", type=count, metavar="N", help="train with tables in N parts")
    group.add_argument(
        "--transport", choices=("ray", "inprocess"), default="ray", help="what runs the shards"
    )
    group.add_argument(
        "--kill-shard-at", type=count, metavar="STEP", help="kill a shard's process on the way"
    )
    group.add_argument("--check", action="store_true", help="train without shards too, and compare all bits")
    group.add_argument("--progress", action="store_true", help="a line each second")


def wrong_arguments(options: argparse.Namespace) -> str:
    """What can't be done as told; "" if all can."""
    if not options.shards and (options.check or options.kill_shard_at):
        return "--check and --kill-shard-at need --shards"
    if options.kill_shard_at and options.transport == "inprocess":
        return "--kill-shard-at needs --transport ray: shards in this process can't be killed alone"
    return ""


@contextmanager
def cluster_of(options: argparse.Namespace) -> Iterator[Cluster | None]:
    """The cluster that was asked for, with a folder for its checkpoints; None without --shards."""
    if not options.shards:
        yield None
        return
    ray = {"store_bytes": 256 << 20} if options.transport == "ray" else None
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(options.shards, ray=ray, path=folder, progress=options.progress) as cluster,
    ):
        yield cluster


def kill_a_shard(cluster: Cluster) -> None:
    """As the system does when it has no memory left. Nobody tells the cluster: it finds out."""
    shard = cluster.status().shards[-1]
    assert shard.process is not None
    print(f"killing process {shard.process}, which is shard {shard.number}")
    os.kill(shard.process, signal.SIGKILL)


def check_bits(sharded: Table | ShardedTable, alone: Table) -> None:
    """SystemExit unless two tables have the same rows, bit for bit: weights, states and counts of updates."""
    one, other = (_rows_of(table) for table in (sharded, alone))
    differ = [name for name in {**one, **other} if not np.array_equal(one[name], other[name])]
    if differ:
        raise SystemExit(f"{alone.name}: not the bits of the run without shards: {', '.join(differ)}")
    print(f"{alone.name}: {len(one['id']):,} rows, {', '.join(one)}: the bits of the run without shards")


def _rows_of(table: Table | ShardedTable) -> dict[str, np.ndarray]:
    """All that training wrote, in the order of ids; floats as integers, so that no two bit patterns are equal."""
    found = table.lookup_entry(np.sort(table.ids()))
    arrays = {"weights": found.weights, **found.states}
    return {"id": found.ids, "updates": found.updates} | {
        name: np.ascontiguousarray(x).view(f"u{x.itemsize}") for name, x in arrays.items()
    }

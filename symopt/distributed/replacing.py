"""Steps that replace a table together, such as those of a restore: they may be more than is kept for lost shards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .cluster import Cluster


@contextlib.contextmanager
def replacing(cluster: Cluster) -> Iterator[None]:
    """What is sent within replaces a table, and no checkpoint has a part of it. If it is more than a cluster keeps for
    shards that are lost (`spare`), a checkpoint has it at the end, where there is a folder; until then, a shard that is
    lost can't be replaced. If it fails half-way, the cluster can't go on."""
    with cluster.lock:
        cluster.check()
        cluster.tidy()
        clock = cluster.clock
        try:
            yield
            cluster.settle()
        except BaseException as error:
            if cluster.clock != clock and not cluster.trouble:
                cluster.trouble = f"a table was not replaced as a whole: {error}"
            raise
        if cluster.has_folder and cluster.transport.may_lose and not all(x.keeps for x in cluster.lines):
            cluster.keep_again()


def spare(cluster: Cluster) -> None:
    """While a table is replaced: keep no pushes, if they become too many."""
    if sum(line.kept_bytes for line in cluster.lines) > cluster.log_bytes:
        cluster.keep_no_more(warns=not cluster.has_folder)

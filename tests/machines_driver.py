"""A driver on one of several machines: it trains a table and dense weights with workers, and says whether they have the
bits of one process.

`python machines_driver.py ADDRESS FOLDER N_STEPS`; each line of its input lets it do so many steps."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import symopt as so
from symopt.distributed import Cluster, ShardedOptimizer, ShardedTable, Workers, tree_sum
from symopt.embedding import RandomUniform, Segment, Table
from symopt.errors import ClusterError

N_SHARDS, RANKS, EVERY = 4, 3, 5
SEGMENT = Segment(8, "adam", learning_rate=0.01, initializer=RandomUniform(-0.1, 0.1))


def ids_of(step: int, rank: int) -> Any:
    """Ids of a rank's part of a step, each once."""
    return np.unique(np.random.default_rng([step, rank]).integers(0, 10**12, 40_000) // 10**7)


def weights() -> dict[str, Any]:
    """Dense weights at the beginning, of which each owner has more than a message takes along."""
    return {"w": np.linspace(-1, 1, 200_000, dtype=np.float32)}


def gradients(step: int, rank: int, net: Any) -> dict[str, Any]:
    """Of dense weights, and of the rank."""
    return {"w": net["w"] * np.float32(0.1 + rank) + np.float32(step)}


def learn(step: int, rank: int, ranks: int) -> Any:
    """A rank's part of a step."""
    given = yield {"users": ids_of(step, rank), "net": None}
    return {"users": given["users"] - 1, "net": gradients(step, rank, given["net"])}


def alone(n_steps: int) -> tuple[Table, Any]:
    """The table and the weights after so many steps, in one process."""
    table, net = Table(SEGMENT, missing="initialize"), weights()
    update = so.compile("adam", net, lr=0.01)
    for step in range(1, n_steps + 1):
        parts = [ids_of(step, rank) for rank in range(RANKS)]
        grads = [table.lookup(ids) - 1 for ids in parts]
        table.apply_gradients(np.concatenate(parts), np.concatenate(grads))
        update(tree_sum([gradients(step, rank, net) for rank in range(RANKS)]))
    return table, net["w"]


def say(*words: Any) -> None:
    """A line for whoever started this."""
    print(*words, flush=True)


def train(cluster: Cluster, workers: Workers, begin: int, n_steps: int) -> None:
    """All steps. A machine may take along a shard, and what a worker on it had sent that shard: then all go back to the
    newest checkpoint."""
    allowed = begin + int(sys.stdin.readline())
    while workers.step < n_steps:
        try:
            for done in workers.steps(n_steps, start=begin):
                if done.step % EVERY == 0:
                    cluster.checkpoint(meta={"step": done.step})
                cluster.settle()
                say("step", done.step)
                if done.step == allowed and done.step < n_steps:
                    allowed += int(sys.stdin.readline())
        except ClusterError as error:
            say("goes back:", error)
            cluster.restore()
            begin = (cluster.resumed or {"step": 0})["step"]


def main(address: str, folder: str, n_steps: int) -> None:
    """Train, from the newest checkpoint if there is one."""
    ray = {"address": address, "reserve": {"num_cpus": 1, "scheduling_strategy": "SPREAD"}}
    with Cluster(N_SHARDS, ray=ray, path=folder, timeout=10.0) as cluster:
        users = ShardedTable(cluster, SEGMENT, missing="initialize", name="users")
        params = weights()
        net = ShardedOptimizer(cluster, params, "adam", lr=0.01, n_ranks=RANKS, name="net")
        begin = (cluster.resumed or {"step": 0})["step"]
        say("begin", begin)
        dense: dict[str, Any] = {"optimizers": [net], "ranks": RANKS, "timeout": 20.0}
        with Workers(cluster, "machines_driver:learn", [users], **dense) as workers:
            say("machines", *sorted(str(shard.machine) for shard in cluster.status().shards))
            train(cluster, workers, begin, n_steps)
            expected, w = alone(n_steps)
            one, other = users.lookup_entry(users.ids()), expected.lookup_entry(users.ids())
            rows = {**one.states, "weights": one.weights}, {**other.states, "weights": other.weights}
            differ = [name for name, x in rows[0].items() if not np.array_equal(x, rows[1][name])]
            differ += [] if np.array_equal(params["w"], w) else ["w"]
            say("equal", not differ and len(users) == len(expected), *differ)
            say("recoveries", cluster.recoveries, "lost", workers.lost, "owners", net.recoveries)
            say("machines", *sorted(str(shard.machine) for shard in cluster.status().shards))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""A driver that may be killed: PATH TEMP_DIR N STEPS. Trains from where the newest checkpoint is, with one after every
seventh step; prints each step that is done, and what the table is in the end."""

from __future__ import annotations

import os
import sys

from cluster_runs import digest, sharded, step

from symopt.distributed import Cluster


def main(path: str, temp_dir: str, n_shards: int, steps: int) -> None:
    ray = {"num_cpus": 2, "store_bytes": 80 << 20, "temp_dir": temp_dir, "paths": [os.path.dirname(__file__)]}
    with Cluster(n_shards, ray=ray, path=path) as cluster:
        table = sharded(cluster)
        for k in range(cluster.resumed["step"] if cluster.resumed else 0, steps):
            step(table, k)
            print(k, flush=True)
            if k % 7 == 6:
                cluster.checkpoint({"step": k + 1})
        print(digest(table), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

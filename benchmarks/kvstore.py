"""Dense keys of a KVStore beside an `so.optimizer.Updater` on the same arrays: what it costs that rows are at shards.

    python benchmarks/kvstore.py [--quick] [--only process ray] [--json FILE]

A push is waited for. Each of the Updater's steps follows or comes before the KVStore's by turns, on the same gradient,
and the figure to carry is the median of the ratios: absolute times move with what else the machine does. On one shard
in this process the difference is what cutting a key into rows costs; on Ray it is the copy to another process too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib import util
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from harness import OURS, Row, attended, machine

import symopt as so
from symopt.distributed import Cluster, KVStore

ALONE = "Updater"  # what all are compared to
AT_MOST = 1.5  # times Updater's, on one shard in this process, from LARGE elements on
LARGE = 100_000
SIZES, QUICK = (1_000, 100_000, 10_000_000), (500, 5_000)  # float32 elements of a key
ROUNDS = {1_000: 400, 100_000: 200, 10_000_000: 15}
STORE_BYTES = 1 << 30
RULES: dict[str, Callable[[], Any]] = {
    "sgd": lambda: so.optimizer.SGD(learning_rate=0.01, momentum=0.9),
    "adam": lambda: so.optimizer.Adam(learning_rate=0.001),
}


def pushes(n_shards: int, is_on_ray: bool, sizes: Iterable[int] = SIZES) -> Iterable[Row]:
    """A step of each rule on a key of each size, beside the Updater."""
    where = f"{n_shards} shard{'s' * (n_shards > 1)}, {'Ray' if is_on_ray else 'in process'}"
    ray = {"num_cpus": 2, "store_bytes": STORE_BYTES} if is_on_ray else None
    with Cluster(n_shards, ray=ray) as cluster:
        for size, name in product(sizes, RULES):
            seconds, ratio = _measured(cluster, name, size)
            is_wanted = n_shards == 1 and not is_on_ray and size >= LARGE
            yield Row(
                f"kvstore {name}, {size:,}, {where}",
                seconds,
                {ALONE: 1 / AT_MOST} if is_wanted else {},
                remark=f"{ratio:.2f} times Updater's" + (f", at most {AT_MOST}" if is_wanted else ""),
            )


def _measured(cluster: Cluster, name: str, size: int) -> tuple[dict[str, float], float]:
    """Median seconds of both, and the median of the ratios of neighbours."""
    rng = np.random.default_rng(0)
    weight, grad = (rng.standard_normal(size).astype(np.float32) for _ in range(2))
    store, updater = KVStore(cluster, name=f"{name}-{size}"), so.optimizer.get_updater(RULES[name]())
    store.init("w", weight)
    store.set_optimizer(RULES[name]())

    def ours() -> None:
        store.push("w", grad)
        store.barrier()

    work = [(OURS, ours), (ALONE, lambda: updater("w", grad, weight))]
    times: dict[str, list[float]] = {OURS: [], ALONE: []}
    for k in range(ROUNDS.get(size, 3) + 3):
        for who, run in work if k % 2 else work[::-1]:
            begun = time.perf_counter()
            run()
            times[who].append(time.perf_counter() - begun)
        for line in cluster.lines:
            line.forget()
    assert np.array_equal(store.pull("w"), weight), "not the bits of the Updater"
    late = {who: found[3:] for who, found in times.items()}  # the first ones warm up
    ratio = statistics.median(x / y for x, y in zip(late[OURS], late[ALONE], strict=True))
    return {who: statistics.median(found) for who, found in late.items()}, ratio


def kvstore(quick: bool) -> Iterable[Row]:
    """All: 1 and 2 shards in process, and 2 on Ray, if that is there."""
    sizes = QUICK if quick else SIZES
    yield from pushes(1, False, sizes)
    yield from pushes(2, False, sizes)
    if util.find_spec("ray") is not None:
        yield from pushes(2, True, sizes)


JOBS: dict[str, Callable[[bool], Iterable[Row]]] = {"kvstore": kvstore}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--only", choices=("process", "ray"), help="one part")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args()
    sizes = QUICK if options.quick else SIZES
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "process": lambda: (row for n in (1, 2) for row in pushes(n, False, sizes)),
        "ray": lambda: pushes(2, True, sizes),
    }
    print(f"{machine()}\n\n{'':<46} {'KVStore':>11} {'Updater':>11} {'ratio':>7}")
    found = []
    rows = (row for name, part in parts.items() if options.only in (None, name) for row in part())
    for row in attended(rows):
        ours, alone = row.seconds[OURS] * 1e3, row.seconds[ALONE] * 1e3
        print(f"{row.job:<46} {ours:>8.3f} ms {alone:>8.3f} ms  {row.remark}", flush=True)
        found.append(asdict(row))
    print(f"\nprocessor time of others, shards among them: {row.others:.0%}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": found}, indent=1))


if __name__ == "__main__":
    so.set_num_threads(None)
    main()

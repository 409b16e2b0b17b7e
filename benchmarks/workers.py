"""Steps of workers that train dense parameters, beside `so.compile` in this process on the same gradients.

    python benchmarks/workers.py [--quick] [--owners 1 2] [--only process ray]

Two ranks, Adam, gradients that are there already: what is measured is their way, the update, and the way of weights.
Each step of the workers is followed by one of the process alone; the figure to carry is the ratio of medians. `driver`
is the processor time of this process in a step: what bounds the number of workers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from harness import foreign_work, machine

import symopt as so
from symopt.distributed import Cluster, ShardedOptimizer, ShardedTable, Workers, tree_sum
from symopt.embedding import Segment

RANKS, RATE = 2, 0.001
SHAPES = {"large": (8, 1 << 20), "small": (200, 64)}  # parameters, and elements of each
_GRADS: dict[int, dict[str, Any]] = {}  # what ranks give in every step, made once


def gradients(rank: int, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The gradients of a rank: the same ones in every step."""
    if rank not in _GRADS:
        rng = np.random.default_rng(rank)
        _GRADS[rank] = {n: rng.standard_normal(w.shape).astype(w.dtype) for n, w in weights.items()}
    return _GRADS[rank]


def train(step: int, rank: int, ranks: int) -> Generator[dict[str, Any], Any, dict[str, Any]]:
    """The step function of the workers."""
    weights = (yield {"net": None})["net"]
    return {"net": gradients(rank, weights)}


def measured(
    n_owners: int, shape: tuple[int, int], is_on_ray: bool, steps: int
) -> tuple[float, float, float]:
    """Median seconds of a step of the workers, of one alone, and of this process's work for the former."""
    params, single = ({f"w{k}": np.ones(shape[1], np.float32) for k in range(shape[0])} for _ in range(2))
    alone = so.compile("adam", single, lr=RATE)
    ray = {"num_cpus": 2, "store_bytes": 1 << 30} if is_on_ray else None
    times: list[tuple[float, float, float]] = []
    _GRADS.clear()
    with Cluster(n_owners, ray=ray) as cluster:
        users = ShardedTable(cluster, Segment(2, "sgd", learning_rate=RATE), name="users")
        net = ShardedOptimizer(cluster, params, "adam", n_ranks=RANKS, name="net", lr=RATE)
        workers = Workers(cluster, f"{train.__module__}:train", [users], optimizers=[net], ranks=RANKS)
        begun, worked = time.perf_counter(), time.process_time()
        for _ in workers.steps(steps):
            took, work = time.perf_counter() - begun, time.process_time() - worked
            begun = time.perf_counter()
            alone(tree_sum([gradients(rank, single) for rank in range(RANKS)]))
            times.append((took, time.perf_counter() - begun, work))
            begun, worked = time.perf_counter(), time.process_time()
    assert all(np.array_equal(params[name], single[name]) for name in params)
    ours, one, work = (statistics.median(each) for each in zip(*times[3:], strict=True))
    return ours, one, work


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps: does everything run?")
    parser.add_argument("--owners", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", choices=("process", "ray"), nargs="+", default=["process", "ray"])
    options = parser.parse_args()
    print(f"{machine()}; {RANKS} ranks, Adam\n")
    print(f"{'':<48} {'workers':>10} {'alone':>10} {'ratio':>7} {'driver':>10}")
    total, others = foreign_work()
    for where in options.only:
        for n_owners in options.owners:
            for name, shape in SHAPES.items():
                steps = 5 if options.quick else 30 if name == "large" else 300
                ours, one, work = measured(n_owners, shape, where == "ray", steps)
                what = f"{shape[0]} of {4 * shape[1]:,} bytes, {n_owners} owners, {where}"
                cells = f"{ours * 1e3:>7.2f} ms {one * 1e3:>7.2f} ms {ours / one:>7.2f}"
                print(f"{what:<48} {cells} {work * 1e3:>7.2f} ms", flush=True)
    now_total, now_others = foreign_work()
    share = (now_others - others) / max(now_total - total, 1e-9)
    print(f"\nprocessor time of others, workers and owners among them: {share:.0%}")


if __name__ == "__main__":
    so.set_num_threads(None)
    import workers as itself  # the module that other processes import, whose gradients are the same

    itself.main()

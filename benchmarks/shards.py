"""Sharded tables beside one table in this process: pushes, pulls, small calls, and a shard that is killed.

    python benchmarks/shards.py [--quick] [--shards 1 2 4] [--only ray] [--json FILE]

Each call on shards follows the same call on a `Table` with the same rows, or comes before it, by turns; the figure
to carry is the ratio of their medians: absolute times move with what else the machine does. A step is 20,000 ids, each
once, of a million rows of 64 with Adam: 5.3 MB. More shards than cores can only lose; what several show is what a shard
costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
from harness import OURS, Row, attended, machine

import symopt as so
from symopt.distributed import Cluster, ShardedTable
from symopt.embedding import Segment, Table

ALONE = "Table"  # what all are compared to
DIM, SMALL, IN_FLIGHT, TURNS = 64, 16, 4, 12
AT_MOST = {"push": 2.5, "push, in flight": 2.0, "pull": 2.2, "in process": 1.15}  # times Table's
OVERHEAD, RECOVERY = 1.5e-3, 3.0  # seconds
Array = np.ndarray
Work = Callable[[], Any]


@dataclass(frozen=True)
class Size:
    """How much: rows of a table, ids of a step, and rounds."""

    rows: int = 1_000_000
    ids: int = 20_000
    rounds: int = 15
    small_rounds: int = 200
    store_bytes: int = 1 << 30


QUICK = Size(4_000, 500, 2, 3, 128 << 20)


@dataclass
class Pair:
    """A sharded table and a plain one with the same rows, and the ids and gradients that both get."""

    cluster: Cluster
    sharded: ShardedTable
    alone: Table
    size: Size
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __post_init__(self) -> None:
        self.ids = np.unique(self.rng.integers(-(2**63), 2**63, self.size.rows * 9 // 8))[: self.size.rows]
        self.rng.shuffle(self.ids)
        for some in np.array_split(self.ids, max(1, self.size.rows // 50_000)):
            for table in (self.sharded, self.alone):
                table.lookup(some, missing="initialize")
        self.grads = self.rng.standard_normal((self.size.ids, DIM)).astype(np.float32)
        self.out = np.empty_like(self.grads)

    def some(self, n: int) -> Array:
        """Ids, each once, of rows all over memory."""
        return self.rng.choice(self.ids, n, replace=False)

    def let_go(self) -> None:
        """Forget the pushes that are kept for lost shards, as a checkpoint does: the store is not to fill up."""
        self.cluster.settle()
        for line in self.cluster.lines:
            line.forget()

    def measured(
        self, work: Callable[[Any, Array], Any], n: int, rounds: int, calls: int = 1
    ) -> dict[str, float]:
        """Median seconds of a call, on shards and alone, in turns; each round of both has ids of its own."""
        times: dict[str, list[float]] = {OURS: [], ALONE: []}
        for k in range(rounds + 2):
            batches = [self.some(n) for _ in range(calls)]
            both = (OURS, self.sharded), (ALONE, self.alone)
            for name, table in both if k % 2 else both[::-1]:  # who comes second finds gradients in the cache
                begun = time.perf_counter()
                for ids in batches:
                    work(table, ids)
                if calls > 1:
                    self.cluster.settle()
                if k >= 2:  # the first ones warm up
                    times[name].append((time.perf_counter() - begun) / calls)
            self.let_go()
        return {name: statistics.median(each) for name, each in times.items()}

    def update(self, table: Any, ids: Array) -> None:
        """A step that is waited for."""
        table.apply_gradients(ids, self.grads[: len(ids)])

    def send(self, table: Any, ids: Array) -> None:
        """A step of which several are on their way."""
        (table.push if table is self.sharded else table.apply_gradients)(ids, self.grads[: len(ids)])

    def read(self, table: Any, ids: Array) -> None:
        """A lookup."""
        table.lookup(ids, out=self.out[: len(ids)])


@contextmanager
def paired(n_shards: int, size: Size, is_on_ray: bool, path: str | None = None) -> Iterator[Pair]:
    """A cluster with a table, and a table."""
    ray = {"num_cpus": 2, "store_bytes": size.store_bytes} if is_on_ray else None
    segment = Segment(DIM, "adam", learning_rate=0.001)
    with Cluster(n_shards, ray=ray, path=path, window=IN_FLIGHT) as cluster:
        yield Pair(cluster, ShardedTable(cluster, segment), Table(segment), size)


def steps(n_shards: int, size: Size, is_on_ray: bool) -> Iterable[Row]:
    """Pushes one by one and four in flight, pulls, and calls of a few rows."""
    where = f"{n_shards} shard{'s' * (n_shards > 1)}, {'Ray' if is_on_ray else 'in process'}"
    with paired(n_shards, size, is_on_ray) as pair:
        for name, work, calls in (
            ("push", pair.update, 1),
            ("push, in flight", pair.send, TURNS),
            ("pull", pair.read, 1),
        ):
            seconds = pair.measured(work, size.ids, size.rounds, calls)
            at_most = AT_MOST.get(name if is_on_ray else "in process") if n_shards == 1 else None
            yield _row(f"{name}, {where}", seconds, at_most)
        for name, work in (("small push", pair.update), ("small pull", pair.read)):
            seconds = pair.measured(work, SMALL, size.small_rounds)
            over = seconds[OURS] - seconds[ALONE]
            limit = seconds[ALONE] + OVERHEAD if n_shards == 1 else None
            yield Row(f"{name}, {where}", seconds, limit=limit, remark=f"{over * 1e3:.2f} ms more a call")


def recovery(size: Size, kills: int) -> Iterable[Row]:
    """A shard of few rows is killed, and the next lookup has it again: from the checkpoint, and from pushes."""
    folder = tempfile.mkdtemp()
    small = Size(min(size.rows, 20_000), min(size.ids, 2_000), store_bytes=256 << 20)
    try:
        with paired(2, small, True, folder) as pair:
            pair.cluster.checkpoint()
            found = []
            for _ in range(kills):
                for _ in range(5):
                    pair.send(pair.sharded, pair.some(small.ids))
                pair.cluster.settle()
                process = pair.cluster.lines[0].process_id
                assert process is not None
                begun = time.perf_counter()
                os.kill(process, signal.SIGKILL)
                pair.read(pair.sharded, pair.some(small.ids))
                found.append(time.perf_counter() - begun)
            assert pair.cluster.recoveries == kills
            kept = len(pair.cluster.lines[0].kept)
    finally:
        shutil.rmtree(folder)
    remark = (
        f"{kills} kills, {min(found):.2f} to {max(found):.2f} s; at the last, {kept} pushes were sent again"
    )
    seconds = {OURS: statistics.median(found)}
    yield Row(f"recovery, {small.rows // 2:,} rows", seconds, limit=RECOVERY, remark=remark)


def _row(job: str, seconds: dict[str, float], at_most: float | None) -> Row:
    ratio = seconds[OURS] / seconds[ALONE]
    wanted = "" if at_most is None else f", at most {at_most}"
    remark = f"{ratio:.2f} times Table's{wanted}"
    return Row(job, seconds, {} if at_most is None else {ALONE: 1 / at_most}, remark=remark)


def shards(quick: bool, numbers: Iterable[int] = (1, 2, 4)) -> Iterable[Row]:
    """All, in process and on Ray, if that is there."""
    size = QUICK if quick else Size()
    yield from steps(1, size, False)
    if util.find_spec("ray") is None:
        return
    for n_shards in numbers:
        yield from steps(n_shards, size, True)
    yield from recovery(size, 2 if quick else 5)


JOBS: dict[str, Callable[[bool], Iterable[Row]]] = {"shards": shards}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4], help="on Ray")
    parser.add_argument("--only", choices=("process", "ray", "recovery"), help="one part")
    parser.add_argument("--json", type=Path, help="write the rows to this file too")
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "process": lambda: steps(1, size, False),
        "ray": lambda: (row for n in options.shards for row in steps(n, size, True)),
        "recovery": lambda: recovery(size, 2 if options.quick else 5),
    }
    print(f"{machine()}; a step: {size.ids:,} of {size.rows:,} rows x {DIM}, Adam\n")
    print(f"{'':<34} {'shards':>10} {'Table':>10} {'ratio':>7} {'more':>10}  wanted")
    found = []
    rows = (row for name, part in parts.items() if options.only in (None, name) for row in part())
    for row in attended(rows):
        print(_line(row), flush=True)
        found.append(asdict(row))
    print(f"\nprocessor time of others, shards among them: {row.others:.0%}")
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": found}, indent=1))


def _line(row: Row) -> str:
    """A line of the table of speeds."""
    ours, alone = row.seconds[OURS], row.seconds.get(ALONE)
    cells = f"{row.job:<34} {ours * 1e3:>7.2f} ms"
    if alone is None:
        return f"{cells} {'':>29}  at most {row.limit:.1f} s   {row.remark}"
    cells += f" {alone * 1e3:>7.2f} ms {ours / alone:>7.2f} {(ours - alone) * 1e3:>7.2f} ms"
    if ALONE in row.targets:
        return f"{cells}  ratio at most {1 / row.targets[ALONE]:.2f}"
    return cells if row.limit is None else f"{cells}  at most {OVERHEAD * 1e3:.1f} ms more"


if __name__ == "__main__":
    so.set_num_threads(None)
    main()

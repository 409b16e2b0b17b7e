"""What rows on disk cost: cold rows with and without asking for them ahead, and what a step costs beside one in memory.

    python benchmarks/rows_on_disk.py [FOLDER]    where to write; the folder's disk needs 3 GB

Cold: the system is asked to forget the file before each turn. Warm: all of it is in the system's memory.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import OURS, Row, foreign_work, machine, measure

from symopt.embedding import RandomUniform, Segment, Table
from symopt.embedding.ondisk import OnDisk

N, DIM, BATCH = 2_000_000, 64, 20_000
FACTOR = 4.0  # cold rows: so many times as fast as without asking ahead


def main() -> None:
    folder = tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)
    print(f"{machine()}; {N:,} rows of {DIM} float32 and Adam's states, batches of {BATCH:,}")
    try:
        path = f"{folder}/table"
        with _table(OnDisk(path)) as table:
            for begin in range(0, N, 100_000):
                table.lookup(np.arange(begin, begin + 100_000), missing="initialize")
        print(f"{os.stat(f'{path}/rows.bin').st_blocks * 512 / 1e9:.2f} GB in {path}/rows.bin")
        for job in (_cold, _steps):
            before = foreign_work()
            row = job(folder)
            after = foreign_work()
            row.others = (after[1] - before[1]) / max(after[0] - before[0], 1e-9)
            print("\n".join(row.lines()), flush=True)
    finally:
        shutil.rmtree(folder)


def _table(path: Any = None) -> Table:
    return Table(Segment(DIM, "adam", learning_rate=1e-3, initializer=RandomUniform()), path=path)


def _batches() -> Callable[[], np.ndarray]:
    """Another batch at each call, the same ones whoever asks."""
    numbers = itertools.count()
    return lambda: np.random.default_rng(next(numbers)).choice(N, BATCH, replace=False)


def _cold(folder: str) -> Row:
    """A lookup of rows that are not in memory, all asked for first, and one after the other as they are read."""
    path = f"{folder}/table"
    table = _table(OnDisk(path, readonly=True))
    rows = table._rows.store
    fetch = rows.fetch
    asked, not_asked = _batches(), _batches()

    def forget() -> None:
        rows.drop_changes()  # type: ignore[attr-defined]
        file = os.open(f"{path}/rows.bin", os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)

    def one_by_one() -> None:
        rows.fetch = lambda slots: None  # type: ignore[method-assign]
        table.lookup(not_asked())
        rows.fetch = fetch  # type: ignore[method-assign]

    seconds = _timed({OURS: lambda: table.lookup(asked()), "page by page": one_by_one}, forget)
    table.close()
    return Row("lookup, cold", seconds, {"page by page": FACTOR})


def _timed(
    work: dict[str, Callable[[], Any]], before: Callable[[], None], rounds: int = 9
) -> dict[str, float]:
    """Medians, interleaved, of work alone: not of what makes it cold."""
    import statistics
    import time

    found: dict[str, list[float]] = {name: [] for name in work}
    for _, (name, run) in itertools.product(range(rounds), work.items()):
        before()
        start = time.perf_counter()
        run()
        found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def _steps(folder: str) -> Row:
    """Adam on rows that are in memory anyway: what the log costs."""
    grads = np.random.default_rng(0).random((BATCH, DIM), np.float32)
    kept = {
        OURS: _table(OnDisk(f"{folder}/table", log_bytes=1 << 40, dirty_bytes=1 << 40)),
        "in memory": _table(),
        "on disk, power": _table(
            OnDisk(f"{folder}/power", durability="power", log_bytes=1 << 40, dirty_bytes=1 << 40)
        ),
    }
    work = {}
    hot = np.random.default_rng(1).choice(N, BATCH * 5, replace=False).reshape(5, BATCH)
    for name, table in kept.items():
        for ids in hot:
            table.apply_gradients(ids, grads)
        numbers = itertools.count()
        work[name] = lambda t=table, k=numbers: t.apply_gradients(hot[next(k) % 5], grads)
    before, journal = kept[OURS]._journal.logged, kept[OURS]._journal
    seconds = measure(work, 15)
    remark = f"{(journal.logged - before) / 16 / BATCH:.1f} bytes logged per row and step"
    for table in kept.values():
        table.close(checkpoint=False)
    return Row("apply_gradients, warm", seconds, remark=remark)


if __name__ == "__main__":
    main()

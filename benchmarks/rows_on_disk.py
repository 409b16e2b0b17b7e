"""What rows on disk cost: cold rows with and without asking for them ahead, and what a step costs beside one in memory.

    python benchmarks/rows_on_disk.py [FOLDER]    where to write; the folder's disk needs 3 GB

Cold: the system is asked to forget the file before each turn. Warm: all of it is in the system's memory.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from typing import Any

import numpy as np
from harness import OURS, Row, foreign_work, machine, measure

from symopt.embedding import RandomUniform, Segment, Table
from symopt.embedding.ondisk import OnDisk

N, DIM, BATCH = 2_000_000, 64, 20_000
FACTOR = 4.0  # cold rows: so many times as fast as without asking ahead
WORK = 0.4  # seconds; longer than a drive needs for a batch
AT_ONCE = "asked for at once"


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


def _cold(folder: str) -> Row:
    """A lookup of rows that are not in memory: that were asked for while other work was done for WORK seconds, which
    do not count; that are all asked for when the lookup begins; and that are read as they are met."""
    path = f"{folder}/table"
    table = _table(OnDisk(path, readonly=True))
    rows: Any = table._rows.store
    fetch = rows.fetch

    def turn(k: int, way: str) -> float:
        ids = np.random.default_rng(k).choice(N, BATCH, replace=False)
        rows.drop_changes()
        file = os.open(f"{path}/rows.bin", os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
        rows.fetch = fetch if way == AT_ONCE else lambda slots: None
        if way == OURS:
            table.prefetch(ids)
            time.sleep(WORK)
        start = time.perf_counter()
        table.lookup(ids)
        return time.perf_counter() - start

    times: dict[str, list[float]] = {OURS: [], AT_ONCE: [], "page by page": []}
    for k, way in itertools.product(range(9), times):
        times[way].append(turn(k, way))
    table.close()
    seconds = {way: statistics.median(found) for way, found in times.items()}
    ratio = seconds["page by page"] / seconds[AT_ONCE]
    remark = f"{AT_ONCE}: {ratio:.2f}x page by page"
    return Row("lookup, cold", seconds, {"page by page": FACTOR}, remark=remark)


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

"""Records in a mapped file: beyond memory, changed there only until a checkpoint; hints; who may open it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_runs import batch, digest, model, table

import symopt as so
from symopt.checkpoint.disk import DISK
from symopt.embedding import RandomUniform, Segment, Table
from symopt.embedding.ondisk import OnDisk, pages, redo
from symopt.embedding.ondisk.rowfile import RowFile
from symopt.embedding.rows import Rows
from symopt.records.layout import Layout

LAYOUT = Layout([("0/weight", "float32", 24), ("0/mean", "float32", 24)], alignment=64)


def row_file(path: Path, layout: Layout = LAYOUT) -> RowFile:
    path.touch()
    made = RowFile(layout)
    made.attach(str(path))
    made.is_sparse = True
    made.map()
    return made


def plain(**options: Any) -> Table:
    return Table(Segment(4, "adam", learning_rate=0.1, initializer=RandomUniform()), **options)


def step(t: Table, k: int) -> None:
    rng = np.random.default_rng(k)
    t.apply_gradients(rng.integers(0, 300, 200), rng.normal(size=(200, 4)), req_time=k)


# ---- the file


def test_a_thousand_million_rows(tmp_path: Path) -> None:
    """Offsets of more than 32 bits, in a file that is nearly all holes."""
    n = 10**9
    rows = Rows(
        [Segment(8, "adagrad", learning_rate=0.1, initializer=RandomUniform())],
        make_store=lambda layout: row_file(tmp_path / "rows.bin", layout),
        alignment=64,
    )
    rows.store.reserve(n)
    slots = np.random.default_rng(0).choice(n, 500, replace=False)
    slots[:2] = n - 1, 0
    rows.store.changing(slots)
    rows.bear(slots, slots * 7, 5, [None])
    expected = Rows([part.segment for part in rows.parts])
    expected.store.reserve(500)
    expected.bear(np.arange(500), slots * 7, 5, [None])
    assert rows.read(slots).tobytes() == expected.read(np.arange(500)).tobytes()
    assert isinstance(rows.store, RowFile)
    in_order = np.sort(slots)
    assert rows.store.changed().tolist() == in_order.tolist()
    before = rows.store.records[in_order]
    redo.put_rows(DISK, rows.store.file, in_order, before)
    rows.store.drop_changes()
    assert rows.store.changed_bytes(0) == 0
    assert (
        np.array_equal(rows.store.records[in_order], before) and not rows.store.records[in_order[3] + 1].any()
    )
    assert os.stat(tmp_path / "rows.bin").st_size >= n * rows.layout.stride
    assert os.stat(tmp_path / "rows.bin").st_blocks * 512 < 1 << 24
    rows.store.close()


def test_changes_are_in_memory_only_until_they_are_put_into_the_file(tmp_path: Path) -> None:
    rows = row_file(tmp_path / "rows.bin")
    rows.reserve(1000)
    slots = np.array([3, 999, 4])
    rows.changing(slots)
    rows.records[slots] = 7
    assert not any((tmp_path / "rows.bin").read_bytes())
    assert 0 < rows.changed_bytes(0) <= 4 * pages.PAGE
    rows.reserve(100_000)  # they move to the new mapping
    assert (rows.records[slots] == 7).all() and rows.changed().tolist() == [3, 4, 999]
    rows.drop_changes()
    assert not rows.records.any() and not len(rows.changed())
    rows.close()


@pytest.mark.parametrize("stride", [64, 192, 4096, 4160, 12352])
def test_pages_of_records(stride: int) -> None:
    slots = np.array([0, 5, 6, 70, 10**7])
    expected = {b // pages.PAGE for s in slots.tolist() for b in range(s * stride, (s + 1) * stride, 8)}
    found = pages.pages_of(slots, stride)
    assert found.tolist() == sorted(expected)
    begins, sizes = pages.runs_of(found)
    covered = [p for b, s in zip(begins.tolist(), sizes.tolist()) for p in range(b, b + s, pages.PAGE)]
    assert covered == [p * pages.PAGE for p in sorted(expected)]
    assert (np.diff(begins) > sizes[:-1]).all()


def test_hints_bring_pages_into_memory(tmp_path: Path) -> None:
    """Where the system tells what is in memory, and drops what it is asked to."""
    with plain(path=tmp_path / "t") as t:
        t.apply_gradients(np.arange(20_000), np.ones((20_000, 4)))
    t = plain(path=tmp_path / "t")
    rows = t._rows.store
    assert isinstance(rows, RowFile)
    slots = np.arange(0, 20_000, 64)
    where = (rows.records.ctypes.data, slots, rows.layout.stride)
    rows.drop_changes()
    file = os.open(tmp_path / "t" / "rows.bin", os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    if pages.are_in_memory(*where):
        pytest.skip("the system keeps the file in memory")
    t.prefetch(slots)
    rows.settle_hints()
    assert (t.lookup(slots) == t.lookup(slots)).all() and pages.are_in_memory(*where)
    t.close()


# ---- tables


def test_a_table_on_disk_is_as_one_in_memory(tmp_path: Path) -> None:
    with table(tmp_path / "t") as t:
        for k in range(12):
            batch(t, k)
            assert digest(t) == model()[k + 1]
            if k % 4 == 3:
                t.checkpoint()
    with table(tmp_path / "t") as t:
        assert digest(t) == model()[12]
    assert sorted(os.listdir(tmp_path / "t")) == [
        "lock", "log-000000003.bin", "rows.bin", "state-000000003", "table.json",
    ]  # fmt: skip


def test_the_log_is_done_again_with_either_engine(tmp_path: Path) -> None:
    t = table(tmp_path / "t")
    for k in range(9):
        batch(t, k)
    t.close(checkpoint=False)
    with table(tmp_path / "t", engine="reference") as t:
        assert digest(t) == model()[9]


def test_functions_are_not_asked_again(tmp_path: Path) -> None:
    """A schedule that counts, and weights that no one can draw twice: both come from the log."""
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 1 / len(asked)

    rng = np.random.default_rng()

    def make() -> Table:
        drawn = Segment(
            4, "sgd", learning_rate=rate, initializer=lambda ids, dim: rng.normal(size=(len(ids), dim))
        )
        return Table(drawn, path=tmp_path / "t")

    t = make()
    for k in range(5):
        step(t, k)
    ids, before, times = t.ids(), t.lookup(t.ids()), len(asked)
    t.close(checkpoint=False)
    with make() as t:
        assert t.lookup(ids).tobytes() == before.tobytes() and len(asked) == times


def test_flush_is_on_disk_too(tmp_path: Path) -> None:
    def make() -> Table:
        return Table(
            Segment(4, "sgd", learning_rate=0.1, weight_decay=0.1, decay="decoupled_global", initializer=1.0),
            path=tmp_path / "t",
        )

    t = make()
    for k in range(5):
        step(t, k)
    t.flush()
    expected = t.lookup_entry(t.ids())
    t.close(checkpoint=False)
    with make() as t:
        found = t.lookup_entry(t.ids())
        assert found.weights.tobytes() == expected.weights.tobytes()
        assert all(found.states[n].tobytes() == expected.states[n].tobytes() for n in expected.states)


def test_refused_occurrences_are_counted_on_disk_too(tmp_path: Path) -> None:
    def make() -> Table:
        return plain(admission=2, max_rows=3, path=tmp_path / "t")

    t = make()
    ids = np.arange(4)
    t.apply_gradients(ids, np.ones((4, 4)))
    t.apply_gradients(ids, np.ones((4, 4)))
    with pytest.raises(so.errors.TooLateError, match="more than max_rows=3"):
        t.apply_gradients(ids, np.ones((4, 4)))
    assert t.admission is not None
    assert (
        t.apply_gradients(ids[:2], np.ones((2, 4))).blocked == 2
    )  # the count began anew when they were admitted
    t.close(checkpoint=False)
    with make() as t:
        assert t.admission is not None and len(t) == 0 and t.admission.blocked == 10


def test_a_table_that_is_made_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "t"
    t = plain(path=path)
    step(t, 0)
    t.close(checkpoint=False)
    other = Segment(4, "adam", learning_rate=0.2, initializer=RandomUniform())
    with pytest.raises(
        so.errors.StateError, match=r"was not closed(?s:.*)lr=0.2(?s:.*)here, it was(?s:.*)lr=0.1"
    ):
        Table(other, path=path)
    with plain(path=path) as t:
        assert t.steps == 1
    with Table(other, path=path) as t:  # nothing is to be done again: another rate is fine
        step(t, 1)
    for wrong, said in (
        (Segment(5, "sgd", learning_rate=0.1), "0/weight: "),
        (Segment(40, "sgd", learning_rate=0.1), "stride"),
    ):
        with pytest.raises(so.errors.StateError, match=said):
            Table(wrong, path=path)
    with pytest.raises(so.errors.StateError, match="seed: 1 here"):
        plain(seed=1, path=path)


def test_who_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "t"
    t = plain(path=path)
    step(t, 0)
    code = f"from test_row_file import *; plain(path={str(path)!r})"
    where = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"}
    other = subprocess.run([sys.executable, "-c", code], env=where, capture_output=True, text=True)
    assert "TooLateError" in other.stderr and "another process" in other.stderr
    with pytest.raises(so.errors.TooLateError, match="has it open"):
        plain(path=OnDisk(path, readonly=True))
    t.close(checkpoint=False)
    first, second = (plain(path=OnDisk(path, readonly=True)) for _ in range(2))
    assert first.lookup(first.ids()).tobytes() == second.lookup(first.ids()).tobytes() and len(first) > 100
    for write in (lambda: step(first, 1), lambda: first.evict([1]), first.checkpoint):
        with pytest.raises(so.errors.TooLateError, match="to read only"):
            write()
    with pytest.raises(so.errors.TooLateError, match="has it open"):
        plain(path=path)
    first.close()
    second.close()
    with pytest.raises(so.errors.TooLateError, match="closed; open it anew"):
        first.lookup([1])
    with pytest.raises(FileNotFoundError, match="no table to read"):
        plain(path=OnDisk(tmp_path / "none", readonly=True))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_nothing_else_is_overwritten(what: str, tmp_path: Path) -> None:
    if what == "file":
        (tmp_path / "t").write_text("mine")
    else:
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "x").touch()
    with pytest.raises(FileExistsError, match="no table"):
        plain(path=tmp_path / "t")


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with plain(path=tmp_path / "t") as t:
        step(t, 0)


def test_checkpoints_come_by_themselves(tmp_path: Path) -> None:
    for limit in ({"log_bytes": 30_000}, {"dirty_bytes": 10_000}):
        path = tmp_path / next(iter(limit))
        with plain(path=OnDisk(path, **limit)) as t:  # type: ignore[arg-type]
            for k in range(30):
                step(t, k)
            expected = t.lookup_entry(t.ids())
        assert max(int(name[6:]) for name in os.listdir(path) if name.startswith("state")) > 2
        with plain(path=path) as t:
            assert t.lookup_entry(t.ids()).weights.tobytes() == expected.weights.tobytes()


@pytest.mark.parametrize("wrong", [{"durability": "never"}, {"sync_every": 0}, {"log_bytes": 1.5}])
def test_options_that_make_no_sense(wrong: Any) -> None:
    with pytest.raises(so.errors.AttributeValueError, match=next(iter(wrong))):
        OnDisk("t", **wrong)

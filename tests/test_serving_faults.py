"""Serving tables that are damaged, interrupted, or changed: nothing wrong is read, and nothing is half written."""

from __future__ import annotations

import random
import shutil
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_states import QuickDisk, random_states
from fault_counts import Faults
from hypothesis import given, settings
from hypothesis import strategies as st
from test_checkpoint_power import Interrupted, Scene, violations
from test_serving import coded, exported, some_ids, some_rows

import symopt as so
from symopt.checkpoint.streamed import Streamed
from symopt.checkpoint.writer import store
from symopt.embedding.compressors import FixedR8, Fp32
from symopt.embedding.serving import ServingTable, export_rows, load_serving
from symopt.errors import DamagedError, FormatError, ShapeError, SymoptError

Array = np.ndarray[Any, np.dtype[Any]]
SEGMENTS: list[tuple[int, Any]] = [(3, FixedR8()), (2, "fp16")]


# ---- files that are not as they were written


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    exported(folder, SEGMENTS, 500)
    return folder / "t"


def flipped(saved: Path, folder: Path, rng: random.Random, names: list[str]) -> Path:
    """A copy with one bit of one file changed."""
    copy = folder / f"copy{rng.getrandbits(32)}"
    shutil.copytree(saved, copy)
    file = copy / rng.choice(names)
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return copy


def test_every_changed_bit_is_found_if_asked(saved: Path, tmp_path: Path, faults: Faults) -> None:
    names = [p.name for p in saved.iterdir()]
    for _ in range(faults.count(400)):
        copy = flipped(saved, tmp_path, faults.random, names)
        with pytest.raises(SymoptError):
            load_serving(copy, verify="full")
        shutil.rmtree(copy)


def test_a_changed_bit_in_the_arrays_ends_no_process(saved: Path, tmp_path: Path, faults: Faults) -> None:
    """Without looking at every byte it may go unseen: then lookups give some row, zeros, or an error that says so."""
    names, ids = [p.name for p in saved.iterdir() if p.suffix == ".safetensors"], some_ids(500)
    for _ in range(faults.count(1000)):
        copy = flipped(saved, tmp_path, faults.random, names)
        for mutable in (False, True):
            try:
                table = load_serving(copy, mutable=mutable)
                assert table.lookup(ids).shape == (500, 5)
            except DamagedError:
                continue
        shutil.rmtree(copy)


@pytest.mark.parametrize("value", [0, 2**32 - 1, 499, 500, 10**6])
@pytest.mark.parametrize("part", ["rows", "starts"])
def test_an_index_that_leads_astray(part: str, value: int, tmp_path: Path) -> None:
    table, ids, _ = exported(tmp_path, SEGMENTS, 500)
    tree = so.load(tmp_path / "t", mutable=True)
    tree["index"][part][:] = value
    so.save(tmp_path / "wrong", tree, meta=dict(table.meta))
    for mutable in (False, True):
        try:
            found = load_serving(tmp_path / "wrong", mutable=mutable).lookup(ids)
        except DamagedError as error:
            assert "index is damaged" in str(error)
        else:
            assert found.shape == (500, 5)


@pytest.mark.parametrize(
    "entries, error, message",
    [
        ({"format": "another"}, FormatError, "is no serving table"),
        ({"version": 2}, FormatError, "version 2; this symopt reads 1: upgrade"),
        ({"segments": []}, DamagedError, "missing or malformed"),
        ({"segments": [{"dim": 5, "compressor": {"kind": "fp8"}}]}, DamagedError, "no compressor is called"),
        ({"segments": [{"dim": 6, "compressor": {"kind": "fp16"}}]}, DamagedError, "do not fit its segments"),
        ({"index": {}}, DamagedError, "missing or malformed"),
        ({"codes": np.zeros((500, 8), np.int8)}, DamagedError, "do not fit its segments"),
        ({"codes": np.zeros((499, 8), np.uint8)}, DamagedError, "do not fit its segments"),
    ],
    ids=lambda x: str(x)[:30],
)
def test_what_is_no_serving_table(
    entries: dict[str, Any], error: type[Exception], message: str, saved: Path, tmp_path: Path
) -> None:
    meta = so.checkpoint.info(saved).meta
    so.save(tmp_path / "wrong", {**so.load(saved), **entries}, meta=meta)
    with pytest.raises(error, match=message):
        load_serving(tmp_path / "wrong")


def test_other_checkpoints(saved: Path, tmp_path: Path) -> None:
    so.save(tmp_path / "list", [1, 2])
    with pytest.raises(FormatError, match=r"no serving table; so\.load reads"):
        load_serving(tmp_path / "list")
    so.save(tmp_path / "without", so.load(saved))
    with pytest.raises(DamagedError, match="missing or malformed: 'sizes'"):
        load_serving(tmp_path / "without")
    with pytest.raises(FileNotFoundError):
        load_serving(tmp_path / "nothing")


# ---- losses of power


def _save(root: str, k: int, disk: QuickDisk) -> None:
    rows = np.full((40, 5), k / 128, np.float32)
    export_rows(f"{root}/t", SEGMENTS, np.arange(40) * k, lambda a, b: rows[a:b], overwrite=k > 1, disk=disk)


def _load(root: str) -> int:
    try:
        table = load_serving(f"{root}/t")
    except FileNotFoundError:
        return 0
    k = int(table.ids()[1])
    assert (table.lookup(np.arange(40) * k, missing="raise") == k / 128).all(), "a mixture was loaded"
    return k


@pytest.mark.parametrize(
    "scene", [Scene(_save, _load, before=0), Scene(_save, _load)], ids=["first", "overwritten"]
)
def test_a_loss_of_power_leaves_a_whole_table(scene: Scene, tmp_path: Path, faults: Faults) -> None:
    done = Interrupted.of(scene, str(tmp_path / "record"))
    states = random_states(done.record, done.record.ops, 0, faults.random)
    assert list(violations(scene, done, islice(states, faults.count(400)), tmp_path)) == []


@pytest.mark.parametrize("n_pieces", [1, 3])
def test_an_export_whose_rows_fail_leaves_what_was_there(n_pieces: int, tmp_path: Path) -> None:
    n = n_pieces * 40_000
    exported(tmp_path, SEGMENTS, 9)

    def rows(start: int, stop: int) -> Array:
        if stop == n:
            raise RuntimeError("the table's disk is gone")
        return np.zeros((stop - start, 5), np.float32)

    with pytest.raises(RuntimeError, match="disk is gone"):
        export_rows(tmp_path / "t", SEGMENTS, np.arange(n), rows, overwrite=True)
    with pytest.raises(FileExistsError):
        export_rows(tmp_path / "t", SEGMENTS, np.arange(2), np.zeros((2, 5)))
    assert len(load_serving(tmp_path / "t", verify="full")) == 9
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


# ---- arrays that are streamed


def test_streamed_arrays_are_saved_as_others_are(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).normal(size=(70_000, 9))
    few = whole[:11].astype(np.float16)
    for name, cut in (("large", 30_000), ("small", 4)):
        array: Array = whole if name == "large" else few
        pieces = [array[k : k + cut] for k in range(0, len(array), cut)]
        streamed = Streamed(array.shape, array.dtype, lambda pieces=pieces: iter(pieces))  # type: ignore[misc]
        store(tmp_path / f"{name} streamed", {"x": streamed, "y": few}, shard_bytes=1000)
        so.save(tmp_path / name, {"x": array.copy(), "y": few}, shard_bytes=1000)
        files = [
            {p.name: p.read_bytes() for p in (tmp_path / x).iterdir()} for x in (name, f"{name} streamed")
        ]
        assert files[0] == files[1]


@pytest.mark.parametrize(
    "pieces, message",
    [
        ([np.zeros(3)], "have 24 bytes, not 40"),
        ([np.zeros(3), np.zeros(3)], "of which 16 bytes are left"),
        ([np.zeros(5, np.float32)], "does not fit"),
        ([], "have 0 bytes"),
    ],
)
def test_pieces_that_do_not_add_up(pieces: list[Array], message: str, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=message):
        store(tmp_path / "x", {"x": Streamed((5,), np.dtype(np.float64), lambda: iter(pieces))})
    assert not list(tmp_path.iterdir())


# ---- tables that change


class Model:
    """What a mutable table is to be: a dict of rows, each as its code keeps it."""

    def __init__(self, segments: list[tuple[int, Any]], skips: bool) -> None:
        self.segments, self.skips, self.rows = segments, skips, dict[int, Array]()
        self.dim = sum(dim for dim, _ in segments)

    def put(self, id_: int, row: Array) -> None:
        if self.skips and (row.astype(float) ** 2).sum() <= 1e-12:
            self.rows.pop(id_, None)
        else:
            self.rows[id_] = coded(self.segments, row[None])[0]

    def lookup(self, ids: list[int]) -> Array:
        zeros = np.zeros(self.dim, np.float32)
        return np.array([self.rows.get(x, zeros) for x in ids], np.float32).reshape(-1, self.dim)


OPS = st.lists(
    st.tuples(
        st.sampled_from(["assign", "assign_add", "erase"]),
        st.lists(st.one_of(st.integers(-3, 12), st.sampled_from([2**63 - 1, -(2**63)])), max_size=12),
        st.integers(0, 2**16),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(
    ops=OPS, skips=st.booleans(), segments=st.sampled_from([[(4, Fp32())], [(3, FixedR8(4.0)), (1, "fp16")]])
)
def test_a_mutable_table_is_a_dict(
    ops: list[tuple[str, list[int], int]],
    skips: bool,
    segments: list[tuple[int, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("model")
    ids, rows = np.arange(5), some_rows(5, 4)
    export_rows(folder / "t", segments, ids, rows, skip_zero_embedding=skips)
    table, model = load_serving(folder / "t", mutable=True), Model(segments, skips)
    for id_, row in zip(ids.tolist(), rows, strict=True):
        model.put(id_, row)
    for name, some, seed in ops:
        values = np.random.default_rng(seed).integers(-1, 2, (len(some), 4)).astype(np.float32) / 2
        if name == "erase":
            had = table.erase(some).tolist()
            assert had == [x in model.rows for x in some]  # of repeated ids too
            model.rows = {x: row for x, row in model.rows.items() if x not in some}
            continue
        getattr(table, name)(some, values)
        for id_, value in zip(some, values, strict=True):
            model.put(id_, value + (model.lookup([id_])[0] if name == "assign_add" else 0))
        _same(table, model)
    _same(table, model)
    table.export(folder / "again", meta={"n": 1})
    again = load_serving(folder / "again", verify="full")
    _same(again, model)
    assert again.sizes.rows == len(model.rows) and again.meta["n"] == 1
    shutil.rmtree(folder)


def _same(table: ServingTable, model: Model) -> None:
    every = [*range(-3, 13), 2**63 - 1, -(2**63)]
    assert sorted(table) == sorted(model.rows) and len(table) == len(model.rows)
    assert np.array_equal(table.lookup(every), model.lookup(every))


def test_lookups_during_assignments_see_whole_rows(tmp_path: Path) -> None:
    table, ids, _ = exported(tmp_path, [(64, "fp16")], 100, mutable=True)
    assert table.erase(ids).all()
    stop = threading.Event()
    torn: list[Array] = []

    def look() -> None:
        while not stop.is_set():
            rows = table.lookup(np.arange(2000))
            torn.extend(row for row in rows if row.min() != row.max())

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for k in range(1, 30):
        table.assign(np.arange(50 * k), np.full((50 * k, 64), k, np.float32))
    stop.set()
    for thread in threads:
        thread.join()
    assert not torn and len(table) == 29 * 50

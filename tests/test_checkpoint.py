"""What is saved is what is loaded; and safetensors' own reader opens the files."""

from __future__ import annotations

import json
import math
import os
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from state_trees import BAD, PLAIN, arrays, same

import symopt as so
from symopt.checkpoint import dtypes, info, writer
from symopt.checkpoint.checksum import crc32c
from symopt.errors import DTypeError, RowIndexError
from symopt.sparse import RowSparseArray


@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_comes_back(name: str, tmp_path: Path) -> None:
    so.save(tmp_path / "saved", PLAIN[name])
    same(PLAIN[name], so.load(tmp_path / "saved"))


@pytest.mark.parametrize("shard_bytes", [1, 100, 1 << 30])
def test_arrays_come_back(shard_bytes: int, tmp_path: Path) -> None:
    tree = arrays()
    so.save(tmp_path / "saved", tree, shard_bytes=shard_bytes)
    for verify in ("full", "sizes"):
        same(tree, so.load(tmp_path / "saved", verify=verify))


def test_arrays_larger_than_a_chunk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tree = {
        "w": rng.random(1_500_000, np.float32),
        "v": rng.random((1000, 700)),
        "b": rng.random(7, np.float32),
    }
    so.save(tmp_path / "saved", tree, shard_bytes=8_000_000)
    same(tree, so.load(tmp_path / "saved"))
    entries = info(tmp_path / "saved")
    assert len(entries.files) == 2 and entries.tensors["w"] == ("float32", (1_500_000,))
    first, *others = str(entries).splitlines()
    assert first.startswith("3 tensors, ") and " bytes in 2 files, " in first
    assert sorted(others)[2] == "  w  float32    (1500000,)"


def test_what_info_prints_is_short(tmp_path: Path) -> None:
    so.save(tmp_path / "saved", [np.zeros(1)] * 1 + [np.zeros(k) for k in range(60)])
    assert str(info(tmp_path / "saved")).splitlines()[-1] == "  and 21 more"
    so.save(tmp_path / "empty", {})
    assert str(info(tmp_path / "empty")).startswith("0 tensors, ")


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_come_back_is_refused(name: str, tmp_path: Path) -> None:
    tree, words = BAD[name]
    with pytest.raises(so.SymoptError, match=words):
        so.save(tmp_path / "saved", {"a": {"b": tree}})
    assert os.listdir(tmp_path) == []


def test_what_contains_itself_is_refused(tmp_path: Path) -> None:
    tree: list[Any] = [1]
    tree.append({"again": tree})
    with pytest.raises(so.SymoptError, match="'1/again' contains itself"):
        so.save(tmp_path / "saved", tree)


def test_rows_that_are_not_there_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = RowSparseArray(np.ones((1, 2)), np.array([7]), (3, 2))
    with pytest.raises(RowIndexError):
        so.save(tmp_path / "saved", {"g": rows})
    assert os.listdir(tmp_path) == []


def test_an_array_that_occurs_twice_is_stored_once(tmp_path: Path) -> None:
    w = np.arange(1000.0)
    so.save(tmp_path / "saved", {"w": w, "tied": w, "view": w[:], "half": w[:500]})
    assert set(info(tmp_path / "saved").tensors) == {"w", "half"}
    tree = so.load(tmp_path / "saved", mutable=True)
    assert tree["w"] is tree["tied"] is tree["view"]
    tree["w"][0] = 7.0
    assert tree["tied"][0] == 7.0 and tree["half"][0] == 0.0


def test_arrays_are_mapped_read_only_or_copied_where_written(tmp_path: Path) -> None:
    so.save(tmp_path / "saved", {"w": np.ones(5)})
    tree = so.load(tmp_path / "saved")
    assert not tree["w"].flags.writeable and not tree["w"].flags.owndata
    own = so.load(tmp_path / "saved", mutable=True)
    own["w"][:] = 3.0
    assert so.load(tmp_path / "saved")["w"].tolist() == [1.0] * 5


def test_tensors_lie_at_multiples_of_their_items(tmp_path: Path) -> None:
    so.save(tmp_path / "saved", arrays())
    (path,) = (tmp_path / "saved").glob("*.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert (8 + length) % 64 == 0
    sizes = {
        "F64": 8,
        "I64": 8,
        "U64": 8,
        "F32": 4,
        "I32": 4,
        "U32": 4,
        "F16": 2,
        "BF16": 2,
        "I16": 2,
        "U16": 2,
    }
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % sizes.get(entry["dtype"], 1) == 0, name


def test_safetensors_opens_the_files(tmp_path: Path) -> None:
    numpy_reader = pytest.importorskip("safetensors.numpy")
    tree = {k: v for k, v in arrays().items() if not isinstance(v, RowSparseArray)}
    del tree["odd/näme\ud800"]  # whose name is no UTF-8, so the file has another
    tree = {k: v for k, v in tree.items() if not v.dtype.name.startswith("float8")}
    so.save(tmp_path / "saved", tree)
    (path,) = (tmp_path / "saved").glob("*.safetensors")
    found = numpy_reader.load_file(path)
    assert set(found) == set(tree)
    for name, array in tree.items():
        expected = np.ascontiguousarray(array)
        if expected.dtype.kind == "c":  # pairs, since not every reader knows complex numbers
            expected = expected.view(expected.real.dtype).reshape(*array.shape, 2)
        assert found[name].shape == (*array.shape, *(2,) * (array.dtype.kind == "c"))
        assert found[name].tobytes() == expected.astype(expected.dtype.newbyteorder("<")).tobytes()


def test_bits_of_numbers_that_are_not_finite(tmp_path: Path) -> None:
    (odd,) = struct.unpack(">d", bytes.fromhex("fff8000000001234"))
    so.save(tmp_path / "saved", [odd, math.inf, -0.0])
    found = so.load(tmp_path / "saved")
    assert [struct.pack(">d", x).hex() for x in found] == [
        "fff8000000001234",
        "7ff0000000000000",
        "8000000000000000",
    ]


def test_objects_give_their_state(tmp_path: Path) -> None:
    class Counter:
        def state_dict(self) -> dict[str, Any]:
            return OrderedDict(count=3, w=np.ones(2))

    so.save(tmp_path / "saved", {"counter": Counter()})
    same({"counter": {"count": 3, "w": np.ones(2)}}, so.load(tmp_path / "saved"))


def test_meta_is_read_without_the_arrays(tmp_path: Path) -> None:
    so.save(tmp_path / "saved", {"w": np.ones(2)}, meta={"epoch": 3, "loss": math.nan})
    meta = info(tmp_path / "saved").meta
    assert meta["epoch"] == 3 and math.isnan(meta["loss"])
    with pytest.raises(DTypeError, match="'meta/w' is an array"):
        so.save(tmp_path / "other", {}, meta={"w": np.ones(2)})


def test_what_is_saved_is_what_is_checked_though_an_array_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of both is in the file, it has the checksum of that."""
    w = np.zeros(3_000_000, np.float32)

    def changing(data: memoryview, start: int = 0) -> int:
        w[:] += 1
        return crc32c(data, start)

    monkeypatch.setattr(writer, "crc32c", changing)
    so.save(tmp_path / "saved", {"w": w})
    assert len(set(so.load(tmp_path / "saved")["w"].tolist())) > 1


def test_every_dtype_has_a_size() -> None:
    for name in dtypes.NAMES:
        assert dtypes.name_of(dtypes.numpy_dtype(name), "it") == name
    assert dtypes.numpy_dtype("bfloat16") == ml_dtypes.bfloat16


def test_progress_counts_every_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int]] = []
    tree = {"w": np.ones(1_000_000), "b": np.ones(3)}
    so.save(tmp_path / "saved", tree, progress=lambda done, total: told.append((done, total)))
    so.load(tmp_path / "saved", progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told].count(8_000_024) == 2 and {total for _, total in told} == {8_000_024}
    so.save(tmp_path / "quick", tree, progress=True)
    assert capsys.readouterr().err == ""


def test_progress_is_printed_when_it_takes_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from symopt.checkpoint import progress

    monkeypatch.setattr(progress, "_QUIET", 0.0)
    so.save(tmp_path / "saved", {"w": np.ones(1_000_000)}, progress=True)
    assert capsys.readouterr().err.splitlines()[-1] == f"saving {tmp_path / 'saved'}: 8 of 8 MB"

"""MXNet's .params files: as MXNet writes them, of old versions, damaged in every way, and written here."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import NAMES, Folder, folder_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from told_files import differences, read, write

import symopt as so
from symopt.dtypes import to_numpy
from symopt.errors import (
    ArrayError,
    DTypeError,
    FormatError,
    RowIndexError,
    StorageError,
    UnknownArgumentError,
)
from symopt.mxnetfiles import params
from symopt.mxnetfiles.ndarrays import CODES, V1, V2, V3
from symopt.mxnetfiles.source import Source
from symopt.places import Place, from_host

PARAMS = [case for case in NAMES if case[1].endswith(".params")]
HEAD = struct.pack("<3Q", 0x112, 0, 1)
UNNAMED = struct.pack("<Q", 0)
CPU = struct.pack("<2i", 1, 0)


@pytest.mark.parametrize("case", PARAMS, ids="-".join)
def test_files_of_mxnet_are_read_and_written_to_the_bit(case: tuple[str, str], tmp_path: Path) -> None:
    folder: Folder = folder_of(case[0])
    path = tmp_path / case[1]
    path.write_bytes(folder.files[case[1]])
    value = read(path)
    assert list(differences(value, folder.told[case[1]], folder.arrays, case[1])) == []
    write(path, value, np_shape=True if case[0] == "mxnet2" else None)
    assert path.read_bytes() == folder.files[case[1]]


def test_arrays_have_memory_of_their_own() -> None:
    content = folder_of("mxnet1").files["dtypes.params"]
    one, other = so.nd.load_frombuffer(content), so.nd.load(content)
    assert isinstance(one, dict) and isinstance(other, dict)
    for name, array in one.items():
        assert array.flags.carray
        array[...] = 0
        assert other[name].any()


def test_a_pipe_is_read(tmp_path: Path) -> None:
    """It does not say how long it is."""
    os.mkfifo(tmp_path / "pipe")
    content = folder_of("mxnet1").files["one.params"]
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    (array,) = so.nd.load(tmp_path / "pipe")
    writer.join()
    assert np.asarray(array).tobytes() in content


def test_a_file_that_shrinks_while_it_is_read() -> None:
    content = folder_of("mxnet1").files["list.params"]
    for length in range(0, len(content), 7):
        with pytest.raises(FormatError, match="came"):
            params._read(Source(io.BytesIO(content[:length]), len(content)))


# ---- versions


def shape32(*sizes: int) -> bytes:
    return struct.pack(f"<I{len(sizes)}I", len(sizes), *sizes)


def shape64(*sizes: int) -> bytes:
    return struct.pack(f"<i{len(sizes)}q", len(sizes), *sizes)


def file_of(*arrays: bytes, names: bytes = UNNAMED) -> bytes:
    return struct.pack("<3Q", 0x112, 0, len(arrays)) + b"".join(arrays) + names


def dense(version: int, shape: bytes, code: int = 0, data: bytes = b"", device: bytes = CPU) -> bytes:
    return struct.pack("<Ii", version, 0) + shape + device + struct.pack("<i", code) + data


def sparse(
    shape: bytes, rows: bytes, index_shape: bytes, data: bytes, code: int = 0, index_code: int = 6
) -> bytes:
    types = struct.pack("<2i", code, index_code)
    return struct.pack("<Ii", V2, 1) + rows + shape + CPU + types + index_shape + data


TWO = struct.pack("<2f", 1.5, -2)
VERSIONS = {
    "before versions": shape32(1, 2) + CPU + struct.pack("<i", 0) + TWO,
    "V1": struct.pack("<I", V1) + shape64(1, 2) + CPU + struct.pack("<i", 0) + TWO,
    "V2": dense(V2, shape64(1, 2), 0, TWO),
    "V3": dense(V3, shape64(1, 2), 0, TWO),
    "of a GPU": dense(V2, shape64(1, 2), 0, TWO, device=struct.pack("<2i", 2, 3)),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_versions(version: str) -> None:
    (array,) = so.nd.load_frombuffer(file_of(VERSIONS[version]))
    np.testing.assert_array_equal(array, np.array([[1.5, -2]], "float32"), strict=True)


NOTHING = {
    "before versions": shape32(),
    "V1": struct.pack("<I", V1) + shape64(),
    "V2": struct.pack("<Ii", V2, 0) + shape64(),
    "V2, unknown": struct.pack("<Iii", V2, 0, -1),
    "V3": struct.pack("<Iii", V3, 0, -1),
    "V3, unknown size": struct.pack("<Ii", V3, 0) + shape64(2, -1),
}


@pytest.mark.parametrize("version", NOTHING)
def test_arrays_that_hold_nothing_are_none(version: str) -> None:
    assert so.nd.load_frombuffer(file_of(NOTHING[version])) == [None]


@pytest.mark.parametrize("dtype", CODES)
def test_every_dtype_goes_there_and_back(dtype: str, tmp_path: Path) -> None:
    array = np.arange(6).reshape(2, 3).astype(to_numpy(dtype))
    so.nd.save(tmp_path / "x", {"a": array, "t": array.T})
    found = so.nd.load(tmp_path / "x")
    assert isinstance(found, dict)
    for name, there in {"a": array, "t": array.T}.items():
        assert found[name].dtype == there.dtype and found[name].shape == there.shape
        assert found[name].tobytes() == there.tobytes()


# ---- what is refused

ROWS = struct.pack("<2f2q", 1, 2, 0, 3)
REFUSED = {
    "nothing": (b"", 0, "no .params"),
    "text": (b"hello, this is no file of arrays", 0, "0x112"),
    "npz": (b"PK\x03\x04" + bytes(30), 0, "numpy.load"),
    "npy": (b"\x93NUMPY" + bytes(30), 0, "numpy.load"),
    "no count": (HEAD[:20], 16, "ends after 4"),
    "arrays beyond the end": (struct.pack("<3Q", 0x112, 0, 2**63), 16, "9223372036854775808 arrays"),
    "names beyond the end": (file_of(names=struct.pack("<Q", 2**62)), 24, "4611686018427387904 names"),
    "an unknown version": (file_of(struct.pack("<I", 0xF993FACB)), 24, "0xf993facb"),
    "csr": (file_of(struct.pack("<Ii", V2, 2) + bytes(80)), 24, "csr"),
    "an unknown storage": (file_of(struct.pack("<Ii", V2, -1) + bytes(80)), 24, "storage type -1"),
    "many dimensions": (file_of(struct.pack("<Iii", V2, 0, 65) + bytes(600)), 32, "65 dimensions"),
    "fewer than none": (file_of(struct.pack("<Iii", V2, 0, -2) + bytes(600)), 32, "-2 dimensions"),
    "a negative size": (file_of(dense(V2, shape64(2, -1))), 32, "(2, -1)"),
    "a size beyond the end": (file_of(dense(V2, shape64(2**40))), 56, "4398046511104 bytes"),
    "a size beyond memory": (file_of(dense(V2, shape64(2**40, 2**40))), 64, "no memory"),
    "an empty size beyond memory": (file_of(dense(V3, shape64(0, 2**40, 2**40))), 72, "no memory"),
    "an unknown dtype": (file_of(dense(V2, shape64(1), 13, bytes(4))), 52, "dtype of an array is 13"),
    "an unknown device": (file_of(dense(V2, shape64(1), 0, TWO, device=struct.pack("<2i", 9, 0))), 44, "device 9"),
    "a bool of 2": (file_of(dense(V2, shape64(2), 7, b"\1\2")), 56, "bool is 2"),
    "elements cut": (file_of(dense(V2, shape64(2), 0, TWO), names=b"")[:-3], 56, "takes 8 bytes"),
    "rows of another shape": (file_of(sparse(shape64(4, 2), shape64(2, 3), shape64(2), ROWS)), 72, "stores rows"),
    "rows without indices": (file_of(sparse(shape64(4, 1), shape64(2, 1), shape64(1), ROWS)), 72, "stores rows"),
    "a row that is not there": (file_of(sparse(shape64(3, 1), shape64(2, 1), shape64(2), ROWS)), 108, "rows 0 to 3"),
    "rows of integers": (file_of(sparse(shape64(4, 1), shape64(2, 1), shape64(2), ROWS, code=4)), 72, "int32"),
    "indices of numbers": (file_of(sparse(shape64(4, 1), shape64(2, 1), shape64(2), ROWS, index_code=0)), 72, "float"),
    "bytes behind the end": (file_of(VERSIONS["V2"]) + b"!", 80, "goes on for 1 bytes"),
    "fewer names": (file_of(*2 * [VERSIONS["V2"]], names=struct.pack("<2Q", 1, 0)), 120, "2 arrays and 1 names"),
    "a name twice": (file_of(VERSIONS["V2"], VERSIONS["V2"], names=struct.pack("<3Q", 2, 0, 0)), 120, "two arrays"),
    "a name beyond the end": (file_of(VERSIONS["V2"], names=struct.pack("<2Q", 1, 2**40)), 88, "a name takes"),
    "a name that is no text": (file_of(VERSIONS["V2"], names=struct.pack("<2Q", 1, 1) + b"\xff"), 80, "UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_named_with_its_byte(case: str, tmp_path: Path) -> None:
    content, at, reason = REFUSED[case]
    path = tmp_path / "x.params"
    path.write_bytes(content)
    with pytest.raises(FormatError) as raised:
        so.nd.load(path)
    assert f"{path}: at byte {at}: " in str(raised.value) and reason in str(raised.value)


def check_outcome(content: bytes) -> None:
    """Arrays or a FormatError, and memory in proportion to the file."""
    tracemalloc.start()
    try:
        so.nd.load_frombuffer(content)
    except FormatError as error:
        assert len(str(error)) < 3000
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200_000 + 100 * len(content)


@pytest.mark.parametrize("name", ["dtypes.params", "row_sparse.params", "np_shape.params", "names.params"])
def test_cut_short_anywhere(name: str) -> None:
    content = folder_of("mxnet1").files[name]
    for length in range(len(content)):
        with pytest.raises(FormatError):
            so.nd.load_frombuffer(content[:length])


@pytest.mark.parametrize("name", ["list.params", "row_sparse.params", "np_shape.params"])
def test_any_bit_flipped(name: str) -> None:
    content = folder_of("mxnet1").files[name]
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        check_outcome(bytes(flipped))


WORDS = st.sampled_from([0, 1, 2, 3, 2**31 - 1, 2**31, 2**32 - 1, V1, V2, V3, 0x112])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS.map(lambda word: struct.pack("<I", word)) | st.binary(max_size=9), max_size=40))
@example([])
def test_any_content(parts: list[bytes]) -> None:
    check_outcome(HEAD + b"".join(parts))


# ---- what is written


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"w": np.ones(2), "z": np.ones(2, "complex64")}, DTypeError, "array 'z' has dtype complex64"),
        ({3: np.ones(2)}, UnknownArgumentError, "must be strings, got 3"),
        ({"a\0b": np.ones(2)}, ArrayError, "zero byte"),
        ({"\ud800": np.ones(2)}, ArrayError, "UTF-8"),
        ([np.ones(2), None], DTypeError, "array 1 must be an array"),
        ([np.ones(2), 3.0], DTypeError, "array 1 must be an array"),
        ("w", DTypeError, "the array must be an array"),
        ([np.array(1.0), so.sparse.zeros((2, 2))], StorageError, "array 1 is row_sparse"),
        ([so.sparse.RowSparseArray(np.ones((1, 2)), np.array([9]), (4, 2))], RowIndexError, "array 0"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(
    data: Any, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.params"
    so.nd.save(path, [np.ones(1)])
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        so.nd.save(path, data)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_shapes_decide_the_version(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for array, np_shape, version in (
        (np.ones(1), None, V2), (np.ones(1), False, V2), (np.ones(1), True, V3), (np.ones(()), None, V3),
        (np.ones((0, 2)), None, V3), (so.sparse.zeros((4, 2)), None, V2),
    ):  # fmt: skip
        so.nd.save(path, array, np_shape=np_shape)
        assert struct.unpack("<I", path.read_bytes()[24:28]) == (version,)
    with pytest.raises(ArrayError, match="the array has no dimensions"):
        so.nd.save(path, np.ones(()), np_shape=False)
    with pytest.raises(StorageError, match="todense"):
        so.nd.save(path, so.sparse.zeros((4, 2)), np_shape=True)


@pytest.mark.parametrize("promised", [False, True])
def test_rows_are_written_ascending_and_once(promised: bool, tmp_path: Path) -> None:
    rows = so.sparse.RowSparseArray(np.array([[1.0], [2.0], [4.0]]), np.array([3, 0, 3]), (5, 1), promised)
    so.nd.save(tmp_path / "x", {"g": rows})
    found: Any = so.nd.load(tmp_path / "x")
    assert found["g"].indices.tolist() == [0, 3] and found["g"].data.tolist() == [[2.0], [5.0]]
    assert found["g"].canonical


def test_rows_in_any_order_are_read_as_they_are() -> None:
    found: Any
    rows = sparse(shape64(4, 1), shape64(2, 1), shape64(2), struct.pack("<2f2q", 1, 2, 3, 0))
    (found,) = so.nd.load_frombuffer(file_of(rows))
    assert found.indices.tolist() == [3, 0] and not found.canonical


def test_arrays_of_a_gpu_are_written(gpu: Place, tmp_path: Path) -> None:
    array = np.arange(6, dtype="float16").reshape(2, 3)
    rows = so.sparse.RowSparseArray(array, np.array([3, 1]), (4, 3))
    so.nd.save(tmp_path / "x", {"w": from_host(gpu, array), "g": rows.copy_to(gpu)})
    found: Any = so.nd.load(tmp_path / "x")
    assert found["w"].tobytes() == array.tobytes()
    assert found["g"].indices.tolist() == [1, 3] and found["g"].data.tobytes() == array[::-1].tobytes()

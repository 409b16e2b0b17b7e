"""Checkpoints whose checksums are right, made by somebody who means harm: refused, with the file and the reason."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.checkpoint import info
from symopt.checkpoint.checksum import crc32c
from symopt.errors import DamagedError, FormatError
from symopt.sparse import RowSparseArray

FILE = "state-00001-of-00001.safetensors"
MANIFEST = "MANIFEST.json"
Entries = dict[str, Any]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    rows = RowSparseArray(np.ones((2, 3), np.float32), np.array([1, 2]), (5, 3))
    tree = {
        "w": np.arange(6.0).reshape(2, 3),
        "b": np.ones(3, np.float32),
        "g": rows,
        "n": np.float32(1),
        "k": b"k",
    }
    so.save(tmp_path / "saved", tree)
    return tmp_path / "saved"


def entries_of(saved: Path) -> Entries:
    found: Entries = json.loads((saved / MANIFEST).read_bytes()[:-9])
    return found


def write_manifest(saved: Path, body: bytes) -> None:
    (saved / MANIFEST).write_bytes(body + b"%08x\n" % crc32c(body))


def edit(saved: Path, change: Callable[[Entries], object]) -> None:
    """Change the manifest, and give it the checksum of what it then is."""
    entries = entries_of(saved)
    change(entries)
    write_manifest(saved, json.dumps(entries).encode() + b"\n")


def edit_header(saved: Path, change: Callable[[Entries], object]) -> None:
    """Change the header of the tensors, and every checksum and size that depends on it."""
    content = (saved / FILE).read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:length])
    change(header)
    write_tensors(saved, json.dumps(header).encode(), content[length:])


def write_tensors(saved: Path, header: bytes, data: bytes) -> None:
    start = len(header).to_bytes(8, "little") + header
    (saved / FILE).write_bytes(start + data)

    def agree(entries: Entries) -> None:
        sums = {"checksum": f"{crc32c(start + data):08x}", "header_checksum": f"{crc32c(start):08x}"}
        entries["files"][0] |= {"size": len(start + data), **sums}

    edit(saved, agree)


MANIFEST_EDITS: dict[str, tuple[Callable[[Entries], object], str]] = {
    "newer-version": (lambda e: e.update(version=2, symopt="9.1"), "version 2.*symopt 9.1.*upgrade"),
    "version-text": (lambda e: e.update(version="1"), "version is no number"),
    "version-true": (lambda e: e.update(version=True), "version is no number"),
    "version-zero": (lambda e: e.update(version=0), "version is no number"),
    "other-format": (lambda e: e.update(format="pickle"), "format"),
    "other-checksum": (lambda e: e.update(checksum="md5"), "'md5'"),
    "dtype": (lambda e: e["tensors"]["w"].update(dtype="object"), "dtype 'object'"),
    "dtype-list": (lambda e: e["tensors"]["w"].update(dtype=["float32"]), "dtype"),
    "shape-negative": (lambda e: e["tensors"]["w"].update(shape=[-2, -3]), "impossible shape"),
    "shape-huge": (lambda e: e["tensors"]["w"].update(shape=[2**40, 2**40]), "impossible shape"),
    "shape-huge-and-zero": (lambda e: e["tensors"]["w"].update(shape=[0, 2**62, 2**62]), "impossible shape"),
    "shape-float": (lambda e: e["tensors"]["w"].update(shape=[2.0, 3]), "impossible shape"),
    "shape-true": (lambda e: e["tensors"]["w"].update(shape=[True, 6]), "impossible shape"),
    "shape-long": (lambda e: e["tensors"]["w"].update(shape=[1] * 65), "impossible shape"),
    "shape-other": (lambda e: e["tensors"]["w"].update(shape=[3, 2]), "differ in dtype or shape"),
    "dtype-other": (lambda e: e["tensors"]["w"].update(dtype="int64"), "differ in dtype or shape"),
    "checksum-short": (lambda e: e["tensors"]["w"].update(checksum="12"), "hexadecimal"),
    "checksum-sign": (lambda e: e["tensors"]["w"].update(checksum="-1234567"), "hexadecimal"),
    "checksum-wrong": (lambda e: e["tensors"]["w"].update(checksum="00000000"), "the bytes of 'w'"),
    "checksum-of-file": (lambda e: e["files"][0].update(checksum="00000000"), "checksum of the file"),
    "checksum-number": (lambda e: e["tensors"]["w"].update(checksum=12345678), "a int where a string"),
    "size-text": (lambda e: e["files"][0].update(size="12"), "no number of bytes"),
    "size-other": (lambda e: e["files"][0].update(size=5), "the manifest says 5"),
    "file-outside": (lambda e: e["files"][0].update(name=f"../{FILE}"), "no name for a file"),
    "file-absolute": (lambda e: e["files"][0].update(name=f"/tmp/{FILE}"), "no name for a file"),
    "file-hidden": (lambda e: e["files"][0].update(name=".hidden.safetensors"), "no name for a file"),
    "file-with-newline": (lambda e: e["files"][0].update(name=f"{FILE}\n"), "no name for a file"),
    "file-with-null": (lambda e: e["files"][0].update(name="a\0.safetensors"), "no name for a file"),
    "file-missing": (
        lambda e: e["files"].append({**e["files"][0], "name": "b.safetensors"}),
        "'b.safetensors' is missing",
    ),
    "file-twice": (lambda e: e["files"].append(e["files"][0]), "named twice"),
    "no-files": (lambda e: e.update(files=[], tensors={}), "is no part of"),
    "file-not-listed": (lambda e: e["tensors"]["w"].update(file="b.safetensors"), "not listed"),
    "tensor-more": (lambda e: e["tensors"].update(x=e["tensors"]["w"]), "'x', which only one"),
    "tensor-less": (lambda e: e["tensors"].pop("w"), "'w', which only one"),
    "tensors-list": (lambda e: e.update(tensors=[]), "malformed"),
    "files-number": (lambda e: e.update(files=5), "malformed"),
    "no-tree": (lambda e: e.pop("tree"), "malformed"),
    "meta-of-another-kind": (lambda e: e.update(meta=5), "meta is no dict"),
    "tensor-not-used": (lambda e: e.update(tree=None), "nothing in the tree"),
    "tree-deep": (lambda e: e.update(tree=_deep(900)), "nested too deeply|not the JSON"),
}
TREES: dict[str, Any] = {
    "unknown-kind": {"class": "os.system"},
    "two-kinds": {"int": "0x1", "float": "00"},
    "no-kind": {},
    "int": {"int": 5},
    "int-text": {"int": "five"},
    "float-short": {"float": "7ff8"},
    "complex-short": {"complex": [1.0]},
    "complex-text": {"complex": ["1", "2"]},
    "bytes": {"bytes": "no base 64!"},
    "tuple-of-an-object": {"tuple": {"a": 1}},
    "tuple-of-text": {"tuple": "abc"},
    "dict-list": {"dict": [1, 2]},
    "items-of-three": {"items": [[1, 2, 3]]},
    "items-key-list": {"items": [[[], 2]]},
    "items-key-twice": {"items": [[1, 2], [1.0, 3]]},
    "items-object": {"items": {"ab": 1}},
    "scalar-dtype": {"scalar": ["object", "00"]},
    "scalar-long": {"scalar": ["float32", "00" * 8]},
    "scalar-short": {"scalar": ["float32", "00"]},
    "array-missing": {"array": "nothing"},
    "array-list": {"array": ["w"]},
    "rows-parts": {"row_sparse": {"data": "g/data"}},
    "rows-shape": {
        "row_sparse": {"data": "g/data", "indices": "g/indices", "shape": [5, 4], "canonical": True}
    },
    "rows-range": {
        "row_sparse": {"data": "g/data", "indices": "g/indices", "shape": [2, 3], "canonical": True}
    },
    "rows-huge": {
        "row_sparse": {"data": "g/data", "indices": "g/indices", "shape": [2**62, 3], "canonical": True}
    },
    "rows-negative": {
        "row_sparse": {"data": "g/data", "indices": "g/indices", "shape": [-5, 3], "canonical": True}
    },
    "rows-indices": {"row_sparse": {"data": "g/data", "indices": "w", "shape": [5, 3], "canonical": True}},
    "rows-promise": {
        "row_sparse": {"data": "g/data", "indices": "g/indices", "shape": [5, 3], "canonical": 1}
    },
}
HEADER_EDITS: dict[str, tuple[Callable[[Entries], object], str]] = {
    "overlap": (lambda h: h["b"].update(data_offsets=_shifted(h["w"], 12)), "no tensor, or to two"),
    "beyond": (lambda h: h["b"].update(data_offsets=[10**9, 10**9 + 12]), "no tensor, or to two"),
    "negative": (lambda h: h["b"].update(data_offsets=[-12, 0]), "no tensor, or to two"),
    "backwards": (lambda h: h["b"].update(data_offsets=h["b"]["data_offsets"][::-1]), "another number of bytes"),
    "float": (lambda h: h["b"].update(data_offsets=[0.0, 12.0]), "no offsets"),
    "three": (lambda h: h["b"].update(data_offsets=[0, 12, 24]), "no offsets"),
    "none": (lambda h: h["b"].pop("data_offsets"), "no offsets"),
    "entry-list": (lambda h: h.update(b=[]), "no offsets"),
    "more": (lambda h: h.update(x=h["b"]), "'x', which only one"),
    "less": (lambda h: h.pop("b"), "'b', which only one"),
    "shape": (lambda h: h["b"].update(shape=[1, 3]), "differ in dtype or shape"),
    "dtype": (lambda h: h["b"].update(dtype="I32"), "differ in dtype or shape"),
}  # fmt: skip


def _shifted(entry: Entries, size: int) -> list[int]:
    """Offsets of so many bytes that begin where the entry's do."""
    begin = entry["data_offsets"][0]
    return [begin, begin + size]


def _deep(depth: int) -> Any:
    return [_deep(depth - 1)] if depth else 0


def refused(saved: Path, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        so.load(saved)
    assert str(saved) in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", MANIFEST_EDITS)
def test_a_manifest_that_lies(name: str, saved: Path) -> None:
    change, words = MANIFEST_EDITS[name]
    edit(saved, change)
    if "meta" in name:
        with pytest.raises(FormatError, match=words):
            info(saved)
    else:
        refused(saved, words)


@pytest.mark.parametrize("name", TREES)
def test_a_tree_that_is_none(name: str, saved: Path) -> None:
    edit(saved, lambda e: e["tree"]["dict"].update(x=TREES[name]))
    refused(saved, "the tree has")


@pytest.mark.parametrize("name", HEADER_EDITS)
def test_a_header_that_lies(name: str, saved: Path) -> None:
    change, words = HEADER_EDITS[name]
    edit_header(saved, change)
    refused(saved, words)


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 8, b"\xff" * 8, (1 << 62).to_bytes(8, "little") + b"{}"], ids=repr
)
def test_a_file_that_has_no_header(data: bytes, saved: Path) -> None:
    (saved / FILE).write_bytes(data)
    edit(saved, lambda e: e["files"][0].update(size=len(data), header_checksum=f"{crc32c(data[:8]):08x}"))
    refused(saved, "header")


TEXTS = {
    "key-twice": b'{"format": "symopt checkpoint", "version": 1, "version": 1}',
    "nan": b'{"format": "symopt checkpoint", "version": NaN}',
    "too-large": b'{"format": "symopt checkpoint", "version": 1e999}',
    "long-integer": b'{"format": "symopt checkpoint", "version": ' + b"1" * 10_000 + b"}",
    "no-utf8": b'{"format": "\xff"}',
    "no-object": b"[1]",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "cut": b'{"format": ',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_manifest_that_is_not_json(name: str, saved: Path) -> None:
    write_manifest(saved, TEXTS[name])
    refused(saved, MANIFEST)


def test_links_and_pipes_are_no_files(saved: Path, tmp_path: Path) -> None:
    for name in (FILE, MANIFEST):
        os.rename(saved / name, tmp_path / name)
        os.symlink(tmp_path / name, saved / name)
        refused(saved, f"{name}: it is no file")
        os.unlink(saved / name)
        os.mkfifo(saved / name)
        refused(saved, f"{name}: it is no file")
        os.unlink(saved / name)
        os.mkdir(saved / name)
        refused(saved, f"{name}: it is no file")
        os.rmdir(saved / name)
        refused(saved, "is missing")
        os.rename(tmp_path / name, saved / name)


def test_what_is_no_part_is_refused_unless_it_is_hidden(saved: Path) -> None:
    (saved / ".nfs0001").write_bytes(b"")
    so.load(saved)
    (saved / "extra.safetensors").write_bytes(b"")
    refused(saved, "'extra.safetensors' is no part")


def test_a_manifest_without_end_is_not_read(saved: Path) -> None:
    with open(saved / MANIFEST, "r+b") as file:
        file.truncate(1 << 42)  # takes no room
    tracemalloc.start()
    try:
        refused(saved, "more than any manifest")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        so.load(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DamagedError, match="is a folder, and this is none"):
        so.load(tmp_path / "file")

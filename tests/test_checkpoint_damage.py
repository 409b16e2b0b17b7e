"""Damage to the files of a checkpoint: whatever it is, loading says so."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fault_counts import Faults

import symopt as so
from symopt.checkpoint import reader
from symopt.errors import DamagedError

Files = dict[str, bytes]
Damage = Callable[[Files, random.Random], tuple[str, bytes]]
MANIFEST = "MANIFEST.json"
PAGE = 4096


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "saved"
    rng = np.random.default_rng(0)
    tree = {
        "w": rng.random((300, 8), np.float32),
        "m": np.zeros((300, 8), np.float32),
        "v": rng.random(3000),
        "step": 7,
    }
    so.save(folder, tree, shard_bytes=20_000)
    assert len(os.listdir(folder)) == 3
    return folder


def _flip(files: Files, rng: random.Random) -> tuple[str, bytes]:
    name = rng.choice([*files, MANIFEST])
    content = bytearray(files[name])
    content[_position(name, content, rng)] ^= 1 << rng.randrange(8)
    return name, bytes(content)


def _position(name: str, content: bytearray, rng: random.Random) -> int:
    """Anywhere, and in the header of tensors more often than its size would have it."""
    is_header = name != MANIFEST and rng.random() < 1 / 3
    return rng.randrange(8 + int.from_bytes(content[:8], "little") if is_header else len(content))


def _cut(files: Files, rng: random.Random) -> tuple[str, bytes]:
    name = rng.choice(list(files))
    return name, files[name][: rng.randrange(len(files[name]))]


def _lengthened(files: Files, rng: random.Random) -> tuple[str, bytes]:
    name = rng.choice(list(files))
    return name, files[name] + rng.randbytes(rng.randrange(1, 100))


def _page(files: Files, rng: random.Random, replacement: Callable[[bytes, int], bytes]) -> tuple[str, bytes]:
    name = rng.choice([name for name in files if name != MANIFEST])
    content = bytearray(files[name])
    begin = PAGE * rng.randrange(1, len(content) // PAGE)
    content[begin : begin + PAGE] = replacement(files[name], begin)
    return name, bytes(content)


def _zeroed(files: Files, rng: random.Random) -> tuple[str, bytes]:
    return _page(files, rng, lambda content, begin: bytes(PAGE))


def _repeated(files: Files, rng: random.Random) -> tuple[str, bytes]:
    return _page(files, rng, lambda content, begin: content[begin - PAGE : begin])


def _of_another(files: Files, rng: random.Random) -> tuple[str, bytes]:
    name, other = rng.sample(list(files), 2)
    return name, files[other]


DAMAGES: dict[str, tuple[Damage, int]] = {
    "bit-flipped": (_flip, 8000),
    "cut-off": (_cut, 2000),
    "lengthened": (_lengthened, 500),
    "page-zeroed": (_zeroed, 800),
    "page-repeated": (_repeated, 800),
    "file-of-another-name": (_of_another, 60),
}


def undetected(saved: Path, damage: Damage, count: int, rng: random.Random) -> Iterator[str]:
    """What was loaded although it was damaged."""
    files = {name: (saved / name).read_bytes() for name in os.listdir(saved)}
    for _ in range(count):
        name, content = damage(files, rng)
        if content == files[name]:  # a page of zeros
            continue
        (saved / name).write_bytes(content)
        try:
            so.load(saved)
            yield name
        except DamagedError as error:
            assert str(saved) in str(error)
        finally:
            (saved / name).write_bytes(files[name])


@pytest.mark.parametrize("name", DAMAGES)
def test_no_damage_is_silent(name: str, saved: Path, faults: Faults) -> None:
    damage, count = DAMAGES[name]
    assert list(undetected(saved, damage, faults.count(count), faults.random)) == []
    so.load(saved)


def test_a_reader_that_checks_no_tensors_shows(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults are such that only the checksums of tensors find them."""
    monkeypatch.setattr(reader, "verify_bytes", lambda *args: None)
    for name in ("bit-flipped", "page-zeroed", "page-repeated"):
        assert next(undetected(saved, DAMAGES[name][0], 1000, random.Random(0)), None)

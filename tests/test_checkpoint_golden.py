"""Checkpoints of every version of the format, which all later versions load.

Those in golden/ are never made again. For a new version: `python tests/test_checkpoint_golden.py FOLDER`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from state_trees import PLAIN, arrays, same

import symopt as so
from symopt.checkpoint import Series, info, manifest

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.glob("checkpoint_v*"))
META = {"made for": "later versions", "epoch": 3}


def test_this_version_has_golden_files() -> None:
    assert f"checkpoint_v{manifest.VERSION}" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["plain", "arrays", "files"])
def test_it_loads(version: str, name: str) -> None:
    found = so.load(GOLDEN / version / name)
    expected: dict[str, Any] = PLAIN if name == "plain" else arrays()
    assert len(found) >= 15  # of what trees have today, some may be newer
    same({key: expected[key] for key in found}, found)
    assert info(GOLDEN / version / name).meta == META


@pytest.mark.parametrize("version", VERSIONS)
def test_series_load(version: str) -> None:
    series = Series(GOLDEN / version / "series")
    assert series.steps() == [9, 123456789] and series.latest() == 123456789
    assert series.load() == {"step": 123456789}


def test_files_in_version_1_are_what_they_were(tmp_path: Path) -> None:
    """What is written today has the same bytes, but for the version of symopt in the manifest."""
    for name, tree, shard_bytes in _trees():
        old = GOLDEN / "checkpoint_v1" / name
        so.save(tmp_path / name, {key: tree[key] for key in so.load(old)}, meta=META, shard_bytes=shard_bytes)
        for file in old.glob("*.safetensors"):
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()


def _trees() -> list[tuple[str, dict[str, Any], int]]:
    return [("plain", PLAIN, 1 << 30), ("arrays", arrays(), 1 << 30), ("files", arrays(), 300)]


if __name__ == "__main__":
    os.mkdir(sys.argv[1])
    for made, content, size in _trees():
        so.save(f"{sys.argv[1]}/{made}", content, meta=META, shard_bytes=size)
    for step in (9, 123456789):
        Series(f"{sys.argv[1]}/series").save(step, {"step": step})

"""Files that MXNet 1.9.1 and 2.0.0beta1 wrote, and what they find in them: tests/golden/mxnet*_files.zip."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


class Folder(NamedTuple):
    """Files by name; what MXNet told of each, and the arrays of what it told."""

    files: dict[str, bytes]
    told: dict[str, Any]
    arrays: dict[str, Any]


@cache
def folder_of(system: str) -> Folder:
    with zipfile.ZipFile(GOLDEN / f"{system}_files.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(files.pop("told.json"))["files"]
    with np.load(io.BytesIO(files.pop("told.npz"))) as arrays:
        return Folder(files, told, dict(arrays))


NAMES = [(system, name) for system in ("mxnet1", "mxnet2") for name in folder_of(system).told]

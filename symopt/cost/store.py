"""Keeps what was measured: a file for each processor or GPU, under `config.cache_dir()`.

A file is JSON, named by the device it is of. It appears whole, and one that cannot be read as such counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from .. import config
from ..context import Context
from ..errors import SymoptError
from ..files import write_whole
from .bandwidth import Calibration, Row, Speed
from .machine import device_name

FORMAT = 1  # of the files: with another number they are measured anew


def load(ctx: Context) -> Calibration | None:
    """What was measured on a device; None if nothing was, or there is no such device."""
    try:
        text = path_of(device_name(ctx)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, SymoptError):
        return None
    return from_text(text)


def save(calibration: Calibration) -> Path | None:
    """Keep a measurement; None, and a warning that says why, where it cannot be written."""
    path = path_of(calibration.device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, to_text(calibration).encode())
    except OSError as error:
        warnings.warn(
            f"what was measured cannot be kept in {path.parent}: {error.strerror}; set SYMOPT_CACHE_DIR",
            stacklevel=3,
        )
        return None
    return path


def path_of(device: str) -> Path:
    """The file of a device."""
    digest = hashlib.sha256(f"{FORMAT} {device}".encode()).hexdigest()[:16]
    return config.cache_dir() / "calibration" / f"{digest}.json"


# ---- as text


def to_text(calibration: Calibration) -> str:
    """A measurement as JSON."""
    speeds = {
        str(n): {
            "read": s.read, "updated": s.updated, "written": s.written, "beside": s.beside, "gain": s.gain,
            "levels": s.levels, "rows": s.rows,
        }
        for n, s in calibration.speeds.items()
    }  # fmt: skip
    numbers = {name: getattr(calibration, name) for name in ("launch", "tensor", "step", "index", "sort")}
    operations = [[*operation, seconds] for operation, seconds in calibration.operations.items()]
    found = {
        "format": FORMAT,
        "device": calibration.device,
        "speeds": speeds,
        "operations": operations,
        **numbers,
    }
    return json.dumps(found, indent=1)


def from_text(text: str) -> Calibration | None:
    """The measurement that a text holds; None for other text, or one of another format."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT or not found["speeds"]:
            return None
        return Calibration(
            str(found["device"]),
            {int(n): _speed(speed) for n, speed in found["speeds"].items()},
            {(str(op), str(detail)): float(seconds) for op, detail, seconds in found["operations"]},
            *(float(found[name]) for name in ("launch", "tensor", "step", "index", "sort")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _speed(found: Any) -> Speed:
    return Speed(
        **{name: float(found[name]) for name in ("read", "updated", "written", "beside", "gain")},
        levels=tuple((float(size), float(part)) for size, part in found["levels"]),
        rows=tuple(Row(*map(float, row)) for row in found["rows"]),
    )

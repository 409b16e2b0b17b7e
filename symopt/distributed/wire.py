"""Gradients on their way to shards: as they are, or rounded to 16 bits, which halves what is sent."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..dtypes import to_numpy
from ..errors import AttributeValueError

Array = npt.NDArray[Any]
Wire = Literal["float16", "bfloat16"] | None
WIRES = (None, "float16", "bfloat16")


def checked_wire(given: Any, name: str) -> Wire:
    """What gradients of a table are sent as."""
    if given not in WIRES:
        raise AttributeValueError(f"{name}: wire is one of 'float16', 'bfloat16' or None, got {given!r}")
    found: Wire = given
    return found


def narrowed(rows: Array, wire: Wire) -> Array:
    """Rows as they are sent: of `wire`, to nearest, of two as near the even one. Beyond float16's 65504: infinite.

    bfloat16 is sent as uint16, which every engine can pass on without a copy."""
    if wire is None:
        return rows
    with np.errstate(over="ignore"):
        found = rows.astype(to_numpy(wire))
    return found.view(np.uint16) if wire == "bfloat16" else found


def widened(rows: Array, wire: Wire, dtype: np.dtype[Any]) -> Array:
    """What was sent, as rows of `dtype`: exactly."""
    if wire is None:
        return rows
    return (rows.view(to_numpy(wire)) if wire == "bfloat16" else rows).astype(dtype)

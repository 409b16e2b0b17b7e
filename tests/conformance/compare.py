"""How far two results are apart, and how far they may be."""

from __future__ import annotations

from typing import Any

import numpy as np

# What rounding can do in a few steps of a formula: MXNet rounds to 16 bits after each operation, symopt once.
TOLERANCE = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-12}
# Attributes of MXNet and hyperparameters of Keras are float32: 1 - 0.999 is another number there than here.
ROUNDED_NUMBERS = {"float16": 5e-2, "float32": 1e-4, "float64": 1e-4}


def error(ours: Any, theirs: Any) -> float:
    """The largest difference, relative to the element or to the mean magnitude of the array if that is larger."""
    a, b = (np.asarray(x).astype(np.float64) for x in (ours, theirs))
    if a.shape != b.shape:
        return np.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    if not np.isfinite(a[~same]).all() or not np.isfinite(b[~same]).all():
        return np.inf
    finite = np.abs(b[np.isfinite(b)])
    scale = np.maximum(np.abs(b[~same]), max(finite.mean(), np.finfo(np.float64).tiny))
    return float((np.abs(a[~same] - b[~same]) / scale).max())


def tolerance(dtype: str, rounded_numbers: bool = False) -> float:
    return (ROUNDED_NUMBERS if rounded_numbers else TOLERANCE)[dtype]


def shown(value: float | None) -> str:
    """An error as the table has it: one digit, so that it is the same on every machine, nearly."""
    return "" if value is None else "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")

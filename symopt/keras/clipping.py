"""Gradients clipped before rows that occur twice are summed: as Keras clips sparse ones.

The number of rows differs from step to step, so this is done with NumPy (or CuPy) and not in the graph, which is bound
to shapes. Gradients themselves stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..arrays import Array
from ..places import place_of_array
from ..sparse import RowSparseArray


class Clips(NamedTuple):
    """Keras's three bounds; None: not clipped by that."""

    value: float | None = None
    norm: float | None = None
    global_norm: float | None = None

    def __bool__(self) -> bool:
        return any(bound is not None for bound in self)


def clipped_eagerly(grads: Sequence[Any], clips: Clips) -> list[Any]:
    """New gradients, clipped by value, then by norm, then together by their global norm."""
    stored = [g.data if isinstance(g, RowSparseArray) else g for g in grads]
    place = place_of_array(stored[0])
    with place.current():
        arrays = [place.view(x, "a gradient") for x in stored]
        if clips.value is not None:
            arrays = [place.xp.clip(x, -clips.value, clips.value).astype(x.dtype) for x in arrays]
        if clips.norm is not None:
            arrays = [_scaled(place.xp, x, _square_sum(place.xp, x), clips.norm) for x in arrays]
        if clips.global_norm is not None:
            total = sum(_square_sum(place.xp, x) for x in arrays)
            arrays = [_scaled(place.xp, x, total, clips.global_norm) for x in arrays]
    return [_like(g, x) for g, x in zip(grads, arrays, strict=True)]


def _square_sum(xp: Any, x: Array) -> Any:
    wide = x.astype("float32") if x.dtype.itemsize == 2 else x
    return xp.sum(xp.square(xp.abs(wide)))


def _scaled(xp: Any, x: Array, square_sum: Any, bound: float) -> Array:
    """x times bound / norm where the norm is above the bound."""
    norm = xp.sqrt(square_sum)
    factor = bound / xp.maximum(norm, bound) if bound else xp.where(xp.isfinite(norm), 0.0, math.nan)
    scaled: Array = (x * factor).astype(x.dtype)
    return scaled


def _like(grad: Any, array: Array) -> Any:
    if isinstance(grad, RowSparseArray):
        return RowSparseArray(array, grad.indices, grad.shape, grad.canonical)
    return array

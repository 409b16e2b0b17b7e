"""What is done to gradients before the update: as Symbols, so that it is part of the one step.

Each function takes gradients by name and gives them back by name. Norms are over all elements, in the compute dtype.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .. import sym
from ..symbol import Symbol

Gradients = dict[str, Symbol]
Number = float | Symbol


def scaled(grads: Mapping[str, Symbol], factor: Number) -> Gradients:
    """Every gradient times one number."""
    return {name: g * factor for name, g in grads.items()}


def divided(grads: Mapping[str, Symbol], divisor: Number) -> Gradients:
    """Every gradient divided by one number."""
    return {name: g / divisor for name, g in grads.items()}


def clipped_by_value(grads: Mapping[str, Symbol], bound: float) -> Gradients:
    """Every element clipped to [-bound, bound]; NaN stays."""
    return {name: sym.clip(g, a_min=-bound, a_max=bound) for name, g in grads.items()}


def clipped_by_norm(grads: Mapping[str, Symbol], bound: Number) -> Gradients:
    """Each gradient shortened to a Euclidean norm of at most `bound`, by itself."""
    return {name: g * (bound / sym.maximum(sym.norm(g), bound)) for name, g in grads.items()}


def clipped_by_global_norm(grads: Mapping[str, Symbol], bound: Number) -> Gradients:
    """All gradients times one factor, so that their norm as one vector is at most `bound`; NaN, all of them, where that
    norm is not finite, as in TensorFlow."""
    return scaled(grads, factor_of(global_norm(grads), bound))


def factor_of(norm: Symbol, bound: Number) -> Any:
    """What gradients of this norm are multiplied by so that it is at most `bound`; NaN if it is not finite."""
    return bound / sym.maximum(norm, bound) + (norm - norm)  # plus 0, or NaN


def clipped(
    grads: Mapping[str, Symbol],
    value: float | None = None,
    norm: float | None = None,
    global_norm: float | None = None,
) -> Gradients:
    """Clipped by value, then each by its norm, then all by their norm together; None: not by that."""
    found = dict(grads)
    if value is not None:
        found = clipped_by_value(found, value)
    if norm is not None:
        found = clipped_by_norm(found, norm)
    if global_norm is not None:
        found = clipped_by_global_norm(found, global_norm)
    return found


def global_norm(grads: Mapping[str, Symbol]) -> Any:
    """The Euclidean norm of all gradients as one vector: (1,)."""
    return sym.sqrt(sym.sum(sym.multi_sum_sq(*grads.values())))


def all_finite(grads: Mapping[str, Symbol], wide: Collection[str] = ()) -> Any:
    """1 if no element of any gradient is NaN or infinite, else 0: (1,). `wide`: names of those above 32 bits."""
    # The op takes what float32 cannot hold for infinite, as MXNet's does; 0 times a number is 0 in any dtype.
    return sym.multi_all_finite(*(g * 0.0 if name in wide else g for name, g in grads.items()))

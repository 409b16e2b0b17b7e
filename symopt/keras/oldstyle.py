"""Optimizers that say what they do in NumPy, in the methods that tf.keras asks of a subclass.

`_create_slots(var_list)` adds slots; `_resource_apply_dense(grad, var, apply_state)` and
`_resource_apply_sparse(grad, var, indices, apply_state)` change a so.Variable in place; rows come summed, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..places import place_of_array
from ..sparse import RowSparseArray
from .clipping import clipped_eagerly
from .known import KnownVariable

if TYPE_CHECKING:
    from .optimizer import Optimizer


def is_old_style(optimizer: Optimizer) -> bool:
    """Whether the class has tf.keras's method for dense gradients."""
    return hasattr(type(optimizer), "_resource_apply_dense")


def apply_old_style(optimizer: Any, grads: Sequence[Any], variables: Sequence[KnownVariable]) -> None:
    """One step: slots, clips, then variable by variable. An error of the methods leaves those before it updated."""
    clips = optimizer._clips()
    grads = clipped_eagerly(grads, clips) if clips else grads
    own = [optimizer._slots.known.wrapped(known) for known in variables]
    if hasattr(optimizer, "_create_slots"):
        optimizer._create_slots(own)
    for grad, variable in zip(grads, own, strict=True):
        if isinstance(grad, RowSparseArray):
            rows = grad.coalesce()
            optimizer._resource_apply_sparse(rows.data, variable, rows.indices, {})
        else:
            array = place_of_array(grad).view(grad, f"the gradient of {variable.name}")
            optimizer._resource_apply_dense(array, variable, {})

"""Loaded states whose weights come: put where the weight is, in the order that the optimizer has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import NARROW, canonical, to_numpy
from ..places import Place, moved, place_of_array
from ..sparse import RowSparseArray
from ..state import Differences
from .plan import dtype_of, plain

if TYPE_CHECKING:
    from .updater import Updater


def stand_in(shape: Sequence[int], dtype: str) -> Any:
    """What has the shape and dtype of a weight that has not come, and no memory."""
    return np.broadcast_to(np.zeros((), to_numpy(canonical(dtype))), tuple(shape))


def beside(updater: Updater, index: Any, weight: Any) -> Any:
    """A loaded state where its weight is. StateError if it was loaded for a weight of another shape or dtype."""
    state, expected = updater.states[index], updater._weights.get(index)
    if expected is None:
        return in_order(updater, state, weight)
    found, name = Differences(), updater.optimizer.idx2name.get(index, index)
    found.compare(f"parameters/{name}/shape", "shape", list(weight.shape), list(expected.shape))
    found.compare(f"parameters/{name}/dtype", "dtype", dtype_of(weight), dtype_of(expected))
    found.check("this Updater", strict=True)
    return moved_to(place_of_array(weight), state)


def in_order(updater: Updater, state: Any, weight: Any) -> Any:
    """A state of MXNet's files where its weight is, with the float32 copy first, as MXNet 2 has it."""
    here = moved_to(place_of_array(weight), state)
    is_copied = updater.optimizer.multi_precision and dtype_of(weight) in NARROW
    if is_copied and isinstance(here, tuple) and len(here) == 2:
        first, last = here
        if rounds_to(last, weight) and not rounds_to(first, weight):  # SGD and NAG of MXNet 1
            return last, first
    return here


def moved_to(place: Place, state: Any) -> Any:
    """A state whose arrays lie in a place: themselves if they do, else copies."""
    if isinstance(state, (tuple, list)):
        return type(state)(moved_to(place, x) for x in state)
    if isinstance(state, RowSparseArray):
        return moved_to(place, state.todense())
    if state is None or not hasattr(state, "shape"):
        return state
    source = place_of_array(state)
    return state if source is place else moved(source.view(state, "a state"), source, place)


def rounds_to(copy: Any, weight: Any) -> bool:
    """Whether a weight of 16 bits is what a float32 array rounds to."""
    place = place_of_array(weight)
    view = place.view(plain(weight), "a weight")
    if copy is None or not hasattr(copy, "shape") or copy.shape != view.shape or copy.dtype != np.float32:
        return False
    with place.current():
        return bool((copy.astype(view.dtype) == view).all())


def copied(state: Any) -> Any:
    """A state in memory of its own."""
    if isinstance(state, (tuple, list)):
        return type(state)(map(copied, state))
    if not hasattr(state, "shape"):
        return state
    place = place_of_array(state)
    with place.current():
        return place.view(plain(state), "a state").copy()

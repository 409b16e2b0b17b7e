"""What is given to the methods of a table, checked: words, numbers, segments, arrays for results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np

from ..errors import AttributeValueError, DTypeError, ShapeError
from ..places import HOST, Place
from .batches import Array
from .configured import segments_of
from .segment import Segment

Missing = Literal["zeros", "initialize", "raise"]
Duplicates = Literal["sum", "sequential"]
Made = TypeVar("Made")
MISSING, DUPLICATES = ("zeros", "initialize", "raise"), ("sum", "sequential")


def checked(given: Any, name: str) -> tuple[Segment, ...]:
    """The segments of a table, as a tuple. AttributeValueError or DTypeError."""
    found = segments_of(given, name)
    if len({s.dtype for s in found}) > 1:
        raise DTypeError(
            f"{name}: the segments of a table have one dtype, got {', '.join(s.dtype for s in found)}"
        )
    return found


def one_of(what: str, value: Any, known: tuple[str, ...], name: str) -> Any:
    """A word that is among those known."""
    if value not in known:
        raise AttributeValueError(f"{name}: {what} is one of {', '.join(known)}, got {value!r}")
    return value


def made_of(kind: Callable[[Any], Made], value: Any, short: type, what: str, name: str) -> Made | None:
    """A `kind`, as it is or made of the one number or word that is most often needed."""
    if value is None or isinstance(value, kind):  # type: ignore[arg-type]
        return value
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, short):
        said = "a whole number" if short is int else "a name"
        raise AttributeValueError(f"{name}: {what} is {said} or {kind.__name__}(...), got {value!r}")
    return kind(value)


def rates_of(given: Any, n: int, what: str) -> tuple[float, ...]:
    """A learning rate for each of `n` segments, from one for all or several."""
    rates = np.asarray(given)
    if rates.dtype.kind not in "fiu" or rates.ndim > 1:
        raise AttributeValueError(
            f"{what}: learning_rate is a number, or one for each segment, got {given!r}"
        )
    found = (float(rates),) * n if rates.ndim == 0 else tuple(map(float, rates))
    if len(found) != n:
        raise AttributeValueError(f"{what}: {n} segments need {n} learning rates, got {len(found)}")
    return found


def step(given: Any, what: str) -> int:
    """A number of steps, from 0."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 0:
        raise AttributeValueError(f"{what}: global_step is a number from 0, got {given!r}")
    return int(given)


def check_place(place: Place, engine: str, has_folder: bool, name: str) -> None:
    """AttributeValueError for what only tables on the host can have."""
    if place is HOST:
        return
    if engine != "auto":
        raise AttributeValueError(
            f"{name}: rows on {place.context!r} are updated by CUDA kernels: engine must be 'auto', got {engine!r}"
        )
    if has_folder:
        raise AttributeValueError(
            f"{name}: rows on {place.context!r} lie in its memory: path and store are for tables on so.cpu()"
        )


def as_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], what: str, place: Place = HOST) -> Array:
    """An array that results can be written to."""
    if place is not HOST:
        out = place.as_array(out, f"{what}: out", mutable=True)
        if out.shape != shape or out.dtype != dtype:
            raise ShapeError(f"{what}: out must be {dtype} {shape}, got {out.dtype} {out.shape}")
        return out  # type: ignore[no-any-return]
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ShapeError(f"{what}: out must be a NumPy array of {dtype} {shape}, got {got}")
    if not out.flags.carray:
        raise ShapeError(f"{what}: out must be contiguous and writable")
    return out

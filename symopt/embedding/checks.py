"""What is given to the methods of a table, checked: words, numbers, segments, arrays for results."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import AttributeValueError, DTypeError, ShapeError, UnknownIdError
from ..places import HOST, Place
from .batches import Array, Ids
from .configured import segments_of
from .segment import Segment

Missing = Literal["zeros", "initialize", "raise"]
Duplicates = Literal["sum", "sequential"]
_NUMBERS = (int, float, np.integer, np.floating, np.ndarray)
_MOST_STEPS = 1 << 53  # which float64 tells apart
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


def unknown(ids: Ids, what: str) -> UnknownIdError:
    """The error for ids (n,), one at least, that must have a row and have none."""
    others = f", nor have {len(ids) - 1} more" if len(ids) > 1 else ""
    return UnknownIdError(f"{what}: id {ids[0]} has no row{others}")


def checked_seed(given: Any, name: str) -> int:
    """A seed, of any size."""
    if isinstance(given, bool) or not isinstance(given, int | np.integer):
        raise AttributeValueError(f"{name}: seed is a whole number, got {given!r}")
    return int(given)


def step(given: Any, what: str) -> int:
    """A number of steps, from 0."""
    is_whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if not is_whole or not 0 <= given <= _MOST_STEPS:
        raise AttributeValueError(f"{what}: global_step is a whole number from 0 to 2**53, got {given!r}")
    return int(given)


def rates(given: Any, n: int, what: str) -> tuple[float, ...] | None:
    """Learning rates of `n` segments: one for all, or one for each. AttributeValueError for what is no number."""
    if given is None:
        return None
    try:
        shape = np.shape(given)
        every = [given] if shape == () else [*given]
    except (ValueError, TypeError):
        every, shape = [given], (1, 1)
    are_numbers = all(isinstance(x, _NUMBERS) and not isinstance(x, bool) and x == x for x in every)
    if len(shape) > 1 or not are_numbers:
        raise AttributeValueError(
            f"{what}: learning_rate is a number, or one for each segment, got {given!r}"
        )
    if shape and len(every) != n:
        raise AttributeValueError(f"{what}: {n} segments need {n} learning rates, got {len(every)}")
    return tuple(map(float, every * (1 if shape else n)))


def kept_as(kind: type, number: type[int] | type[str], given: Any, name: str) -> Any:
    """An object of a table's, such as its Admission, or made of what stands for it. AttributeValueError."""
    if given is None or isinstance(given, kind):
        return given
    if isinstance(given, bool) or not isinstance(given, number | np.integer if number is int else number):
        short = "a whole number" if number is int else "a name"
        raise AttributeValueError(
            f"{name}: {kind.__name__.lower()} is one of so.embedding.{kind.__name__}, {short} or None, got {given!r}"
        )
    return kind(given)


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

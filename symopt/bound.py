"""What a name of a graph is bound to: a number, an array, or a row_sparse array; and what may replace it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .arrays import Array
from .dtypes import COMPLEX
from .errors import AttributeValueError, DeviceError, DTypeError, ShapeError, StorageError
from .places import HOST, Place, moved, place_of_array
from .sparse import RowSparseArray

Given = Any  # a number, a RowSparseArray, or anything that becomes an array of a place without a copy


def is_number(x: Given) -> bool:
    """Whether x is a Python or NumPy number, which binds to a scalar of the host."""
    return type(x) is float or (
        isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)
    )


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype; NumPy makes it anew each time."""
    return dtype.name


class Bound:
    """One bound name: what the user gave, and the array or number behind it.

    `source`: a strided array that is copied into `array` before every step; None if `array` is the user's memory.
    `place`: where the array lies. Numbers are the host's, in arrays of shape () or not, wherever the graph is bound.
    """

    __slots__ = (
        "array",
        "dtype",
        "given",
        "is_number",
        "number",
        "place",
        "shape",
        "source",
        "sparse",
        "stype",
    )

    def __init__(self, name: str, given: Given, *, mutable: bool, place: Place = HOST) -> None:
        self.given = given
        self.place = place
        self.array: Array | None = None
        self.source: Array | None = None
        self.number: float | None = None
        self.sparse: RowSparseArray | None = None
        self.shape: tuple[int, ...] = ()
        self.dtype, self.stype, self.is_number = "float64", "default", False
        if type(given) is not np.ndarray and is_number(given):
            self.number = as_float(name, given)
            self.is_number = True
            self.place = HOST
        elif isinstance(given, RowSparseArray):
            if given.place is not place:
                place.view(given.data, f"argument {name!r}")  # says where it is
            self.sparse = given
            self.shape, self.dtype, self.stype = given.shape, dtype_name(given.dtype), "row_sparse"
        else:
            if place is not HOST and _is_host_number(given):
                self.place = HOST
            array = self.place.as_array(given, f"argument {name!r}", mutable=mutable)
            self.shape, self.dtype = array.shape, dtype_name(array.dtype)
            if not array.flags.c_contiguous:
                self.source = array
                with place.current():
                    array = array.copy()
            self.array = array

    @property
    def value(self) -> Given:
        """What the name is bound to now: the object the user gave, or the current number."""
        return self.number if self.is_number else self.given

    def result(self) -> Any:
        """The array as an output: the user's own object if it is of its place's type, else a view of its memory."""
        is_own = self.array is None or isinstance(self.given, self.place.xp.ndarray)
        return self.given if is_own else self.array

    def read_source(self) -> None:
        """Copy the strided array that the user gave."""
        assert self.array is not None and self.source is not None
        with self.place.current():
            self.array[...] = self.source

    def write(self, values: Array) -> None:
        """Copy values, an array of the same place and shape, into the user's memory."""
        with self.place.current():
            self.user_array()[...] = values

    def user_array(self) -> Array:
        """The user's memory, to copy values into."""
        found = self.source if self.source is not None else self.array
        assert found is not None
        return found

    def read_number(self) -> float:
        """The number of a scalar, which may be held in a 0-d array of the user's."""
        return self.number if self.number is not None else float(self.user_array())

    def write_number(self, number: float) -> None:
        """The number that a step made of a scalar."""
        if self.is_number:
            self.number = number
        else:
            self.user_array()[...] = number

    def copy_to(self, place: Place) -> Given:
        """The number, or what is bound on memory of its own in `place`."""
        if self.is_number:
            return self.number
        if isinstance(self.given, RowSparseArray):  # updated in place or not
            return self.given.copy_to(place)
        return moved(self.user_array(), self.place, place)

    def release(self) -> None:
        """Let go of the array; what it was (shape, dtype, stype) stays known."""
        if not self.is_number:
            self.given = self.array = self.source = self.sparse = None

    @property
    def memory(self) -> Array | None:
        """The user's memory, for the overlap check."""
        if self.sparse is not None:
            return self.sparse.data
        return self.source if self.source is not None else self.array


def _is_host_number(x: Given) -> bool:
    """Whether x is an array of shape () in the host's memory."""
    return getattr(x, "shape", None) == () and place_of_array(x) is HOST


def as_float(name: str, given: Given) -> float:
    """A number that is given, as a step computes with it."""
    try:
        return float(given)
    except OverflowError:
        raise AttributeValueError(f"{name!r}: the integer given is too large for a float64") from None


def as_argument(name: str, given: Given, mutable: bool, place: Place) -> Bound:
    """What is given for a name of a graph that is bound in `place`. `mutable`: the step writes it."""
    b = Bound(name, given, mutable=mutable, place=place)
    return as_dense(name, b) if b.sparse is not None and mutable else b


def as_dense(name: str, bound: Bound) -> Bound:
    """A row_sparse weight or state is updated in place, so it must hold every row: then its data is the array."""
    sparse, place = bound.sparse, bound.place
    assert sparse is not None
    n_rows = sparse.shape[0]
    with place.current():
        is_whole = len(sparse.indices) == n_rows and bool((sparse.indices == place.xp.arange(n_rows)).all())
    if not is_whole:
        raise StorageError(
            f"argument {name!r} is updated in place: as row_sparse it must hold all {n_rows} rows in order, "
            f"it holds {len(sparse.indices)}; bind a dense array"
        )
    dense = Bound(name, sparse.data, mutable=True, place=place)
    dense.given = bound.given
    return dense


def check_same(name: str, old: Bound, new: Bound) -> None:
    """A replacement must be what the name was bound to: kind, shape and dtype."""
    if old.is_number != new.is_number:
        if not old.is_number or new.array is None or new.shape != () or new.dtype in COMPLEX:
            kinds = "a number" if old.is_number else "an array"
            raise DTypeError(
                f"forward: {name!r} is bound to {kinds}, got {new.given!r}; bind again to change that"
            )
        check_kind_of_place(name, new, old.is_number)
        return
    if new.place is not old.place:
        check_kind_of_place(name, new, old.place is HOST)
    if old.stype != new.stype:
        raise StorageError(
            f"forward: {name!r} is bound as {old.stype}, got {new.stype}; bind again to change that"
        )
    if old.shape != new.shape:
        raise ShapeError(
            f"forward: {name!r} has shape {old.shape}, got {new.shape}; use reshape or bind again"
        )
    if old.dtype != new.dtype:
        raise DTypeError(f"forward: {name!r} is {old.dtype}, got {new.dtype}; bind again to change that")


def check_kind_of_place(name: str, bound: Bound, is_host: bool) -> None:
    """DeviceError for a number in a GPU's memory, which the host would have to wait for, or a tensor of shape () in the
    host's."""
    if is_host and bound.place is not HOST:
        raise DeviceError(
            f"argument {name!r} is a number, which the host computes with, and got an array on "
            f"{bound.place.context!r}: expected a Python number or a NumPy array of shape (); give float(x)"
        )
    if not is_host and bound.place is HOST and not bound.is_number:
        raise DeviceError(
            f"argument {name!r} is a tensor of shape () and got an array in the host's memory: expected one on the "
            "device; give cupy.asarray(x)"
        )

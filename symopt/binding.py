"""The arrays a graph is bound to: checked against what the graph needs before anything is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from operator import index
from typing import Any

import numpy as np

from .arrays import Array, as_array, check_overlap, view
from .dtypes import COMPLEX, FLOATS, to_numpy
from .errors import (
    ArrayError,
    AttributeValueError,
    DTypeError,
    MissingArgumentError,
    ShapeError,
    StorageError,
    SymoptError,
    UnknownArgumentError,
    near,
)
from .expr import Node
from .infer import Types
from .sparse import RowSparseArray, zeros

Given = Any  # a number, a RowSparseArray, or anything that becomes a NumPy array without a copy


def by_name(
    given: Mapping[str, Given] | Sequence[Given] | None, names: Sequence[str], what: str
) -> dict[str, Given]:
    """Arguments given as a dict, or as a list in the graph's order. A dict may have surplus names, as in MXNet."""
    if given is None:
        given = {}
    if isinstance(given, Mapping):
        missing = [n for n in names if n not in given]
        if missing:
            hint = near(missing[0], given)
            raise MissingArgumentError(
                f"bind: key `{missing[0]}` is missing in {what}: it needs {', '.join(names)}{hint}"
            )
        return {n: given[n] for n in names}
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        count = len(given) if isinstance(given, (list, tuple)) else repr(given)
        raise MissingArgumentError(
            f"bind: {what} must be a dict or a list of {len(names)} ({', '.join(names)}), got {count}"
        )
    return dict(zip(names, given, strict=True))


def is_number(x: Given) -> bool:
    """Whether x is a Python or NumPy number, which binds to a scalar of the host."""
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


@cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype; NumPy makes it anew each time."""
    return dtype.name


class Bound:
    """One bound name: what the user gave, and the NumPy array or number behind it.

    `source`: a strided array that is copied into `array` before every step; None if `array` is the user's memory.
    """

    __slots__ = ("array", "dtype", "given", "is_number", "number", "shape", "source", "sparse", "stype")

    def __init__(self, name: str, given: Given, *, mutable: bool, kind: str = "argument") -> None:
        self.given = given
        self.array: Array | None = None
        self.source: Array | None = None
        self.number: float | None = None
        self.sparse: RowSparseArray | None = None
        self.shape: tuple[int, ...] = ()
        self.dtype, self.stype, self.is_number = "float64", "default", False
        if type(given) is not np.ndarray and is_number(given):
            self.number = _float(name, given)
            self.is_number = True
        elif isinstance(given, RowSparseArray):
            self.sparse = given
            self.shape, self.dtype, self.stype = given.shape, dtype_name(given.dtype), "row_sparse"
        else:
            array = as_array(given, f"{kind} {name!r}", mutable=mutable)
            self.shape, self.dtype = array.shape, dtype_name(array.dtype)
            if not array.flags.c_contiguous:
                self.source = array
                array = np.ascontiguousarray(array)
            self.array = array

    @property
    def value(self) -> Given:
        """What the name is bound to now: the object the user gave, or the current number."""
        return self.number if self.is_number else self.given

    def result(self) -> Any:
        """The array as an output: the user's own object if it is a NumPy array, else a view of its memory."""
        return self.given if isinstance(self.given, np.ndarray) or self.array is None else self.array

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


def _float(name: str, given: Given) -> float:
    try:
        return float(given)
    except OverflowError:
        raise AttributeValueError(f"{name!r}: the integer given is too large for a float64") from None


def as_dense(name: str, bound: Bound) -> Bound:
    """A row_sparse weight or state is updated in place, so it must hold every row: then its data is the array."""
    sparse = bound.sparse
    assert sparse is not None
    if len(sparse.indices) != sparse.shape[0] or not np.array_equal(
        sparse.indices, np.arange(sparse.shape[0])
    ):
        raise StorageError(
            f"argument {name!r} is updated in place: as row_sparse it must hold all {sparse.shape[0]} rows in order, "
            f"it holds {len(sparse.indices)}; bind a dense array"
        )
    dense = Bound(name, sparse.data, mutable=True)
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
        return
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


def as_source(name: str, bound: Bound, value: Given) -> Array:
    """Values that can be copied into what `name` is bound to: all that could fail halfway is refused here."""
    if bound.sparse is not None:
        raise DTypeError(f"copy_params_from: {name!r} is row_sparse; give it to forward")
    try:
        plain = is_number(value) or isinstance(value, (list, tuple))
        source = np.asarray(value) if plain else view(value, f"copy_params_from: {name!r}")
    except ValueError as error:
        if isinstance(error, SymoptError):
            raise
        raise ArrayError(f"copy_params_from: {name!r} is not an array: {error}") from None  # a ragged list
    kinds = "iufc" if bound.dtype in COMPLEX else "iuf"
    if source.dtype.kind not in kinds and dtype_name(source.dtype) not in FLOATS:
        raise DTypeError(f"copy_params_from: {name!r} is {bound.dtype}, got {source.dtype.name}")
    if source.shape != bound.shape:
        raise ShapeError(f"copy_params_from: {name!r} has shape {bound.shape}, got {source.shape}")
    if not bound.is_number and not bound.user_array().flags.writeable:
        raise ArrayError(f"copy_params_from: {name!r} is bound to a read-only array; give it to forward")
    return source


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A shape given to simple_bind or reshape; -1 leaves a dimension open, one integer is one dimension."""
    try:
        sizes = tuple(map(index, shape)) if isinstance(shape, Sequence) else (index(shape),)
    except TypeError:
        raise ShapeError(f"the shape of {name!r} must be integers, got {shape!r}") from None
    if any(size < -1 for size in sizes):
        raise ShapeError(f"the shape of {name!r} has a negative size: {sizes}; -1 means not known")
    return sizes


def allocate(node: Node, types: Types) -> Given:
    """Zeros for a variable of inferred type."""
    shape = types.shape(node)
    if shape is None or -1 in shape:
        raise MissingArgumentError(f"the shape of {node.name!r} does not follow from those given")
    if types.is_host(node):
        return 0.0
    dtype = types.dtype(node) or "float32"
    return zeros(shape, dtype) if types.stype(node) == "row_sparse" else np.zeros(shape, to_numpy(dtype))


def check_memory(bound: Mapping[str, Bound], mutable: set[str], buffers: Sequence[Array] = ()) -> None:
    """No array that is written may share memory with any other. `buffers`: the executor's own."""
    entries = [("an output of this executor", buffer, True) for buffer in buffers]
    for name, b in bound.items():
        memory = b.memory
        if memory is not None:
            entries.append((name, memory, name in mutable))
            if b.sparse is not None:
                entries.append((f"{name}.indices", b.sparse.indices, False))
    check_overlap(entries)


class Ranges:
    """The memory of all arrays that are written: address ranges, ascending and apart from each other."""

    def __init__(self, bound: Mapping[str, Bound], mutable: set[str], buffers: Sequence[Array] = ()) -> None:
        self.mutable = mutable
        arrays = [b.array for n, b in bound.items() if n in mutable and b.array is not None]
        found = sorted(span(array) for array in (*arrays, *buffers))
        self.low = [low for low, _ in found]
        self.high = [high for _, high in found]

    def is_apart(self, fresh: Mapping[str, Bound]) -> bool:
        """Whether replacements are only read, and surely share nothing with what is written."""
        for name, b in fresh.items():
            if b.is_number:
                continue
            if name in self.mutable:
                return False
            for array in (b.memory, b.sparse.indices if b.sparse is not None else None):
                if array is not None:
                    low, high = span(array)
                    k = bisect_right(self.high, low)
                    if k < len(self.low) and self.low[k] < high:
                        return False
        return True


def span(array: Array) -> tuple[int, int]:
    """First byte of an array's memory, and the byte after its last."""
    if not array.flags.c_contiguous:
        return np.lib.array_utils.byte_bounds(array)
    low = int(array.__array_interface__["data"][0])
    return low, low + array.nbytes


def check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """UnknownArgumentError for a name that the graph does not have."""
    for name in names:
        if name not in known:
            raise UnknownArgumentError(f"{what}: the graph has no argument {name!r}{near(name, known)}")


def check_names(given: Mapping[str, Given], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            raise UnknownArgumentError(
                f"forward: the graph has no argument {name!r}: it has {', '.join(known)}{near(name, known)}"
            )


__all__ = [
    "ArrayError",
    "Bound",
    "allocate",
    "as_dense",
    "as_shape",
    "as_source",
    "by_name",
    "check_known",
    "check_memory",
    "check_names",
    "check_same",
    "is_number",
]

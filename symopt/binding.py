"""The arrays a graph is bound to: checked against what the graph needs before anything is written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np

from .arrays import Array
from .bound import Bound, Given, check_kind_of_place, dtype_name, is_number
from .dtypes import COMPLEX, FLOATS, to_numpy
from .errors import (
    ArrayError,
    DTypeError,
    GraphError,
    MissingArgumentError,
    ShapeError,
    SymoptError,
    UnknownArgumentError,
    built_at,
    near,
)
from .expr import PICK, Node
from .forms import op_of
from .infer import Types
from .overlap import check_overlap, span
from .places import HOST, Place, from_host, place_of_array
from .sparse import RowSparseArray


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


def as_source(name: str, bound: Bound, value: Given) -> Array:
    """Values that can be copied into what `name` is bound to, in its place: all that could fail halfway is refused
    here, and memory taken."""
    if bound.sparse is not None:
        raise DTypeError(f"copy_params_from: {name!r} is row_sparse; give it to forward")
    try:
        plain = is_number(value) or isinstance(value, (list, tuple))
        place = HOST if plain else place_of_array(value)
        source = np.asarray(value) if plain else place.view(value, f"copy_params_from: {name!r}")
    except ValueError as error:
        if isinstance(error, SymoptError):
            raise
        raise ArrayError(f"copy_params_from: {name!r} is not an array: {error}") from None  # a ragged list
    kinds = "iufc" if bound.dtype in COMPLEX else "iuf"
    if source.dtype.kind not in kinds and dtype_name(source.dtype) not in FLOATS:
        raise DTypeError(f"copy_params_from: {name!r} is {bound.dtype}, got {source.dtype.name}")
    if source.shape != bound.shape:
        raise ShapeError(f"copy_params_from: {name!r} has shape {bound.shape}, got {source.shape}")
    if not bound.is_number and bound.place is HOST and not bound.user_array().flags.writeable:
        raise ArrayError(f"copy_params_from: {name!r} is bound to a read-only array; give it to forward")
    if place is bound.place:
        return source
    on_host = place.to_host(source)
    if bound.place is HOST:
        return on_host
    with np.errstate(over="ignore"):
        return from_host(bound.place, on_host.astype(to_numpy(bound.dtype)))


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A shape given to simple_bind or reshape; -1 leaves a dimension open, one integer is one dimension."""
    try:
        sizes = tuple(map(index, shape)) if isinstance(shape, Sequence) else (index(shape),)
    except TypeError:
        raise ShapeError(f"the shape of {name!r} must be integers, got {shape!r}") from None
    if any(size < -1 for size in sizes):
        raise ShapeError(f"the shape of {name!r} has a negative size: {sizes}; -1 means not known")
    return sizes


def allocate(node: Node, types: Types, place: Place) -> Given:
    """Zeros for a variable of inferred type, in `place`."""
    shape = types.shape(node)
    if shape is None or -1 in shape:
        raise MissingArgumentError(f"the shape of {node.name!r} does not follow from those given")
    if types.is_host(node):
        return 0.0
    dtype = types.dtype(node) or "float32"
    if types.stype(node) == "row_sparse":
        rows = place.zeros((0, *shape[1:]), to_numpy(dtype))
        return RowSparseArray(rows, place.zeros((0,), np.int64), shape)
    return place.zeros(shape, to_numpy(dtype))


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
        self._low = np.array([*self.low, np.iinfo(np.int64).max])  # the last one is above every array
        self._high = np.array(self.high, np.int64)

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

    def are_apart(self, low: Array, n_bytes: Array) -> bool:
        """Whether so many bytes at these addresses, which are only read, surely share nothing with what is written."""
        next_one = self._high.searchsorted(low, "right")
        return not (self._low[next_one] < low + n_bytes).any()


def check_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """UnknownArgumentError for a name that the graph does not have."""
    for name in names:
        if name not in known:
            raise UnknownArgumentError(f"{what}: the graph has no argument {name!r}{near(name, known)}")


def check_names(given: Iterable[str], known: Mapping[str, Any]) -> None:
    for name in given:
        if name not in known:
            raise UnknownArgumentError(
                f"forward: the graph has no argument {name!r}: it has {', '.join(known)}{near(name, known)}"
            )


def written(order: Sequence[Node]) -> set[str]:
    """Variables that the step writes: states, and those named by out=."""
    found: set[str] = set()
    for node in order:
        if not node.inputs or node.op == PICK:
            continue
        for k in op_of(node).state_positions:
            if node.inputs[k].is_variable:
                found.add(node.inputs[k].name)
        found.update(v.name for v in node.attrs.get("__out__", ()))
    return found


def check_complete(types: Types) -> None:
    """MissingArgumentError for a shape that is not known, GraphError for two variables of one name."""
    names: dict[str, Node] = {}
    for node in types.order:
        shape = types.shape(node)
        if shape is None or -1 in shape:
            raise MissingArgumentError(
                f"bind: the shape of {node.name!r} does not follow from the arrays given{built_at(node.where)}"
            )
        if node.is_variable and names.setdefault(node.name, node) is not node:
            raise GraphError(
                f"two variables are called {node.name!r}: make one and use it in both places{built_at(node.where)}"
            )


def check_kinds(types: Types, bound: Mapping[str, Bound], place: Place) -> None:
    """Numbers where the graph has scalars of the host, arrays elsewhere; and in `place`."""
    for node in types.order:
        if node.is_variable:
            b = bound[node.name]
            if b.is_number and not types.is_host(node):
                raise DTypeError(
                    f"argument {node.name!r}: expected an array of shape {types.shape(node)}, "
                    f"got the number {b.given!r}{built_at(node.where)}"
                )
            if place is not HOST:
                check_kind_of_place(node.name, b, types.is_host(node))

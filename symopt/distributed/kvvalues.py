"""The values of a KVStore: in this process, or as rows at the shards of a cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import NARROW, to_numpy
from ..embedding.commands import Put
from ..embedding.leaving import NONE
from ..embedding.segment import Segment
from ..errors import MismatchError, RuleError, StorageError
from ..expr import Extent
from ..optimizer import Updater
from ..sparse import RowSparseArray
from ..training.update import first_value, state_types
from .cluster import Cluster
from .cuts import span
from .kvsteps import Asked, Steps
from .partition import in_buckets
from .table import ShardedTable
from .wire import Wire

CHUNK = 1024  # elements of a row, where a dense key is cut between elements


class Held:
    """A value in this process: an array, or a RowSparseArray, of its own."""

    is_sharded = False

    def __init__(self, value: Any, key: Any) -> None:
        is_sparse = isinstance(value, RowSparseArray)
        self.value: Any = value.coalesce() if is_sparse else np.array(value)
        self.key, self.is_sparse = key, is_sparse
        self.shape: tuple[int, ...] = value.shape
        self.dtype = np.dtype(value.dtype)

    def read(self) -> Array:
        """All of it: a copy."""
        found: Array = self.value.todense() if isinstance(self.value, RowSparseArray) else self.value.copy()
        return found

    def rows(self, ids: Array) -> Array:
        """The rows `ids` (n,), in order, as (n, *shape[1:])."""
        if not isinstance(self.value, RowSparseArray):
            return np.array(self.value[ids])
        found = np.zeros((len(ids), *self.shape[1:]), self.dtype)
        own = self.value.indices
        at = np.searchsorted(own, ids)
        has = at < len(own)
        has[has] = own[at[has]] == ids[has]
        found[has] = self.value.data[at[has]]
        return found

    def stored(self) -> Array:
        """Which rows there are, in order."""
        found: Array = (
            self.value.indices
            if isinstance(self.value, RowSparseArray)
            else np.arange(self.shape[0], dtype=np.int64)
        )
        return found

    def write(self, value: Any) -> None:
        """Have another value of the same shape."""
        if self.is_sparse and isinstance(value, RowSparseArray):
            self.value = value.coalesce().copy()
        elif self.is_sparse:
            self.value = _whole_rows(np.array(value, self.dtype))
        else:
            self.value[...] = value.todense() if isinstance(value, RowSparseArray) else value

    def update(self, updater: Any, grad: Any) -> None:
        """Have `updater` change it in place: with all rows, if it has rows."""
        if self.is_sparse and len(self.value.indices) < self.shape[0]:
            self.value = _whole_rows(self.read())
        is_plain = isinstance(updater, Updater) or not isinstance(grad, RowSparseArray)
        updater(self.key, grad if is_plain else grad.coalesce(), self.value)

    def release(self) -> None:
        """Nothing is kept elsewhere."""


def _whole_rows(value: Array) -> RowSparseArray:
    return RowSparseArray(value, np.arange(len(value)), value.shape, canonical=True)


@dataclass(frozen=True)
class Layout:
    """How an array lies in rows of a table: `n` rows of `dim` elements. Where it is cut between elements, zeros fill
    the last row.

    `first`: ids are so many numbers from there on, in the order in which shards split them: so each has a run of rows,
    and they are sent as they lie. None: the id of a row is its number, since rows come one by one."""

    shape: tuple[int, ...]
    first: int | None
    n: int
    dim: int

    @cached_property
    def ids(self) -> Array:
        """Of all rows, in order."""
        if self.first is None:
            return np.arange(self.n)
        return in_buckets(np.arange(self.first, self.first + self.n))

    def ids_of(self, rows: Array) -> Array:
        """Of rows (k,)."""
        return rows if self.first is None else self.ids[rows]

    def rows(self, array: Any, dtype: Any) -> Array:
        """An array of the shape as rows (n, dim)."""
        flat = np.ascontiguousarray(array, dtype).reshape(-1)
        if flat.size < self.n * self.dim:
            flat = np.concatenate([flat, np.zeros(self.n * self.dim - flat.size, flat.dtype)])
        return flat.reshape(self.n, self.dim)

    def whole(self, rows: Array, shape: tuple[int, ...] | None = None) -> Array:
        """Rows (n, dim) as the array; or what is kept beside each row as an array of another shape."""
        shape = self.shape if shape is None else shape
        return rows.reshape(-1)[: math.prod(shape)].reshape(shape)


def layout_for(steps: Steps, shape: tuple[int, ...], is_sparse: bool, first: int) -> Layout:
    """Rows that the rule may be run on one by one. RuleError if there are none: it looks at more than a row."""
    extent = span(steps.update)
    size, tail = math.prod(shape), max(math.prod(shape[1:]), 1)
    if extent == Extent.TENSOR or steps.op.is_matrix or not size:
        raise RuleError(f"{steps.op.name} looks at whole tensors")
    if is_sparse and steps.op.standard:
        raise RuleError(f"{steps.op.name} moves some of what it keeps in every row")
    if is_sparse:
        return Layout(shape, None, shape[0], tail)
    if extent == Extent.ROW or (len(shape) > 1 and steps.is_lazy):
        return Layout(shape, first, size // tail, tail)
    most = min(size, CHUNK)
    dim = next(
        (d for d in range(most, most // 8, -1) if size % d == 0), most
    )  # else rows are copied to be filled up
    return Layout(shape, first, -(-size // dim), dim)


class Sharded:
    """A value whose rows, and what the rule keeps for them, are in a ShardedTable.

    A 16-bit value with `multi_precision` has rows of float32, which are rounded when they are read."""

    is_sharded = True

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        steps: Steps,
        held: Held,
        *,
        first: int,
        wire: Wire,
        resumes: bool,
    ) -> None:
        self.shape, self.dtype, self.is_sparse = held.shape, held.dtype, held.is_sparse
        self.key, self.steps = held.key, steps
        self.layout = layout_for(steps, self.shape, self.is_sparse, first)
        self._wide = np.dtype(np.float32) if self.dtype.name in NARROW else self.dtype
        segment = Segment(self.layout.dim, steps.op, clock="table", dtype=self._wide.name, **steps.given)
        self.table = ShardedTable(cluster, segment, wire=wire, engine=steps.engine, name=name)
        if not self.is_sparse:
            self.table._know(self.layout.ids)
        if resumes:
            self._resume()
        else:
            self._begin(held)

    def _resume(self) -> None:
        n = len(self.table)
        if not self.is_sparse and (n != self.layout.n or not self.table.contains(self.layout.ids).all()):
            raise MismatchError(
                f"key {self.key!r} has {n} rows in the checkpoint, and {self.layout.n} with {self.shape}"
            )
        self.steps.resume(self.table.steps)

    def _begin(self, held: Held) -> None:
        if isinstance(held.value, RowSparseArray):
            ids = held.value.indices
            rows = held.value.data.reshape(len(ids), self.layout.dim).astype(self._wide)
        else:
            ids, rows = self.layout.ids, self.layout.rows(held.value, self._wide)
        self.table.assign(ids, rows)
        update = self.steps.update
        copies = [n for n in self.steps.op.states if first_value(update, n) == "weight"]
        if copies:
            self._put(ids, {f"0/{n}": rows for n in copies})

    def _put(self, ids: Array, columns: Mapping[str, Array]) -> None:
        with self.table._batch():
            self.table._carry_out(NONE, Put(ids, columns, 0, anew=False))

    @property
    def done(self) -> int:
        """Updates by this optimizer."""
        return self.table.steps

    def read(self) -> Array:
        """All of it: a copy."""
        return self.layout.whole(self.table.lookup(self.layout.ids)).astype(self.dtype, copy=False)

    def rows(self, ids: Array) -> Array:
        """See Held."""
        if self.layout.dim != max(math.prod(self.shape[1:]), 1):
            return np.array(self.read()[ids])
        found = self.table.lookup(self.layout.ids_of(ids))
        return np.asarray(found.reshape(len(ids), *self.shape[1:]).astype(self.dtype, copy=False))

    def stored(self) -> Array:
        """See Held."""
        return np.sort(self.table.ids()) if self.is_sparse else np.arange(self.shape[0], dtype=np.int64)

    def check(self, grad: Any) -> None:
        """StorageError for listed rows of a value that is not cut between rows."""
        if self.is_sparse or not isinstance(grad, RowSparseArray) or not self.steps.is_lazy:
            return
        if self.steps.op.standard or self.layout.dim != max(math.prod(self.shape[1:]), 1):
            raise StorageError(
                f"key {self.key!r} is cut between elements, and {self.steps.op.name} touches listed rows only: "
                "initialize it with a RowSparseArray"
            )

    def update(self, grad: Any, asked: Asked) -> None:
        """One step of the optimizer, which asks nobody to wait. Nothing is counted when this raises."""
        done = self.steps.begin(asked)
        if isinstance(
            grad, RowSparseArray
        ):  # repeated rows are added in the dtype of the table, not of the gradient
            grad = RowSparseArray(grad.data.astype(self._wide, copy=False), grad.indices, grad.shape)
        if isinstance(grad, RowSparseArray) and self.steps.is_lazy:
            ids = self.layout.ids_of(grad.indices)
            self.table.push(ids, grad.data.reshape(len(ids), self.layout.dim), global_step=done)
        else:
            whole = grad.todense() if isinstance(grad, RowSparseArray) else grad
            rows = self.layout.rows(whole, self._wide)
            if self.is_sparse:
                self.table.push(self.layout.ids, rows, global_step=done)
            else:
                self.table._push_known(rows, done)
        self.steps.end(asked)

    def release(self) -> None:
        """Give the rows up."""
        self.table.evict(self.table.ids())

    # ---- what the rule keeps

    def _types(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return state_types(self.steps.update, self.shape, self._wide.name)

    def states(self) -> dict[str, Array]:
        """The states by name, whole, as an Updater has them; rows that never came have what they would begin with."""
        found = self.table.lookup_entry(self.layout.ids)
        at = np.flatnonzero(found.hits)
        made = {}
        for name, (shape, dtype) in self._types().items():
            first = first_value(self.steps.update, name)
            width = found.states[f"0/{name}"].shape[1]
            rows = np.full((self.layout.n, width), 0 if isinstance(first, str) else first, to_numpy(dtype))
            rows[at] = found.states[f"0/{name}"]
            made[name] = self.layout.whole(rows, shape)
        if self.dtype.name in NARROW:
            made["weight32"] = self.layout.whole(self.table.lookup(self.layout.ids))
        return made

    def load_states(self, states: Mapping[str, Array]) -> None:
        """Have other states, of all rows."""
        ids = self.layout.ids
        columns = {}
        for name in self._types():
            flat = states[name].reshape(-1)
            width = -(-flat.size // self.layout.n)
            columns[f"0/{name}"] = Layout(flat.shape, None, self.layout.n, width).rows(flat, flat.dtype)
        if columns:
            self._put(ids, columns)
        if "weight32" in states:
            self.table.assign(ids, self.layout.rows(states["weight32"], self._wide))

"""Ids of several tables for several shards in one vector, and their rows in another, laid out as Monolith sends them.

Shard by shard, and in each shard table by table, in the order of names. A cell is what one shard has of one table;
cells are numbered shard * n_tables + table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, DTypeError, ShapeError, UnknownArgumentError, near
from ..idmap import Unique, sum_by, unique
from .batches import Array, Ids, ids_of, rows_of
from .shards import Split, checked_count, split_by_shard


class Fused(NamedTuple):
    """Rows of several tables in one vector: `embeddings`; how many numbers of it each shard has, `recv_splits`
    (n_shards,); and where each cell begins among the ids and among the numbers, the last entry being where they end:
    `id_offsets` and `emb_offsets` (n_shards * n_tables + 1,)."""

    embeddings: Array
    recv_splits: Ids
    id_offsets: Ids
    emb_offsets: Ids


class Cells:
    """Where the ids and numbers of tables are in the two vectors. `sizes`: of cells, in ids; `dims`: of the tables."""

    def __init__(self, dims: Sequence[int], sizes: npt.ArrayLike, n_shards: int, what: str) -> None:
        self.n_shards, self.n_tables, self.what = checked_count(n_shards, what), len(dims), what
        counts, _ = ids_of(sizes, f"{what}: sizes")
        if len(counts) != self.n_shards * self.n_tables:
            raise ShapeError(
                f"{what}: {self.n_tables} tables and {n_shards} shards need {self.n_shards * self.n_tables} sizes, "
                f"got {len(counts)}"
            )
        if len(counts) and counts.min() < 0:
            raise AttributeValueError(f"{what}: a size is at least 0, got {counts.min()}")
        widths = counts * np.tile(np.asarray(dims, np.int64), self.n_shards)
        self.dims, self.id_offsets, self.emb_offsets = dims, _offsets(counts), _offsets(widths)
        self.recv_splits: Ids = widths.reshape(self.n_shards, -1).sum(1)

    def ids(self, given: npt.ArrayLike) -> list[Ids]:
        """The ids of each table, its cells one after the other."""
        flat, _ = ids_of(given, f"{self.what}: ids")
        self._check("ids", flat.shape, self.id_offsets)
        return [_joined(flat, self._cells(self.id_offsets, k)) for k in range(self.n_tables)]

    def rows(self, given: npt.ArrayLike, dtype: np.dtype[Any]) -> list[Array]:
        """The rows (n, dim) of each table."""
        flat = np.asarray(given)
        self._check("numbers", flat.shape, self.emb_offsets)
        flat = rows_of(flat[:, None], flat.shape, 1, dtype, f"{self.what}: numbers")[:, 0]
        parts = [_joined(flat, self._cells(self.emb_offsets, k)) for k in range(self.n_tables)]
        return [part.reshape(-1, dim) for part, dim in zip(parts, self.dims, strict=True)]

    def fused(self, rows: Sequence[Array], dtype: np.dtype[Any]) -> Fused:
        """Rows of each table, as `ids` has them, in one vector."""
        found = np.empty(int(self.emb_offsets[-1]), dtype)
        for k, table in enumerate(rows):
            _share(table.reshape(-1), found, self._cells(self.emb_offsets, k))
        return Fused(found, self.recv_splits, self.id_offsets, self.emb_offsets)

    def _cells(self, offsets: Ids, table: int) -> list[slice]:
        bounds = offsets.tolist()
        return [slice(bounds[c], bounds[c + 1]) for c in range(table, len(bounds) - 1, self.n_tables)]

    def _check(self, what: str, shape: tuple[int, ...], offsets: Ids) -> None:
        if shape != (offsets[-1],):
            raise ShapeError(f"{self.what}: the sizes say {offsets[-1]} {what} in one vector, got {shape}")


class Parcel:
    """Ids by name, each once, sorted for shards: what goes out to them, and what comes back.

    `ids` and `sizes` are what `Tables.fused_lookup` and `Tables.fused_apply_gradients` take.
    """

    def __init__(
        self,
        ids: Mapping[str, npt.ArrayLike],
        dims: Mapping[str, int],
        n_shards: int,
        dtype: np.dtype[Any],
        what: str,
    ) -> None:
        self.names, self.dtype, self.what = list(dims), dtype, what
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._once: dict[str, Unique] = {}
        self._splits: dict[str, Split] = {}
        for name in self.names:
            flat, self.shapes[name] = ids_of(ids.get(name, ()), f"{what}: ids of {name!r}")
            self._once[name] = unique(flat)
            self._splits[name] = split_by_shard(self._once[name].ids, n_shards)
        splits = list(self._splits.values())
        self.sizes: Ids = np.stack([s.sizes for s in splits], axis=1).reshape(-1)
        self._cells = Cells(list(dims.values()), self.sizes, n_shards, what)
        flat_cells = Cells([1] * len(dims), self.sizes, n_shards, what)
        self.ids: Ids = flat_cells.fused([s.ids for s in splits], np.dtype(np.int64)).embeddings

    def gather(self, embeddings: npt.ArrayLike) -> dict[str, Array]:
        """The rows that came back, in one vector, for the ids of each name: (*shape, dim)."""
        parts = dict(zip(self.names, self._cells.rows(embeddings, self.dtype), strict=True))
        return {
            name: self._splits[name]
            .gather(part)[self._once[name].inverse]
            .reshape(*self.shapes[name], part.shape[1])
            for name, part in parts.items()
        }

    def sums(self, grads: Mapping[str, npt.ArrayLike]) -> Array:
        """Gradients (*shape, dim) by name, those of equal ids added in the order of the batch, in one vector."""
        rows = []
        for name, dim in zip(self.names, self._cells.dims, strict=True):
            shape, once = self.shapes[name], self._once[name]
            given = grads.get(name, np.zeros((*shape, dim), self.dtype))
            its = rows_of(given, shape, dim, self.dtype, f"{self.what}: gradients of {name!r}")
            rows.append(self._splits[name].scatter(sum_by(once.inverse, len(once.ids), its)))
        known_names(grads, self.names, self.what)
        return self._cells.fused(rows, self.dtype).embeddings


def one_dtype(dtypes: Mapping[str, np.dtype[Any]], what: str) -> np.dtype[Any]:
    """The dtype that all tables have. DTypeError if they differ: one vector can't hold them."""
    found = set(dtypes.values())
    if len(found) > 1:
        said = ", ".join(f"{name}: {dtype}" for name, dtype in dtypes.items())
        raise DTypeError(f"{what}: one vector holds numbers of one dtype, and the tables have {said}")
    return found.pop()


def known_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """UnknownArgumentError for the first name that no table has; AttributeValueError for what is no dict."""
    if not isinstance(given, Mapping):
        raise AttributeValueError(f"{what}: expected a dict by names of tables, got {type(given).__name__}")
    for name in given:
        if name not in known:
            raise UnknownArgumentError(
                f"{what}: no table is called {name!r}{near(str(name), known)}; there are {', '.join(known)}"
            )


def _offsets(counts: Ids) -> Ids:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _joined(flat: Array, cells: Sequence[slice]) -> Array:
    return flat[cells[0]] if len(cells) == 1 else np.concatenate([flat[cell] for cell in cells])


def _share(flat: Array, out: Array, cells: Sequence[slice]) -> None:
    """Write a vector to cells, one after the other."""
    at = 0
    for cell in cells:
        n = cell.stop - cell.start
        out[cell] = flat[at : at + n]
        at += n

"""A table as a worker sees it: ids and gradients cut by shard, and rows put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..embedding.batch import Part, summed
from ..embedding.batches import Array, Ids, ids_of, rows_of
from ..embedding.checks import unknown
from ..embedding.shards import Split
from ..errors import AttributeValueError
from ..idmap import unique
from ..idmap.given import chosen_engine
from .partition import Partition
from .wire import narrowed


class Ask(NamedTuple):
    """Ids that rows are wanted of: in their shape and as (n,); each once, as `split` has them by shard; and where in
    those each is."""

    shape: tuple[int, ...]
    ids: Ids
    split: Split
    inverse: Ids

    def cut(self) -> list[Ids]:
        """The ids for each shard."""
        return [self.split.ids[self.split.shard(k)] for k in range(len(self.split.sizes))]


class Rows(NamedTuple):
    """Rows (n, dim) of the ids of an Ask, each once, in order of first occurrence; and which had one, (n,)."""

    rows: Array
    hits: npt.NDArray[np.bool_]


class View:
    """What a worker knows of table `name`: `said` is its share of the worker's config, plain data."""

    def __init__(self, name: str, said: Mapping[str, Any]) -> None:
        self.name, self.missing, self.wire = name, said["missing"], said["wire"]
        self.dim, self.dtype = int(said["dim"]), np.dtype(said["dtype"])
        self._is_native = chosen_engine(said["engine"]) == "native"
        self._is_summed, self._is_whole = said["duplicates"] == "sum", said["whole"]

    def ask(self, ids: Any, partition: Partition) -> Ask:
        """Ids of any shape that a step function wants rows of."""
        flat, shape = ids_of(ids, f"{self.name}: ids")
        found = unique(flat)
        # the function may write to its own while it waits
        return Ask(shape, flat.copy(), partition.split(found.ids), found.inverse)

    def gathered(self, ask: Ask, pulled: Sequence[tuple[Array, Any]]) -> Rows:
        """What the shards answered that have any of the ids, in their order."""
        n = len(ask.split.ids)
        rows, hits = np.empty((n, self.dim), self.dtype), np.ones(n, np.bool_)
        asked = [k for k, size in enumerate(ask.split.sizes) if size]
        for k, (its, had) in zip(asked, pulled, strict=True):
            at = ask.split.given(k)
            rows[at] = its
            if had is not None:
                hits[at] = had
        return Rows(rows, hits)

    def absent(self, ask: Ask, found: Rows) -> Ids:
        """The ids that have to get a row before the function sees it; UnknownIdError if there must be none."""
        if self.missing == "zeros" or found.hits.all():
            return np.empty(0, np.int64)
        absent = ask.split.gather(ask.split.ids)[~found.hits]
        if self.missing == "raise":
            raise unknown(absent, self.name)
        return absent

    def shown(self, ask: Ask, found: Rows) -> Array:
        """The rows as the function gets them: its own, of the shape of the ids, and (dim,)."""
        is_once = len(found.rows) == len(ask.ids)
        return (found.rows if is_once else found.rows[ask.inverse]).reshape(*ask.shape, self.dim)

    def cut(self, ids: Any, grads: Any, partition: Partition) -> list[tuple[Ids, Array] | None]:
        """Gradients for each shard: those of equal ids added in their order, as they are sent; None for a shard that
        has none. For a table whose driver has to see all ids: one part for all, in full width."""
        flat, shape = ids_of(ids, f"{self.name}: ids of gradients")
        rows = rows_of(grads, shape, self.dim, self.dtype, f"{self.name}: gradients")
        if self._is_summed:
            found, rows = summed(flat, [Part(flat, rows, None)], self._is_native)
            flat = found.ids
        else:
            flat = flat.copy()  # the function may write to its own
        if self._is_whole or partition.n_shards == 1:
            sent = rows if self._is_whole else narrowed(rows, self.wire)
            part = (flat, _own(sent, grads)) if len(flat) else None
            return [part] + [None] * (partition.n_shards - 1)
        split = partition.split(flat)
        sent = _own(split.scatter(narrowed(rows, self.wire)), grads)
        return [
            (split.ids[split.shard(k)], sent[split.shard(k)]) if size else None
            for k, size in enumerate(split.sizes)
        ]


def _own(array: Array, given: Any) -> Array:
    """An array that the function, which may write to what it gave, can't reach."""
    return array.copy() if np.may_share_memory(array, np.asarray(given)) else array


def gradients(view: View, given: Any, asked: Sequence[Ask]) -> tuple[Any, Any]:
    """What a function returned for a table: a pair of ids and gradients, or gradients of the ids that it asked for."""
    if isinstance(given, tuple):
        if len(given) != 2:
            raise AttributeValueError(
                f"{view.name}: a pair of ids and gradients is returned, got {len(given)} things"
            )
        return given
    if len(asked) != 1:
        raise AttributeValueError(
            f"{view.name}: gradients were returned without ids, which were asked for {len(asked)} times: return a "
            "pair of ids and gradients"
        )
    return asked[0].ids.reshape(asked[0].shape), given

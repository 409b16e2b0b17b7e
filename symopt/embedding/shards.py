"""Who owns an id among several shards, and the way there and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import AttributeValueError, ShapeError
from .batches import Array, Ids, ids_of


def shard_of(ids: npt.ArrayLike, n_shards: int) -> Ids:
    """The shard that owns each id, 0 to n_shards - 1: the remainder of the id, as it is in mathematics, so -1 belongs
    to the last shard. In the shape of `ids`.

    >>> shard_of([0, 5, -1], 3)
    array([0, 2, 2])
    """
    flat, shape = ids_of(ids, "shard_of")
    return np.remainder(flat, np.int64(checked_count(n_shards, "shard_of"))).reshape(shape)


class Split(NamedTuple):
    """Ids (n,) sorted by their shards, in each in the order that they were given in; how many each shard has
    (n_shards,); and for each its place among the ids that were given (n,). `places` is None for ids that were given in
    this order: then what belongs to them stays where it is."""

    ids: Ids
    sizes: Ids
    places: Ids | None

    def shard(self, k: int) -> slice:
        """Where the ids of shard `k` are: `split.ids[split.shard(k)]`."""
        begin = int(self.sizes[:k].sum())
        return slice(begin, begin + int(self.sizes[k]))

    def given(self, k: int) -> Any:
        """Where the ids of shard `k` are among those that were given: what an array is indexed with."""
        own = self.shard(k)
        return own if self.places is None else self.places[own]

    def scatter(self, rows: npt.ArrayLike) -> Array:
        """What belongs to the given ids, (n, ...), sorted like `ids`; not a copy if that is the order already."""
        array = self._rows(rows)
        if self.places is None:
            return array
        found: Array = np.take(array, self.places, axis=0)  # several times as fast as an index
        return found

    def gather(self, rows: npt.ArrayLike) -> Array:
        """What belongs to `ids`, (n, ...), in the order that they were given in; not a copy if that is the same."""
        sorted_rows = self._rows(rows)
        if self.places is None:
            return sorted_rows
        back = np.empty_like(sorted_rows)
        back[self.places] = sorted_rows
        return back

    def _rows(self, rows: npt.ArrayLike) -> Array:
        array = np.asarray(rows)
        if array.shape[:1] != self.ids.shape:
            raise ShapeError(f"one row for each of {len(self.ids)} ids is needed, got shape {array.shape}")
        return array


def split_by_shard(ids: npt.ArrayLike, n_shards: int) -> Split:
    """Sort ids (n,) by the shard that owns them.

    >>> split = split_by_shard([0, 1, 2, 2, 3], 3)
    >>> split.ids, split.sizes
    (array([0, 3, 1, 2, 2]), array([2, 1, 2]))
    >>> split.gather(split.ids * 10)
    array([ 0, 10, 20, 20, 30])
    """
    flat, _ = ids_of(ids, "split_by_shard")
    owners = shard_of(flat, n_shards)
    places = np.argsort(owners, kind="stable")
    return Split(flat[places], np.bincount(owners, minlength=n_shards).astype(np.int64), places)


def checked_count(n_shards: Any, what: str) -> int:
    """A number of shards."""
    if (
        isinstance(n_shards, bool)
        or not isinstance(n_shards, int | np.integer)
        or not 1 <= n_shards < 1 << 31
    ):
        raise AttributeValueError(f"{what}: a number of shards is at least 1, below 2**31, got {n_shards!r}")
    return int(n_shards)

"""Which shard owns an id: ids are mixed into 65,536 buckets, and buckets belong to shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..embedding.batches import Ids, ids_of
from ..embedding.mixing import mixed
from ..embedding.options import whole
from ..embedding.shards import Split
from ..errors import FormatError

N_BUCKETS = 1 << 16
HASH = "splitmix64, lower 16 bits"  # what checkpoints say of the way from ids to buckets
_MASK = np.uint64(N_BUCKETS - 1)
_FORMAT = "symopt partition"


def bucket_of(ids: npt.ArrayLike) -> Ids:
    """The bucket of each id, 0 to 65535, in the shape of `ids`: the lower 16 bits of splitmix64's first number for it.
    It never changes, whatever the number of shards.

    >>> bucket_of([0, 1, -1, 10**12])
    array([52655, 23745, 11296,  2424])
    """
    flat, shape = ids_of(ids, "bucket_of")
    return _buckets(flat).reshape(shape)


def _buckets(ids: Ids) -> Ids:
    found: Ids = (mixed(ids) & _MASK).view(np.int64)
    return found


def in_buckets(ids: Ids) -> Ids:
    """Ids (n,) in the order of their buckets: the order in which all partitions without pins split them, whatever the
    number of shards. What belongs to them, in this order, is cut and not sorted.

    >>> in_buckets(np.array([0, 1, -1, 10**12])).tolist()
    [1000000000000, -1, 1, 0]
    """
    found: Ids = ids[np.argsort(_buckets(ids), kind="stable")]
    return found


class Known:
    """Ids (n,), each once, that come again and again, always in the array `ids`: how a partition splits them is found
    once."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._found: tuple[Partition, Split] | None = None

    def split(self, partition: Partition) -> Split:
        """See Partition.split."""
        if self._found is None or self._found[0] is not partition:
            self._found = partition, partition.split(self.ids)
        return self._found[1]


class Partition:
    """A map from buckets to shards: shard `k` of `n` has the k-th n-th of the buckets, but for those that are pinned.

    n_shards: 1 to 65536. pins: the shard of buckets that are to be elsewhere, such as hot ones. version: how often the
    map was changed; processes that talk to each other must have the same.

    >>> partition = Partition(4)
    >>> partition.owner([0, 1, -1, 10**12])
    array([3, 1, 0, 0])
    >>> partition.pinned({23745: 2}).owner([0, 1])
    array([3, 2])
    """

    def __init__(self, n_shards: int, pins: Mapping[int, int] | None = None, version: int = 0) -> None:
        self.n_shards = whole("a partition: n_shards", n_shards, 1, N_BUCKETS)
        self.pins = {
            whole("a partition: a pinned bucket", bucket, 0, N_BUCKETS - 1): whole(
                f"a partition: the shard of bucket {bucket}", shard, 0, self.n_shards - 1
            )
            for bucket, shard in sorted((pins or {}).items())
        }
        self.version = whole("a partition: version", version, 0)
        self._owners = (np.arange(N_BUCKETS) * self.n_shards // N_BUCKETS).astype(np.uint16)
        self._owners[list(self.pins)] = list(self.pins.values())

    def owner(self, ids: npt.ArrayLike) -> Ids:
        """The shard of each id, in the shape of `ids`."""
        flat, shape = ids_of(ids, "owner")
        return self._owners[_buckets(flat)].astype(np.int64).reshape(shape)

    def buckets(self, shard: int) -> Ids:
        """The buckets of a shard, ascending."""
        return np.flatnonzero(self._owners == shard)

    def owns(self, shard: int) -> Callable[[Ids], npt.NDArray[np.bool_]]:
        """A function of ids (n,) that says which of them, (n,), a shard has."""
        return partial(_owned, self, shard)

    def split(self, ids: Ids) -> Split:
        """Ids (n,) sorted by their shards, in each in the order that they were given in."""
        if self.n_shards == 1:
            return Split(ids, np.array([len(ids)]), None)
        owners = self._owners[_buckets(ids)]
        sizes = np.bincount(owners, minlength=self.n_shards)
        if not (owners[1:] < owners[:-1]).any():
            return Split(ids, sizes, None)
        places = np.argsort(owners, kind="stable")
        return Split(ids[places], sizes, places)

    def pinned(self, pins: Mapping[int, int]) -> Partition:
        """The next version, with these buckets at these shards too."""
        return Partition(self.n_shards, {**self.pins, **pins}, self.version + 1)

    def resized(self, n_shards: int) -> Partition:
        """The next version, with so many shards; pins to those that are left stay."""
        pins = {bucket: shard for bucket, shard in self.pins.items() if shard < n_shards}
        return Partition(n_shards, pins, self.version + 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return self.n_shards == other.n_shards and bool(np.array_equal(self._owners, other._owners))

    def __hash__(self) -> int:
        return hash(
            (self.n_shards, self._owners.tobytes())
        )  # a pin to where a bucket is anyway makes no other map

    def __repr__(self) -> str:
        pins = f", {len(self.pins)} buckets pinned" if self.pins else ""
        return f"<Partition version {self.version}: {self.n_shards} shards{pins}>"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for checkpoints and messages."""
        pins = {str(bucket): shard for bucket, shard in self.pins.items()}
        return {
            "format": _FORMAT,
            "hash": HASH,
            "buckets": N_BUCKETS,
            "shards": self.n_shards,
            "pins": pins,
            "version": self.version,
        }

    @classmethod
    def first(
        cls, before: Partition | None, n_shards: int | None, pins: Mapping[int, int] | None
    ) -> Partition:
        """What a cluster begins with: the map of its checkpoint, `before`, but for what it is told."""
        if before is None:
            return cls(1 if n_shards is None else n_shards, pins)
        n = before.n_shards if n_shards is None else n_shards
        after = before if n == before.n_shards else before.resized(n)
        return after.pinned(pins) if pins else after

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Partition:
        """What `as_dict` gave. FormatError for another hash or number of buckets, and for what is no partition."""
        own = {"format": _FORMAT, "hash": HASH, "buckets": N_BUCKETS}
        for name, value in own.items():
            if said.get(name) != value:
                raise FormatError(f"a partition: {name} is {value!r} here, got {said.get(name)!r}")
        try:
            pins = {int(bucket): shard for bucket, shard in said["pins"].items()}
            return cls(said["shards"], pins, said["version"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"a partition: {type(error).__name__}: {error}") from None


def _owned(partition: Partition, shard: int, ids: Ids) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = partition.owner(ids) == shard
    return found


def hottest(ids: npt.ArrayLike, n: int) -> dict[int, int]:
    """The `n` buckets that most of the ids fall into, and how many do: those that may be worth a pin.

    >>> hottest([5, 5, 5, 7], 1) == {int(bucket_of(5)): 3}
    True
    """
    counts = np.bincount(bucket_of(ids).reshape(-1), minlength=N_BUCKETS)
    most = np.argsort(-counts, kind="stable")[: whole("hottest: n", n, 1)]
    return {int(bucket): int(counts[bucket]) for bucket in most if counts[bucket]}

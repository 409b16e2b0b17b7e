"""KVStore: MXNet's push and pull, whose values and optimizer states are at the shards of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from .. import sparse
from ..dtypes import NARROW
from ..errors import AttributeValueError, MissingArgumentError, TooLateError, UnknownSlotError
from ..optimizer import Optimizer, Updater
from ..sparse import RowSparseArray
from .cluster import Cluster
from .joined import enter
from .kvback import Value
from .kvkeeping import KVKeeping
from .kvkept import Function, Kept
from .kvpairs import Key, as_key, as_out, as_row_ids, as_value, listed, merged, pairs, sorted_keys, write_out
from .kvvalues import Held

TYPES = ("local", "device", "dist", "dist_sync", "dist_device_sync")


class KVStore(KVKeeping):
    """Values by key that gradients are pushed to and weights pulled from, with MXNet's names.

    cluster: a `Cluster`, at whose shards values and states are as soon as there is an optimizer; by default one of a
        single shard in this process. `Cluster.checkpoint` writes all of it. If the checkpoint that the cluster began
        with has a key, `init` and `set_optimizer` take the value, the states and the counts from there.
    name: what its tables are called, and it in the cluster, where no other may have the name.

    A key is a whole number or a string; all are of one kind. Values are NumPy arrays, or others that NumPy can look at,
    or RowSparseArrays, as which a key then stays: a table with a row for each. Several values of one key, as from
    several devices, are added up in pairs of neighbours, then pairs of those.

    With an optimizer a push is an update, with the bits of `so.optimizer.Updater` for any number of shards. Where a
    rule looks at whole tensors (LAMB, LANS, LARS), weights are here and states at owners, as in ShardedOptimizer: one
    group of owners for all keys that are there when the optimizer is set. Optimizers that draw numbers (SGLD), have a
    `step` in NumPy or accumulate in 16 bits run in this process, and so do functions given to `set_updater`. Without
    either, a push replaces the value, which is here.

    >>> import numpy as np, symopt as so
    >>> with so.distributed.KVStore(so.distributed.Cluster(2)) as kv:
    ...     kv.init("w", np.ones((2, 2)))
    ...     kv.set_optimizer(so.optimizer.SGD(learning_rate=0.5))
    ...     kv.push("w", [np.ones((2, 2)), np.ones((2, 2))])
    ...     kv.pull("w")
    array([[0., 0.],
           [0., 0.]])
    """

    def __init__(self, cluster: Cluster | None = None, *, name: str = "kv", kind: str = "local") -> None:
        self._owns = cluster is None
        self.cluster = Cluster() if cluster is None else cluster
        self.name, self.type = name, kind
        self._kept = Kept(self.cluster, name)
        enter(self.cluster, name, self, self._begin)

    def __repr__(self) -> str:
        n = sum(value.is_sharded for value in self._kept.values.values())
        return f"<KVStore {self.name!r}: {len(self._kept.values)} keys, {n} of them at {self.cluster.n_shards} shards>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let owners of whole tensors go; and the cluster, if it was made by this."""
        with self.cluster.lock:
            self.cluster.joined.leave(self.name, self)
        for group in self._kept.groups():
            group.close()
        if self._owns:
            self.cluster.close()

    # ---- what it is

    @property
    def rank(self) -> int:
        """0: one process calls this, and pushes a list of what several gave."""
        return 0

    @property
    def num_workers(self) -> int:
        """1; see rank."""
        return 1

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, whose attributes can be assigned between pushes."""
        return self._kept.optimizer

    @property
    def keys(self) -> dict[Key, bool]:
        """All keys, and whether they are at the shards."""
        return {key: value.is_sharded for key, value in self._kept.values.items()}

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Whether it can do something: "optimizer" is all that MXNet asks for."""
        if str(capability).lower() != "optimizer":
            raise AttributeValueError(f"is_capable: MXNet knows 'optimizer', got {capability!r}")
        return True

    def barrier(self) -> None:
        """Wait until all shards have done all that was pushed."""
        self.cluster.settle()

    _barrier = barrier

    # ---- values

    def init(self, key: Any, value: Any) -> None:
        """Begin with these values: of one key, or of a list of keys a list. TooLateError for a key that has one."""
        given = pairs(key, value, "init")
        if len({type(k) for k in [*self._kept.values, *(k for k, _ in given)]}) > 1:
            raise AttributeValueError("init: keys are whole numbers or strings, not some of each")
        found = {}
        for k, v in given:
            if k in self._kept.values or k in found:
                raise TooLateError(f"init: key {k!r} has a value already")
            if isinstance(v, (list, tuple)) and len(v) == 1:
                v = v[0]
            found[k] = Held(as_value(v, *_own(v), f"init: the value of {k!r}"), k)
        self._kept.place(list(found.values()))

    def broadcast(self, key: Any, value: Any, out: Any, priority: int = 0) -> None:
        """`init`, and `pull` into `out`."""
        self.init(key, value)
        self.pull(key, out, priority)

    def push(self, key: Any, value: Any, priority: int = 0) -> None:
        """Add up the values of each key, and update with the sum; or have it as the new value, without an updater.

        Does not wait for shards. Bad input raises before anything is done. Keys are updated one after the other,
        numbers in their order and strings in that of `init`. `priority` means nothing here.
        """
        given: dict[Key, list[Any]] = {}
        for k, v in pairs(key, value, "push"):
            own = self._find(k, "push")
            what, dtypes = f"push: the value of {k!r}", self._dtypes(own)
            given.setdefault(k, []).extend(as_value(x, own.shape, dtypes, what) for x in listed(v))
        sums = {k: merged(given[k]) for k in sorted_keys(given, self._kept.values)}
        with self.cluster.lock:
            for k, grad in sums.items():
                own = self._kept.values[k]
                if not isinstance(own, Held):
                    own.check(grad)
            for k, grad in sums.items():
                self._kept.update(k, grad)

    def pull(self, key: Any, out: Any = None, priority: int = 0, ignore_sparse: bool = True) -> Any:
        """Write values into `out`: an array, or a list of them, for a key; for a list of keys a list of those.

        Without `out` new arrays are returned, which MXNet does not do. RowSparseArrays get all rows that are there;
        they are left alone with `ignore_sparse`.
        """
        if out is None:
            many = isinstance(key, (list, tuple))
            found = [self._find(as_key(k, "pull"), "pull").read() for k in (key if many else [key])]
            return found if many else found[0]
        for k, outs in pairs(key, out, "pull"):
            own = self._find(k, "pull")
            each = [x for x in listed(outs) if not (ignore_sparse and isinstance(x, RowSparseArray))]
            dense = [as_out(x, own.shape, f"pull: {k!r}") for x in each if not isinstance(x, RowSparseArray)]
            if dense:
                dense[0][...] = own.read()
            for array in dense[1:]:
                array[...] = dense[0]
            for array in each:
                if isinstance(array, RowSparseArray):
                    ids = own.stored()
                    write_out(array, own.rows(ids), ids, own.shape, f"pull: {k!r}")
        return None

    def pushpull(self, key: Any, value: Any, out: Any = None, priority: int = 0) -> None:
        """`push`, then `pull` into `out`, or into `value` if there is none."""
        self.push(key, value, priority)
        self.pull(key, value if out is None else out, priority, ignore_sparse=False)

    def row_sparse_pull(self, key: Any, out: Any = None, priority: int = 0, row_ids: Any = None) -> Any:
        """Write rows into `out`: RowSparseArrays get those of `row_ids`, each once and in order; dense arrays get zeros
        in the others.

        `row_ids`: whole numbers, in any order; a list of arrays for as many outs, or one for all. Without `out` a
        RowSparseArray is returned. RowIndexError for a row that there is not.
        """
        if row_ids is None:
            raise MissingArgumentError("row_sparse_pull: row_ids is missing")
        if out is None:
            own = self._find(as_key(key, "row_sparse_pull"), "row_sparse_pull")
            out = sparse.zeros(own.shape, own.dtype)
            self.row_sparse_pull(key, out, priority, row_ids)
            return out
        many = isinstance(key, (list, tuple))
        asked = pairs(key, row_ids, "row_sparse_pull") if many else [(key, row_ids)]
        for (k, outs), (_, ids) in zip(pairs(key, out, "row_sparse_pull"), asked, strict=True):
            self._pull_rows(k, listed(outs), ids)
        return None

    def _pull_rows(self, key: Key, outs: list[Any], row_ids: Any) -> None:
        what = f"row_sparse_pull: {key!r}"
        own = self._find(key, "row_sparse_pull")
        several = isinstance(row_ids, (list, tuple)) and any(hasattr(x, "__len__") for x in row_ids)
        given = list(row_ids) if several else [row_ids]
        ids = [as_row_ids(each, own.shape[0], what) for each in given]
        if len(ids) != 1 and len(ids) != len(outs):
            raise MissingArgumentError(
                f"{what}: {len(outs)} outs need as many row_ids, or one; got {len(ids)}"
            )
        rows = [own.rows(each) for each in ids]
        for k, out in enumerate(outs):
            at = k if len(ids) > 1 else 0
            write_out(out, rows[at], ids[at], own.shape, what)

    def _find(self, key: Key, what: str) -> Value:
        if key not in self._kept.values:
            raise UnknownSlotError(f"{what}: key {key!r} has no value: call init first")
        return self._kept.values[key]

    def _dtypes(self, value: Value) -> list[str]:
        own = value.dtype.name
        copied = self.optimizer is not None and self.optimizer.multi_precision and own in NARROW
        return [own, "float32"] if copied else [own]

    # ---- updates

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Update values with an optimizer from now on, which counts and keeps states anew. Its numbers are asked here
        at each push, and sent: nothing is pickled."""
        if not isinstance(optimizer, Optimizer):
            raise AttributeValueError(f"set_optimizer: give an so.optimizer.Optimizer, got {optimizer!r}")
        self._kept.replace(Updater(optimizer))

    def set_updater(self, updater: Function) -> None:
        """Have `updater(key, sum, value)` change values in place from now on: arrays in this process, and of a key that
        began with rows a RowSparseArray with all rows."""
        if not callable(updater):
            raise AttributeValueError(f"set_updater: give a function of key, sum and value, got {updater!r}")
        self._kept.replace(updater)

    _set_updater = set_updater

    def set_gradient_compression(self, compression_params: Mapping[str, Any]) -> None:
        """Send gradients as 16 bits: {"type": "float16"} or {"type": "bfloat16"}. Before values are at the shards.

        MXNet's "1bit" and "2bit", which keep what they leave out for the next push, are refused."""
        kind = compression_params.get("type")
        if kind not in ("float16", "bfloat16"):
            raise AttributeValueError(
                f"set_gradient_compression: type is 'float16' or 'bfloat16', got {kind!r}: fewer bits would need what "
                "was left out of each push to be kept by who pushes"
            )
        if set(compression_params) != {"type"}:
            raise AttributeValueError("set_gradient_compression: nothing but type can be given")
        if any(value.is_sharded for value in self._kept.values.values()):
            raise TooLateError(
                "set_gradient_compression: values are at the shards: call it before set_optimizer"
            )
        self._kept.wire = kind


def _own(value: Any) -> tuple[tuple[int, ...], list[str]]:
    """The shape and dtype that a first value has."""
    if not hasattr(value, "shape"):
        raise AttributeValueError(f"init: a value is an array or a RowSparseArray, got {value!r}")
    name = getattr(value.dtype, "name", None) or str(value.dtype).rpartition(".")[2]
    return tuple(value.shape), [name]


def create(name: str = "local", *, cluster: Cluster | None = None) -> KVStore:
    """A KVStore by MXNet's names: "local" and "device" have a shard in this process unless a cluster is given, "dist",
    "dist_sync" and "dist_device_sync" need one. AttributeValueError for others.

    >>> create("local")
    <KVStore 'kv': 0 keys, 0 of them at 1 shards>
    """
    if name not in TYPES:
        hint = ": updates are made in one order, whoever comes first" if "async" in str(name) else ""
        raise AttributeValueError(f"create: {name!r} is none of {', '.join(TYPES)}{hint}")
    if name.startswith("dist") and cluster is None:
        raise MissingArgumentError(
            f"create: {name!r} needs a cluster=, such as so.distributed.Cluster(2, ray=True)"
        )
    return KVStore(cluster, kind=name)

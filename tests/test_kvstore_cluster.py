"""A KVStore in the checkpoints of its cluster: resumed whole, and taken back, wherever its keys are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from losing import Losing
from test_kvstore import SOME, made, same, same_state

import symopt as so
from symopt.distributed import Cluster, KVStore
from symopt.errors import AttributeValueError, MismatchError, StateError, TooLateError
from symopt.sparse import RowSparseArray

SHAPE = (6, 5)


def first(key: int) -> Any:
    return np.random.default_rng(key).standard_normal(SHAPE).astype(np.float32)


def grad(k: int, key: int) -> Any:
    return np.random.default_rng([k, key]).standard_normal(SHAPE).astype(np.float32)


def push(kv: KVStore, k: int) -> None:
    """Key 0 is pushed at every other step, so that counts differ."""
    keys = [0, 1] if k % 2 else [1]
    kv.push(keys, [grad(k, key) for key in keys])


def store(cluster: Cluster, name: str, is_blank: bool = False) -> KVStore:
    kv = KVStore(cluster)
    kv.init([0, 1], [np.zeros(SHAPE, np.float32) if is_blank else first(key) for key in (0, 1)])
    kv.set_optimizer(made(name))
    return kv


def whole(name: str, n: int) -> KVStore:
    kv = store(Cluster(1), name)
    for k in range(n):
        push(kv, k)
    return kv


def alike(kv: KVStore, other: KVStore) -> None:
    for key in (0, 1):
        same(kv.pull(key), other.pull(key))
    same_state(kv.state_dict(), other.state_dict())
    drawn: list[Any] = [getattr(x.optimizer, "generator", None) for x in (kv, other)]
    if drawn[0] is not None:
        assert drawn[0].bit_generator.state == drawn[1].bit_generator.state


@pytest.mark.parametrize("is_lossy", [False, True])
@pytest.mark.parametrize("name", SOME)
def test_it_is_resumed_whole(tmp_path: Path, name: str, is_lossy: bool) -> None:
    with Cluster(2, path=tmp_path, transport=Losing() if is_lossy else None) as cluster:
        kv = store(cluster, name)
        for k in range(5):
            push(kv, k)
        cluster.checkpoint()
        assert kv.told() in cluster.status().joined
        push(kv, 9)
    with Cluster(3, path=tmp_path) as cluster:
        kv = store(cluster, name, is_blank=True)
        alike(kv, whole(name, 5))
        for k in range(5, 8):
            push(kv, k)
        alike(kv, whole(name, 8))


@pytest.mark.parametrize("name", SOME)
def test_it_goes_back_and_is_resharded(tmp_path: Path, name: str) -> None:
    with Cluster(2, path=tmp_path) as cluster:
        kv = store(cluster, name)
        with pytest.raises(TooLateError, match="has kv"):
            cluster.restore()
        for k in range(3):
            push(kv, k)
        cluster.checkpoint()
        kv.init(2, first(2))
        for _ in range(2):
            push(kv, 9)
            cluster.restore()
            assert 2 not in kv.keys
            alike(kv, whole(name, 3))
        push(kv, 3)
        cluster.reshard(3)
        push(kv, 4)
        alike(kv, whole(name, 5))


def test_a_checkpoint_before_the_optimizer_is_set_again_loses_nothing(tmp_path: Path) -> None:
    for name in ("sgld", "lamb", "sgd momentum"):
        path = tmp_path / name
        with Cluster(2, path=path) as cluster:
            kv = store(cluster, name)
            for k in range(3):
                push(kv, k)
            cluster.checkpoint()
        with Cluster(path=path) as cluster:
            kv = KVStore(cluster)
            kv.init(0, np.zeros(SHAPE, np.float32))
            cluster.checkpoint()
        with Cluster(path=path) as cluster:
            alike(store(cluster, name, is_blank=True), whole(name, 3))


def test_values_without_an_optimizer(tmp_path: Path) -> None:
    rows = RowSparseArray(np.ones((2, 3), np.float32), np.array([1, 4]), (6, 3))
    with Cluster(1, path=tmp_path) as cluster:
        kv = KVStore(cluster)
        kv.init(["dense", "rows"], [np.zeros(3), so.sparse.zeros((6, 3), "float32")])
        kv.push(["dense", "rows"], [np.arange(3.0), rows])
        cluster.checkpoint()
        kv.push("dense", np.zeros(3))
        cluster.restore()
        same(kv.pull("dense"), np.arange(3.0))
    with Cluster(path=tmp_path) as cluster:
        kv = KVStore(cluster)
        with pytest.raises(MismatchError, match="'dense'"):
            kv.init("dense", np.zeros(4))
        kv.init(["dense", "rows"], [np.zeros(3), so.sparse.zeros((6, 3), "float32")])
        same(kv.pull("dense"), np.arange(3.0))
        same(kv.pull("rows"), rows.todense())
        kv.set_optimizer(so.optimizer.SGD(learning_rate=1.0))
        kv.push("dense", np.ones(3))
        same(kv.pull("dense"), np.arange(3.0) - 1)


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    with Cluster(1, path=tmp_path) as cluster:
        kv = store(cluster, "lamb")
        push(kv, 1)
        with pytest.raises(AttributeValueError, match="'kv' already"):
            KVStore(cluster)
        cluster.checkpoint()
    for name in ("sgd", "sgld", "lars"):
        with Cluster(path=tmp_path) as cluster, pytest.raises((MismatchError, StateError)):
            store(cluster, name)

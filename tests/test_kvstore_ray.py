"""A KVStore over Ray has the bits of one Updater, also when processes are killed."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import rays

import symopt as so
from symopt.distributed import Cluster, KVStore
from symopt.sparse import RowSparseArray

pytest.importorskip("ray", reason="Ray has no wheel for this Python")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    rays.instance()
    with Cluster(2, ray=True) as made:
        yield made


@pytest.mark.parametrize("name", ["adam", "lamb"])
def test_shards_that_are_killed(cluster: Cluster, name: str) -> None:
    rng, before = np.random.default_rng(5), cluster.recoveries
    dense, first = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 60), (50, 7)))
    table = RowSparseArray(first.copy(), np.arange(50), (50, 7))
    with KVStore(cluster, name=name) as kv:
        kv.init(["w", "e"], [dense, RowSparseArray(first, np.arange(50), (50, 7))])
        options = {"lazy_update": True} if name == "adam" else {}
        kv.set_optimizer(so.optimizer.create(name, learning_rate=0.1, **options))
        update = so.optimizer.get_updater(so.optimizer.create(name, learning_rate=0.1, **options))
        for k in range(5):
            if name == "adam" and k in (1, 3):
                process = cluster.lines[k // 2].process_id
                assert process is not None
                os.kill(process, signal.SIGKILL)
            grad = rng.standard_normal((40, 60)).astype(np.float32)
            rows = RowSparseArray(grad[:9, :7], rng.integers(0, 50, 9), (50, 7))
            kv.push(["w", "e"], [grad, rows])
            update("w", grad, dense)
            update("e", rows, table)
        np.testing.assert_array_equal(kv.pull("w"), dense)
        np.testing.assert_array_equal(kv.pull("e"), table.todense())
    assert cluster.recoveries - before == (2 if name == "adam" else 0)

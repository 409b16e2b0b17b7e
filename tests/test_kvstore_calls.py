"""What a KVStore does beside updates: order of sums, bad input, other rules, compression, names."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.distributed import Cluster, KVStore, create, tree_sum
from symopt.sparse import RowSparseArray

SGD = so.optimizer.SGD


def values(n: int, shape: tuple[int, ...] = (40, 3), dtype: str = "float32") -> list[Any]:
    """Numbers so unlike that the order of a sum shows."""
    rng = np.random.default_rng(n)
    return [(rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3, shape)).astype(dtype) for _ in range(n)]


def filled(shape: tuple[int, ...] = (2, 3), value: float = 1.0) -> Any:
    return np.full(shape, value, np.float32)


def rows(*ids: int, shape: tuple[int, ...] = (5, 3)) -> RowSparseArray:
    return RowSparseArray(filled((len(ids), *shape[1:])), np.array(ids, np.int64), shape)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9])
def test_values_are_added_in_pairs(n: int, dtype: str) -> None:
    """MXNet adds dense ones as 0 + (1 + 2 + 3 + 4) + (5 + ...), rows one after the other."""
    given = values(n, dtype=dtype)
    wanted = tree_sum([{"w": v} for v in given])["w"]
    for value in (given, [RowSparseArray(v, np.arange(40), v.shape) for v in given]):
        with KVStore() as kv:
            kv.init(0, np.zeros((40, 3), dtype))
            kv.push(0, value)
            np.testing.assert_array_equal(kv.pull(0), wanted)


def test_rows_that_some_lack_are_added_in_pairs_too() -> None:
    a, b, c = values(3, (1, 3))
    given = [RowSparseArray(x, np.array([i]), (5, 3)) for x, i in ((a, 1), (b, 4), (c, 1))]
    with KVStore() as kv:
        kv.init("e", rows())
        kv.push("e", given)
        np.testing.assert_array_equal(kv.pull("e")[[1, 4]], np.concatenate([a + c, b]))
        assert kv.row_sparse_pull("e", row_ids=[4, 2]).indices.tolist() == [2, 4]


BAD: dict[str, Any] = {
    "a shape": (so.errors.ShapeError, lambda kv: kv.push("w", filled((3, 2)))),
    "a dtype": (so.errors.DTypeError, lambda kv: kv.push("w", np.ones((2, 3)))),
    "an unknown key": (so.errors.UnknownSlotError, lambda kv: kv.push(["w", "x"], [filled(), filled()])),
    "too few values": (so.errors.MissingArgumentError, lambda kv: kv.push(["w", "e"], [filled()])),
    "a row that is none": (so.errors.RowIndexError, lambda kv: kv.push(["w", "e"], [filled(), rows(5)])),
    "a key that is none": (so.errors.AttributeValueError, lambda kv: kv.push(1.5, filled())),
    "a second value": (so.errors.TooLateError, lambda kv: kv.init("w", filled())),
    "a number beside strings": (so.errors.AttributeValueError, lambda kv: kv.init(1, filled())),
    "a value twice": (so.errors.TooLateError, lambda kv: kv.init(["x", "x"], [filled(), filled()])),
    "a list as a value": (so.errors.AttributeValueError, lambda kv: kv.init("x", [[1.0], [2.0]])),
    "an out of another shape": (so.errors.ShapeError, lambda kv: kv.pull("w", filled((3, 2)))),
    "no rows": (so.errors.MissingArgumentError, lambda kv: kv.row_sparse_pull("e", rows())),
    "rows beyond": (so.errors.RowIndexError, lambda kv: kv.row_sparse_pull("e", rows(), row_ids=[5])),
    "rows before": (so.errors.RowIndexError, lambda kv: kv.row_sparse_pull("e", rows(), row_ids=[-1])),
    "half a row": (so.errors.RowIndexError, lambda kv: kv.row_sparse_pull("e", rows(), row_ids=[0.5])),
    "too few row_ids": (
        so.errors.MissingArgumentError,
        lambda kv: kv.row_sparse_pull("e", [rows(), rows(), rows()], row_ids=[[1], [2]]),
    ),
    "a class": (so.errors.AttributeValueError, lambda kv: kv.set_optimizer(SGD)),
    "no function": (so.errors.AttributeValueError, lambda kv: kv.set_updater(3)),
    "two bits": (so.errors.AttributeValueError, lambda kv: kv.set_gradient_compression({"type": "2bit"})),
    "late compression": (so.errors.TooLateError, lambda kv: kv.set_gradient_compression({"type": "float16"})),
    "a pickle": (
        so.errors.AttributeValueError,
        lambda kv: kv.save_optimizer_states("x", dump_optimizer=True),
    ),
    "a capability": (so.errors.AttributeValueError, lambda kv: kv.is_capable("teleport")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_and_nothing_is_done(case: str) -> None:
    error, call = BAD[case]
    with Cluster(2) as cluster, KVStore(cluster) as kv:
        kv.init(["w", "e"], [filled(), rows(0, 3)])
        kv.set_optimizer(SGD(learning_rate=0.5))
        with pytest.raises(error):
            call(kv)
        np.testing.assert_array_equal(kv.pull("w"), filled())
        np.testing.assert_array_equal(kv.pull("e"), rows(0, 3).todense())
        assert kv.optimizer is not None and kv.optimizer.num_update == 0
        kv.push(["w", "e"], [filled(), rows(3)])
        np.testing.assert_array_equal(kv.pull("w"), filled(value=0.5))


@pytest.mark.parametrize("name", ["local", "device", "dist_sync"])
def test_names(name: str) -> None:
    with Cluster(2) as cluster:
        kv = create(name, cluster=cluster)
        assert (kv.type, kv.rank, kv.num_workers, kv.is_capable("optimizer")) == (name, 0, 1, True)
        kv.barrier()
    with pytest.raises(so.errors.AttributeValueError, match="one order"):
        create("dist_async")
    with pytest.raises(so.errors.MissingArgumentError, match="cluster="):
        create("dist_sync")


def test_attributes_of_the_optimizer_count_from_the_next_push_on() -> None:
    """Also a clip that goes on and off, for which rows go to another table with their states."""
    first, grads = filled((6, 4)), values(6, (6, 4))
    with Cluster(2) as cluster, KVStore(cluster) as kv:
        mine, other = (SGD(learning_rate=0.5, momentum=0.9) for _ in range(2))
        update, weight = so.optimizer.get_updater(other), first.copy()
        kv.init("w", first)
        kv.set_optimizer(mine)
        for k, grad in enumerate(grads):
            for optimizer in (mine, other):
                optimizer.lr = 0.5 / (k + 1)
                optimizer.clip_gradient = (None, None, 0.25, 0.5, None, None)[k]
                optimizer.rescale_grad = 1.0 + k
            kv.push("w", grad)
            update("w", grad, weight)
            np.testing.assert_array_equal(kv.pull("w"), weight)
        state = kv.state_dict()["parameters"]["w"]
        np.testing.assert_array_equal(state["states"]["mom"], update.states["w"])
        assert state["updates"] == 6


def test_another_optimizer_begins_anew() -> None:
    with Cluster(2) as cluster, KVStore(cluster) as kv:
        kv.init("w", filled((6, 4)))
        for made in (lambda: SGD(learning_rate=0.5, momentum=0.9), so.optimizer.LAMB, so.optimizer.Adam):
            before = kv.pull("w")
            kv.set_optimizer(made())
            np.testing.assert_array_equal(kv.pull("w"), before)
            update = so.optimizer.get_updater(made())
            for grad in values(2, (6, 4)):
                kv.push("w", grad)
                update("w", grad, before)
            np.testing.assert_array_equal(kv.pull("w"), before)


@pytest.mark.parametrize("wire", ["float16", "bfloat16"])
def test_compression_rounds_gradients_to_16_bits(wire: str) -> None:
    grad = filled(value=1.0 + 2.0**-12)
    with Cluster(2) as cluster, KVStore(cluster) as kv:
        kv.init("w", filled())
        kv.set_gradient_compression({"type": wire})
        kv.set_optimizer(SGD(learning_rate=1.0))
        kv.push("w", grad)
        np.testing.assert_array_equal(kv.pull("w"), filled(value=0.0))


def test_a_step_of_the_users_own_runs_here() -> None:
    class Mine(so.optimizer.Optimizer):
        def create_state(self, index: Any, weight: Any) -> Any:
            return None

        def step(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
            self._update_count(indices)
            for weight, grad in zip(weights, grads, strict=True):
                weight -= 2 * grad

    with Cluster(2) as cluster, KVStore(cluster) as kv:
        kv.init("w", filled())
        kv.set_optimizer(Mine())
        kv.push("w", filled())
        assert kv.keys == {"w": False}
        np.testing.assert_array_equal(kv.pull("w"), filled(value=-1.0))


def test_rows_that_were_not_given_begin_as_zeros() -> None:
    with Cluster(3) as cluster, KVStore(cluster) as kv:
        kv.init("e", rows(2, shape=(1 << 40, 3)))
        kv.set_optimizer(SGD(learning_rate=0.5, lazy_update=True))
        kv.push("e", rows(2, 1 << 39, shape=(1 << 40, 3)))
        found = kv.row_sparse_pull("e", row_ids=[1 << 39, 2, 7])
        assert found.indices.tolist() == [2, 7, 1 << 39]
        assert found.data[:, 0].tolist() == [0.5, 0.0, -0.5]

"""A KVStore's pushes have the bits of so.optimizer.Updater: all optimizers, dtypes, keys, numbers of shards."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from losing import Losing

import symopt as so
from symopt.distributed import Cluster, KVStore
from symopt.sparse import RowSparseArray

Made = Callable[[], so.optimizer.Optimizer]

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {}, "sgd momentum": {"momentum": 0.9, "clip_gradient": 0.5},
    "sgd lazy": {"momentum": 0.9, "lazy_update": True}, "nag": {}, "signum": {},
    "signum plain": {"momentum": 0.0}, "adam": {"wd": 0.01},
    "adam lazy": {"lazy_update": True},
    "adamw": {"wd": 0.1}, "adabelief": {}, "adamax": {}, "nadam": {}, "ftml": {}, "adagrad": {}, "groupadagrad": {},
    "adadelta": {}, "ftrl": {}, "rmsprop": {}, "rmsprop centered": {"centered": True}, "dcasgd": {},
    "dcasgd momentum": {"momentum": 0.9}, "lamb": {"clip_gradient": 0.5}, "lans": {}, "lars": {}, "sgld": {},
    "test": {},
}  # fmt: skip
HERE = ("sgld",)
SOME = ("sgd momentum", "adam lazy", "groupadagrad", "ftrl", "lamb", "sgld")
MATRICES = [(5, 7), (40, 60)]
SHAPES = [*MATRICES, (3000,), (2, 3, 4), ()]


def made(name: str, mixed: bool = False, **more: Any) -> so.optimizer.Optimizer:
    """With a schedule, and a multiplier for key 1."""
    options = {**OPTIMIZERS[name], **more}
    if not options.get("lazy_update"):
        options["multi_precision"] = mixed
    schedule = so.lr_scheduler.FactorScheduler(2, 0.5, base_lr=0.1)
    found = so.optimizer.create(
        name.split()[0], learning_rate=None, lr_scheduler=schedule, param_idx2name={1: "other"}, **options
    )
    found.set_lr_mult({"other": 0.5})
    if hasattr(found, "generator"):
        found.generator = np.random.default_rng(3)
    return found


def same(found: Any, wanted: Any) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def same_state(found: Any, wanted: Any) -> None:
    assert found.keys() == wanted.keys() and found["num_update"] == wanted["num_update"]
    assert found["parameters"].keys() == wanted["parameters"].keys()
    for name, mine in found["parameters"].items():
        other = wanted["parameters"][name]
        assert {k: v for k, v in mine.items() if k != "states"} == {
            k: v for k, v in other.items() if k != "states"
        }
        assert mine["states"].keys() == other["states"].keys()
        for kind, array in mine["states"].items():
            same(array, other["states"][kind])


DTYPES = [(name, "float32") for name in OPTIMIZERS] + [(name, "float64") for name in SOME]
DTYPES += [(name, "float16") for name, options in OPTIMIZERS.items() if not options.get("lazy_update")]


@pytest.mark.parametrize(("name", "dtype"), DTYPES)
def test_dense_keys(name: str, dtype: str) -> None:
    """16-bit ones have float32 copies."""
    compare_dense(name, dtype, 2)


@pytest.mark.parametrize("n_shards", [1, 3])
@pytest.mark.parametrize("name", SOME)
def test_dense_keys_on_any_number_of_shards(name: str, n_shards: int) -> None:
    compare_dense(name, "float32", n_shards)


def compare_dense(name: str, dtype: str, n_shards: int) -> None:
    shapes: list[Any] = MATRICES if name == "groupadagrad" else SHAPES
    rng, update = np.random.default_rng(7), so.optimizer.get_updater(made(name, dtype == "float16"))
    weights = [np.array(rng.standard_normal(s).astype(dtype)) for s in shapes]
    keys = list(range(len(shapes)))
    with Cluster(n_shards) as cluster, KVStore(cluster) as kv:
        kv.init(keys, weights)
        kv.set_optimizer(made(name, dtype == "float16"))
        assert set(kv.keys.values()) == {name not in HERE}
        for t in range(4):
            live = keys if t != 2 else keys[1:]
            grads = [np.asarray(rng.standard_normal(shapes[k])).astype(dtype) for k in live]
            kv.push(live, grads)
            for k, grad in zip(live, grads, strict=True):
                update(k, grad, weights[k])
        for k, weight in zip(keys, weights, strict=True):
            same(kv.pull(k), weight)
        same_state(kv.state_dict(), update.state_dict())


@pytest.mark.parametrize("begins", ["sparse", "dense"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_of_rows(name: str, begins: str) -> None:
    for n_shards in (1, 3) if name in SOME else (2,):
        rng = np.random.default_rng(8)
        first = rng.standard_normal((50, 7)).astype(np.float32)
        weights: list[Any] = [
            RowSparseArray(first.copy(), np.arange(50), (50, 7)) if begins == "sparse" else first.copy()
            for _ in range(2)
        ]
        update = so.optimizer.get_updater(made(name))
        with Cluster(n_shards) as cluster, KVStore(cluster) as kv:
            kv.init("e", weights[0])
            kv.set_optimizer(made(name))
            for _ in range(4):
                grad = RowSparseArray(
                    rng.standard_normal((9, 7)).astype(np.float32), rng.integers(0, 50, 9), (50, 7)
                )
                kv.push("e", grad)
                update("e", grad, weights[1])
            same(kv.pull("e"), weights[1].todense() if begins == "sparse" else weights[1])
            same_state(kv.state_dict(), update.state_dict())


def test_gradients_of_rows_are_refused_where_a_key_is_cut_between_elements() -> None:
    kv = KVStore()
    kv.init("v", np.ones(3, np.float32))
    kv.set_optimizer(so.optimizer.AdaGrad())
    with pytest.raises(so.errors.StorageError, match="initialize it with a RowSparseArray"):
        kv.push("v", RowSparseArray(np.ones(1, np.float32), np.array([1]), (3,)))
    assert kv.optimizer is not None and kv.optimizer.num_update == 0


@pytest.mark.parametrize("fate", ["before", "after"])
def test_a_shard_that_is_lost_changes_nothing(fate: str) -> None:
    rng = np.random.default_rng(9)
    weights = [rng.standard_normal(s).astype(np.float32) for s in SHAPES[:3]]
    grads = [[rng.standard_normal(s).astype(np.float32) for s in SHAPES[:3]] for _ in range(4)]
    found = []
    for fatal in ((), (2, 7, 11)):
        lost = Losing(lambda _, method, n, fatal=fatal: fate if method == "push" and n in fatal else None)  # type: ignore[misc]
        with Cluster(2, transport=lost) as cluster, KVStore(cluster) as kv:
            kv.init([0, 1, 2], [w.copy() for w in weights])
            kv.set_optimizer(made("adam"))
            for step in grads:
                kv.push([0, 1, 2], step)
            found.append([kv.pull(k) for k in (0, 1, 2)])
            assert cluster.recoveries == len(fatal)
    for one, other in zip(*found, strict=True):
        same(one, other)


def test_a_checkpoint_of_the_cluster_goes_on(tmp_path: Any) -> None:
    rng, update = np.random.default_rng(10), so.optimizer.get_updater(made("adam lazy"))
    dense, rows = (
        rng.standard_normal((5, 7)).astype(np.float32),
        rng.standard_normal((50, 7)).astype(np.float32),
    )
    table: Any = RowSparseArray(rows.copy(), np.arange(50), (50, 7))
    for n_shards in (2, 3):
        with Cluster(n_shards, path=tmp_path) as cluster, KVStore(cluster) as kv:
            kv.init("a", dense if n_shards == 2 else np.zeros_like(dense))
            kv.init("e", so.sparse.row_sparse_array(rows if n_shards == 2 else np.zeros_like(rows)))
            kv.set_optimizer(made("adam lazy"))
            for _ in range(3):
                grads = [rng.standard_normal((5, 7)).astype(np.float32)]
                grads.append(RowSparseArray(grads[0], rng.integers(0, 50, 5), (50, 7)))  # type: ignore[arg-type]
                kv.push(["a", "e"], grads)
                update("a", grads[0], dense)
                update("e", grads[1], table)
            cluster.checkpoint()
            same(kv.pull("a"), dense)
            same(kv.pull("e"), table.todense())
            same_state(kv.state_dict(), update.state_dict())


@pytest.mark.parametrize("name", SOME)
def test_states_are_saved_and_go_both_ways(name: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(11)
    weights = [rng.standard_normal(s).astype(np.float32) for s in MATRICES]
    update = so.optimizer.get_updater(made(name))
    grads = [[rng.standard_normal(s).astype(np.float32) for s in MATRICES] for _ in range(4)]
    for step in grads[:2]:
        update([0, 1], step, weights)
    with KVStore() as one, Cluster(3) as cluster, KVStore(cluster) as two:
        for kv in (one, two):
            kv.init([0, 1], [w.copy() for w in weights])
            kv.set_optimizer(made(name))
        one.load_state_dict(update.state_dict())
        one.push([0, 1], grads[2])
        update([0, 1], grads[2], weights)
        one.save_optimizer_states(tmp_path / "states")
        two.load_optimizer_states(tmp_path / "states")
        two.set_updater(lambda key, given, stored: np.copyto(stored, given))
        two.push([0, 1], weights)
        two.set_optimizer(made(name))
        two.load_optimizer_states(tmp_path / "states")
        two.push([0, 1], grads[3])
        update([0, 1], grads[3], weights)
        for k, weight in enumerate(weights):
            same(two.pull(k), weight)
        other = so.optimizer.get_updater(made(name))
        other.load_state_dict(two.state_dict())
        same_state(other.state_dict(), update.state_dict())
        wrong = two.state_dict()
        wrong["parameters"]["0"]["shape"] = [5, 8]
        with pytest.raises(so.errors.StateError, match="shape"):
            two.load_state_dict(wrong)
        same_state(two.state_dict(), update.state_dict())

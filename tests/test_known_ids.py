"""Ids in the order in which shards split them: what belongs to them is cut and not copied, and yet nobody else's."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symopt as so
from symopt import sym
from symopt.distributed import Cluster, KVStore
from symopt.distributed.asking import View
from symopt.distributed.inprocess import InProcess
from symopt.distributed.kvvalues import Sharded
from symopt.distributed.partition import Known, Partition, in_buckets
from symopt.records.graph import RowGraph
from symopt.records.layout import Layout
from symopt.records.plan import Bound

SOME = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40, unique=True).map(
    lambda x: np.array(x, np.int64)
)
COUNTS = st.sampled_from([1, 2, 3, 7, 64, 65_536])


# ---- splits


@given(ids=SOME, n_shards=COUNTS)
def test_in_order_of_buckets_any_number_of_shards_cuts(ids: Any, n_shards: int) -> None:
    ordered = in_buckets(ids)
    split = Partition(n_shards).split(ordered)
    assert sorted(ordered) == sorted(ids) and split.places is None and split.ids is ordered
    rows = np.arange(3 * len(ids)).reshape(-1, 3)
    assert split.scatter(rows) is rows and split.gather(rows) is rows


@given(ids=SOME, n_shards=COUNTS, pins=st.dictionaries(st.integers(0, 65_535), st.just(0), max_size=3))
def test_there_and_back_in_any_order(ids: Any, n_shards: int, pins: Mapping[int, int]) -> None:
    partition = Partition(n_shards, pins)
    split, rows = partition.split(ids), np.arange(len(ids))
    assert np.array_equal(split.scatter(ids), split.ids)
    assert np.array_equal(split.gather(split.scatter(rows)), rows)
    for k in range(min(n_shards, 8)):
        assert np.array_equal(ids[split.given(k)], split.ids[split.shard(k)])
        assert (partition.owner(split.ids[split.shard(k)]) == k).all()


def test_known_ids_are_split_once_for_each_partition() -> None:
    known = Known(np.arange(100))
    two, three = Partition(2), Partition(3)
    first = known.split(two)
    assert known.split(two) is first
    assert np.array_equal(known.split(three).ids, three.split(known.ids).ids)
    assert np.array_equal(known.split(two).sizes, first.sizes)


@pytest.mark.parametrize("duplicates", ["sum", "sequential"])
def test_what_a_worker_sends_is_not_what_its_function_may_write_to(duplicates: str) -> None:
    said = {"missing": "zeros", "wire": None, "dim": 2, "dtype": "float32", "engine": "auto", "whole": False}
    view = View("t", {**said, "duplicates": duplicates})
    ids, grads = in_buckets(np.arange(50)), np.ones((50, 2), np.float32)
    for n_shards in (1, 2, 3):
        for part in view.cut(ids, grads, Partition(n_shards)):
            assert part is not None
            assert not any(np.shares_memory(x, own) for x, own in zip(part, (ids, grads), strict=True))


# ---- dense keys


class Spy(InProcess):
    """Keeps the gradients of all pushes."""

    def __init__(self) -> None:
        self.grads: list[Any] = []

    def call(self, host: Any, method: str, *args: Any, **options: Any) -> Any:
        """See Transport."""
        if method == "push":
            self.grads += [c.grads for c in args[5].commands if hasattr(c, "grads")]
        return super().call(host, method, *args, **options)


RULES: dict[str, Callable[[], Any]] = {
    "sgd": lambda: so.optimizer.SGD(learning_rate=0.1, momentum=0.9),
    "adam": lambda: so.optimizer.Adam(learning_rate=0.1),
    "group_adagrad": lambda: so.optimizer.GroupAdaGrad(learning_rate=0.1),
}
SHAPES = [(16_000,), (40, 3), (9, 7, 11), (1,), (4099,)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_keys_have_the_bits_of_an_updater(rule: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    if rule == "group_adagrad" and len(shape) != 2:
        shape = (shape[0], 2)  # its history is one per row of a matrix
    weight, *grads = (rng.standard_normal(shape).astype(np.float32) for _ in range(5))
    stores = {n: KVStore(Cluster(n)) for n in (1, 2, 3)}
    alone, updater = weight.copy(), so.optimizer.get_updater(RULES[rule]())
    for store in stores.values():
        store.init("w", weight)
        store.set_optimizer(RULES[rule]())
    for grad in grads:
        updater("w", grad, alone)
        for store in stores.values():
            store.push("w", grad)
    for store in stores.values():
        assert np.array_equal(store.pull("w"), alone)
        some = np.array([0, shape[0] - 1])
        found = store.row_sparse_pull("w", row_ids=some)
        assert np.array_equal(found.data, alone[np.unique(some)])


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_gradients_of_dense_keys_are_cut_where_they_lie(n_shards: int) -> None:
    spy, size = Spy(), 64_000
    with KVStore(Cluster(n_shards, transport=spy)) as store:
        store.init("w", np.zeros(size, np.float32))
        store.set_optimizer(so.optimizer.SGD(learning_rate=0.5))
        value: Any = store._kept.values["w"]
        assert isinstance(value, Sharded)
        grad = np.arange(size, dtype=np.float32)
        for _ in range(2):
            spy.grads.clear()
            store.push("w", grad)
            assert len(spy.grads) == n_shards and sum(x.size for x in spy.grads) == size
            assert all(np.shares_memory(x, grad) for x in spy.grads)
        assert np.array_equal(store.pull("w"), -grad)


# ---- numbers of a step


def test_a_zero_and_a_negative_zero_are_other_numbers() -> None:
    layout = Layout([("0/w", "float32", 1)])
    w, by = sym.var("w"), sym.var("by", shape=())
    graph = RowGraph(w * by, layout, {"w": Bound("0/w", (1,))}, ["0/w"])
    records = np.zeros((1, layout.stride), np.uint8)
    column = layout.view(records, "0/w")
    signs = []
    for number in (0.0, -0.0, -0.0, 0.0, np.nan):
        column[...] = 1
        graph.run(records, np.zeros(1, np.int64), numbers={"by": number})
        signs.append(bool(np.signbit(column[0, 0])))
    assert signs[:4] == [False, True, True, False] and np.isnan(column[0, 0])

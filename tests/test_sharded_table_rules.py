"""Every rule that a table takes gives the same bits in a sharded one: kinds of segments, initializers, wires."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sharded_tables import assert_same, cluster, kill, own_weights
from test_table_rules import FITTING, needed

from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.wire import narrowed, widened
from symopt.embedding import Segment, Table, initializers
from symopt.opdef import OpDef

DIM = 4


def batches(n: int, dim: int = DIM) -> Any:
    rng = np.random.default_rng(n)
    for k in range(n):
        ids = rng.integers(-9, 9, 12) * (1 << 59)
        yield ids, rng.normal(size=(12, dim)), {"req_time": k, "duplicates": ("sum", "sequential")[k % 2]}


def assert_equal_after(segments: Any, n: int = 4, **options: Any) -> ShardedTable:
    """A table and one of two shards, one of which is killed, are the same after some batches."""
    own, made = segments(), cluster(2)
    table, sharded = Table(own, **options), ShardedTable(made, segments(), **options)
    for k, (ids, grads, more) in enumerate(batches(n, table.dim)):
        assert tuple(map(str, table.apply_gradients(ids, grads, **more))) == tuple(
            map(str, sharded.apply_gradients(ids, grads, **more))
        )
        if k == 1:
            kill(made, 1)
    assert_same(table, sharded)
    return sharded


@pytest.mark.parametrize("op", FITTING, ids=lambda op: op.name)
def test_rules(op: OpDef) -> None:
    sharded = assert_equal_after(
        lambda: Segment(DIM, op, initializer=0.5, **needed(op)), engine="reference", missing="initialize"
    )
    assert sharded.cluster.recoveries == 1


INITIALIZERS: list[Any] = [
    0.25,
    initializers.RandomUniform(),
    initializers.RandomNormal(),
    initializers.TruncatedNormal(),
    initializers.BatchSoftmax(10),
    own_weights,
]


@pytest.mark.parametrize("made", INITIALIZERS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_initializers(made: Any, engine: str) -> None:
    assert_equal_after(
        lambda: Segment(DIM, "adagrad", learning_rate=0.1, initializer=made), engine=engine, seed=7
    )


KINDS: dict[str, dict[str, Any]] = {
    "blocks": {"rule": "rowwise_adagrad", "n_blocks": 2},
    "table": {"rule": "adam", "clock": "table"},
    "rounds": {"rule": "adam", "rounds_to_float16": True},
    "one bit": {"rule": "adagrad", "compressor": "one_bit"},
    "r8": {"rule": "adagrad", "compressor": "fixed_r8"},
    "global": {"rule": "adam", "weight_decay": 0.1, "decay": "decoupled_global"},
    "decoupled": {"rule": "adam", "weight_decay": 0.1, "decay": "decoupled", "dtype": "float64"},
    "products": {"rule": "keras_nadam"},
    "products of the table": {"rule": "keras_nadam", "clock": "table"},
    "initial": {"rule": "adagrad", "initial": {"history": 0.3}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_segments(kind: str) -> None:
    options = dict(KINDS[kind])
    if kind == "blocks":
        options["rule"] = next(op.name for op in FITTING if "rowwise" in op.name)
    assert_equal_after(lambda: Segment(DIM, learning_rate=0.1, **options))


@pytest.mark.parametrize("wire", ["float16", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_rounded_on_their_way(wire: Any, dtype: Any) -> None:
    segment = Segment(DIM, "adam", learning_rate=0.1, dtype=dtype)
    table, sharded = Table(segment), ShardedTable(Cluster(3), segment, wire=wire)
    for ids, grads, _ in batches(5):
        ids, grads = np.unique(ids), grads[: len(np.unique(ids))].astype(dtype)
        sharded.apply_gradients(ids, grads, req_time=1)
        table.apply_gradients(ids, widened(narrowed(grads, wire), wire, np.dtype(dtype)), req_time=1)
    assert_same(table, sharded)


class Asked:
    """A schedule that answers by how often it was asked."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, done: int) -> float:
        self.n += 1
        return 0.1 * self.n


@pytest.mark.parametrize("rule", ["keras_nadam", "adam"])
def test_a_schedule_is_asked_once_in_a_step_also_if_it_is_done_again(rule: str) -> None:
    rates, betas = [Asked(), Asked()], [Asked(), Asked()]
    own, others = (
        [
            Segment(2, rule, learning_rate=r, clock="table"),
            Segment(2, "monolith_momentum", learning_rate=1.0, momentum=b),
        ]
        for r, b in zip(rates, betas, strict=True)
    )
    made = cluster(2)
    table, sharded = Table(own), ShardedTable(made, others)
    for k, (ids, grads, _) in enumerate(batches(6)):
        table.apply_gradients(ids, grads, req_time=1)
        sharded.push(ids, grads, req_time=1)
        sharded.push(ids[:0], grads[:0], req_time=1)
        table.apply_gradients(ids[:0], grads[:0], req_time=1)
        if k in (2, 4):
            kill(made, k // 4)
    assert_same(table, sharded)
    assert [r.n for r in rates] == [b.n for b in betas] == [12, 12]

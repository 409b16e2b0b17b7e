"""What clusters, their optimizer, their store of keys and their processes refuse, where no other test comes by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.distributed import Cluster, InProcess, KVStore, ShardedOptimizer, ShardedTable, tree_sum
from symopt.distributed.shard import Shard
from symopt.distributed.spec import segment_of, segment_spec
from symopt.distributed.stream import Stream
from symopt.distributed.transport import served
from symopt.embedding import Segment
from symopt.errors import (
    AttributeValueError,
    DeviceError,
    DTypeError,
    FormatError,
    MismatchError,
    MissingArgumentError,
    SymoptError,
    TooLateError,
    UnknownArgumentError,
)
from symopt.places import Place

SGD = Segment(2, "sgd", learning_rate=1.0)
Case = tuple[type[SymoptError], str, Callable[[], Any]]


def optimizer(params: Any = None, **options: Any) -> ShardedOptimizer:
    given = {"w": np.ones(3, np.float32)} if params is None else params
    return ShardedOptimizer(InProcess(), given, "sgd", n_owners=2, lr=0.1, **options)


def pushed(*dtypes: str) -> None:
    """One rank after the other gives gradients of these dtypes."""
    half = {"w": np.ones(3, np.float16)}
    with optimizer(half, n_ranks=len(dtypes), multi_precision=True) as made:
        for rank, dtype in enumerate(dtypes):
            made.push(rank, {"w": np.ones(3, dtype)})


def averaged() -> None:
    with optimizer() as made, made.averaged():
        pass


def stored(do: Callable[[KVStore], Any]) -> Callable[[], Any]:
    """A store in which something is done."""

    def run() -> None:
        with KVStore() as kv:
            kv.init("w", np.ones((2, 3), np.float32))
            kv.init("e", so.sparse.RowSparseArray(np.ones((5, 3), np.float32), np.arange(5), (5, 3)))
            do(kv)

    return run


def checkpointed(**options: Any) -> None:
    Cluster(2, **options).checkpoint()


def shard() -> Shard:
    return Shard({"number": 1, "epoch": 3})


class Own:
    """As first values, or as a code of rows, what no process could make of plain data."""

    n_bits = 8.0

    def __call__(self, *given: Any) -> Any:
        return np.zeros((3, 2), np.float32)

    encode = decode = pack = unpack = __call__


CASES: dict[str, Case] = {
    "two engines": (AttributeValueError, "ray or a transport", lambda: Cluster(ray=True, transport=InProcess())),
    "no folder": (TooLateError, "give path=", checkpointed),
    "no folder to go back to": (TooLateError, "give path=", lambda: Cluster(2).restore()),
    "no ranks to add": (AttributeValueError, "there is no rank", lambda: tree_sum([])),
    "a service": (AttributeValueError, "'symopt.distributed.shard'", lambda: served("symopt.distributed.shard", {})),
    "a rank twice": (AttributeValueError, "rank 2 of 2 can't be", lambda: Stream("users", {}).part(2, 2)),
    "no parameters": (MissingArgumentError, "no parameter to train", lambda: optimizer(groups={"*": None})),
    "no averages": (MissingArgumentError, "give ema=", averaged),
    "dtypes of ranks": (DTypeError, "float16 and float32", lambda: pushed("float32", "float16")),
    "compression": (
        AttributeValueError,
        "nothing but type",
        stored(lambda kv: kv.set_gradient_compression({"type": "float16", "threshold": 1})),
    ),
    "states without an optimizer": (TooLateError, "set_optimizer first", stored(lambda kv: kv.state_dict())),
    "dtypes of values": (
        DTypeError,
        "float",
        stored(lambda kv: kv.push("w", [np.ones((2, 3), np.float32), np.ones((2, 3))])),
    ),
    "numbers of rows": (
        DTypeError,
        "row_ids are whole numbers",
        stored(lambda kv: kv.row_sparse_pull("e", row_ids=["a"])),
    ),
    "a table that no shard has": (
        UnknownArgumentError,
        "shard 1 has no table 'users'",
        lambda: shard().pull(3, "users", 0, 0.0, np.arange(3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    error, said, do = CASES[case]
    with pytest.raises(error, match=said):
        do()


@pytest.mark.parametrize("kind", ["initializer", "compressor"])
def test_what_no_process_could_make(kind: str) -> None:
    segment = Segment(2, "sgd", learning_rate=1.0)
    object.__setattr__(segment, kind, Own())
    with pytest.raises(AttributeValueError, match=f"users: segment 0: its {kind} is .*are sent"):
        segment_spec(segment, "users: segment 0")


def test_schedules_are_not_asked_at_shards() -> None:
    spec = segment_spec(Segment(2, "sgd", learning_rate=lambda done: 1 / (1 + done)), "users")
    there = segment_of(json.loads(json.dumps(spec)), "users").learning_rate
    assert callable(there)
    with pytest.raises(AttributeValueError, match="asked where batches are made, not at shards"):
        there(0)


def test_parameters_on_a_gpu(two: list[Place]) -> None:
    params = {"w": two[0].zeros((3,), np.float32)}
    with pytest.raises(DeviceError, match=r"the parameters are on gpu\(0\)"):
        optimizer(params)


def test_a_process_is_asked_for_its_epoch_and_step() -> None:
    with Cluster(1) as cluster:
        table = ShardedTable(cluster, SGD, name="users")
        for _ in range(2):
            table.apply_gradients([1], [[1.0, 1.0]])
        (line,) = cluster.lines
        there = line._host
        with pytest.raises(MismatchError, match=f"epoch {line.epoch}, and was asked as that of epoch 99"):
            there.pull(99, "users", 0, 0.0, np.array([1]))
        with pytest.raises(MismatchError, match="users is at step 2, to be saved at step 1"):
            there.save(line.epoch, "users", 1, "nowhere", 1)


def test_no_checkpoint_with_half_a_step(tmp_path: Path) -> None:
    with Cluster(2, path=tmp_path) as cluster:
        stream = ShardedTable(cluster, SGD, name="users")._stream
        assert not stream.sent(1, 2)  # a part of one rank of two
        with pytest.raises(TooLateError, match=r"parts are missing: .*users"):
            cluster.checkpoint()
        stream.ranks.clear()
        cluster.checkpoint()


@pytest.mark.parametrize(
    ("change", "said"),
    [({"format": "other"}, "is no checkpoint of a cluster"), ({"version": 99}, "version 99: upgrade symopt")],
    ids=["format", "version"],
)
def test_checkpoints_of_others(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with Cluster(1, path=tmp_path) as cluster:
        ShardedTable(cluster, SGD, name="users")
        cluster.checkpoint()
    (own,) = tmp_path.glob("step-*/cluster")
    tree = so.load(own)
    so.save(own, {**tree, **change}, overwrite=True)
    with pytest.raises(FormatError, match=said):
        Cluster(1, path=tmp_path)


def test_the_number_of_the_next_step() -> None:
    with optimizer() as made:
        for step in (1, 2, 3):
            assert made.next_step == step
            made.step({"w": np.ones(3, np.float32)})
        assert made.next_step == 4

"""Workers that train dense parameters beside tables: the bits of one process with the sum of the ranks' gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from test_workers import plain, sharded
from worker_losses import Losing
from worker_steps import assert_same, learn, one_process

import symopt as so
from symopt.errors import (
    AttributeValueError,
    DTypeError,
    MissingArgumentError,
    ShapeError,
    UnknownArgumentError,
)

D = so.distributed
RULE: dict[str, Any] = {"rule": "adam", "lr": 0.05, "clip_global_norm": 3.0}


def first(rows: int = 12) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {
        "w": rng.normal(size=(rows, 5)).astype(np.float32),
        "deep": {"b": rng.normal(size=9).astype(np.float32)},
    }


def both(step: int, rank: int, ranks: int, *, n: int = 24) -> Any:
    """`learn`, and gradients of weights to which rows have to do; rank 1 has none now and then."""
    run = learn(step, rank, ranks, n=n)
    got = yield {**next(run), "net": None}
    weights = got.pop("net")
    total = sum(float(w.sum()) for w in weights.values())
    try:
        run.send(got)
    except StopIteration as end:
        grads, report = end.value
    if rank == 1 and step % 3 == 0:
        return grads, (report, total)
    rng = np.random.default_rng([step, rank, 5])
    scale = np.float32(got["items"].sum() + total)
    dense = {n: scale * rng.normal(size=w.shape).astype(np.float32) for n, w in weights.items()}
    dense["deep.b"] = None if rank == 0 and step % 2 else dense["deep.b"]
    for weight in weights.values():
        weight += 1000  # is its own
    return {**grads, "net": dense}, (report, total)


class Net:
    """Weights in the place of a table, which one process trains."""

    duplicates = "sum"

    def __init__(self, rows: int) -> None:
        self.params = first(rows)
        options = {k: v for k, v in RULE.items() if k != "rule"}
        self.step = so.compile(RULE["rule"], self.params, **options)

    def flat(self) -> dict[str, Any]:
        return {"w": self.params["w"], "deep.b": self.params["deep"]["b"]}


def in_one_process(
    steps: int, ranks: int, n: int = 24, rows: int = 12, **options: Any
) -> tuple[dict[str, Any], Net, list[Any]]:
    """`n`: ids that each rank asks for. `rows`: of the weights."""
    tables, net, reports = plain(**options), Net(rows), []
    for t in range(1, steps + 1):
        of_ranks: list[Any] = []

        def tables_only(step: int, rank: int, ranks: int, of_ranks: list[Any] = of_ranks) -> Any:
            run = both(step, rank, ranks, n=n)
            wanted = next(run)
            rows = yield {name: ids for name, ids in wanted.items() if name != "net"}
            try:
                run.send({**rows, "net": {n: w.copy() for n, w in net.flat().items()}})
            except StopIteration as end:
                grads, report = end.value
            of_ranks.append(grads.pop("net", dict.fromkeys(net.flat())))
            return grads, report

        reports += one_process(tables_only, tables, t, ranks, start=t - 1)
        net.step(D.tree_sum(of_ranks))
    return tables, net, reports


def dense(cluster: Any, params: Mapping[str, Any], ranks: int, **more: Any) -> Any:
    return D.ShardedOptimizer(cluster, params, n_ranks=ranks, name="net", **RULE, **more)


def same(found: Mapping[str, Any], net: Net) -> None:
    np.testing.assert_array_equal(found["w"], net.params["w"])
    np.testing.assert_array_equal(found["deep"]["b"], net.params["deep"]["b"])


@pytest.mark.parametrize(("n", "ranks"), [(1, 1), (2, 2), (3, 3), (2, 5)])
def test_tables_and_weights_have_the_bits_of_one_process(n: int, ranks: int) -> None:
    tables, net, reports = in_one_process(7, ranks)
    with D.Cluster(n) as cluster:
        ours, params = sharded(cluster), first()
        with dense(cluster, params, ranks) as optimizer:
            workers = D.Workers(cluster, both, [*ours.values()], optimizers=[optimizer], ranks=ranks)
            assert [done.reports for done in workers.steps(7)] == reports
            assert optimizer.updates == 7
        assert_same(ours, tables)
        same(params, net)


@pytest.mark.parametrize("seed", range(8))
def test_losses_change_no_bit(seed: int) -> None:
    n, ranks = 1 + seed % 3, 1 + seed % 4
    options: dict[str, Any] = [{}, {"track": 50}][seed % 2]
    tables, net, reports = in_one_process(9, ranks, **options)
    transport = Losing(seed, rate=0.0)
    with D.Cluster(n, transport=transport) as cluster:
        ours, params = sharded(cluster, **options), first()
        with dense(cluster, params, ranks) as optimizer:
            workers = D.Workers(
                cluster,
                "test_workers_dense:both",
                [*ours.values()],
                optimizers=[optimizer],
                ranks=ranks,
                processes=1 + seed % 3,
            )
            transport.rate = 0.02
            found = [done.reports for done in workers.steps(9)]
            transport.rate = 0.0
            assert found == reports
        assert_same(ours, tables)
        same(params, net)
        assert sum(transport.seen.values()) > transport.seen["twice"] > 0


def alone(step: int, rank: int, ranks: int, *, kept: list[Any] | None = None) -> Any:
    """No rows at all. What it keeps of former steps stays."""
    weights = (yield {"net": None})["net"]
    if kept is not None:
        kept.append((weights["w"], weights["w"].copy()))
    return {"net": {"w": np.ones_like(weights["w"]), "deep": {"b": weights["deep.b"]}}}


@pytest.mark.parametrize("staleness", [0, 2])
def test_weights_alone(staleness: int) -> None:
    kept: list[Any] = []
    with D.Cluster(2, staleness=staleness) as cluster:
        users, params = sharded(cluster)["users"], first()
        with dense(cluster, params, 2) as optimizer:
            D.Workers(cluster, alone, [users], optimizers=[optimizer], ranks=2, given={"kept": kept}).run(6)
            assert optimizer.updates == 6 and users.steps == 0
    for weights, copy in kept:
        np.testing.assert_array_equal(weights, copy)
    assert (kept[0][0] != params["w"]).all()


def bad(returned: Any, wanted: Any = None) -> Any:
    def function(step: int, rank: int, ranks: int) -> Any:
        yield {"net": wanted, "users": [1]}
        return {"net": returned, "users": np.ones((1, 3))} if rank else {"users": np.ones((1, 3))}

    return function


W, B = np.ones((12, 5), np.float32), np.ones(9, np.float32)


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        (bad({"w": W}), MissingArgumentError, "gradients of rank 1: 'deep.b' is missing"),
        (bad({"w": W, "deep.b": W}), ShapeError, "the gradient of 'deep.b' has shape"),
        (bad({"w": W, "deep.b": B.astype(np.float64)}), DTypeError, "is float64, the parameter float32"),
        (bad({"w": None, "deep.b": None}), MissingArgumentError, "every one is None"),
        (bad({"w": W, "c": B}), UnknownArgumentError, "no parameter 'c'"),
        (bad({}, "w"), AttributeValueError, "net: a step function yields None"),
    ],
)
def test_bad_gradients_change_nothing(step: Any, kind: type[Exception], text: str) -> None:
    with D.Cluster(2) as cluster:
        users, params = sharded(cluster)["users"], first()
        with dense(cluster, params, 2) as optimizer:
            workers = D.Workers(cluster, step, [users], optimizers=[optimizer], ranks=2)
            with pytest.raises(kind, match=text):
                workers.run(1)
            assert workers.step == users.steps == optimizer.updates == 0
            np.testing.assert_array_equal(params["w"], first()["w"])
            workers = D.Workers(cluster, alone, [users], optimizers=[optimizer], ranks=2)
            workers.run(1)
            assert optimizer.updates == 1


def test_bad_arguments() -> None:
    with D.Cluster() as cluster:
        users = sharded(cluster)["users"]
        named = D.ShardedOptimizer(D.InProcess(), first(), "sgd", lr=0.1, n_ranks=2, name="users")
        with dense(cluster, first(), 3) as optimizer, named:
            with pytest.raises(AttributeValueError, match="net has n_ranks=3, and ranks=2"):
                D.Workers(cluster, alone, [users], optimizers=[optimizer], ranks=2)
            with pytest.raises(AttributeValueError, match="names of their own"):
                D.Workers(cluster, alone, [users], optimizers=[named], ranks=2)

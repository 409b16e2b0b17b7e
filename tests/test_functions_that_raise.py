"""Functions of the user's that raise, schedules and first weights, in pushes and in steps of workers: nothing of such a
step is done, and the cluster goes on as one that never had it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import rays
from test_sharded_table_functions import positive, push
from worker_losses import Losing
from worker_steps import assert_same, one_process

import symopt as so
from symopt.embedding import Segment

D = so.distributed
BAD = 3  # the step that has what raises, of workers that have it


class Moody:
    """A schedule that raises while it `is_bad`."""

    is_bad = False

    def __call__(self, done: int) -> float:
        if self.is_bad:
            raise OverflowError("no rate")
        return 0.5 / (1 + done)


def segments(rate: Callable[[int], float]) -> list[Segment]:
    return [
        Segment(2, "adagrad", learning_rate=0.1, initializer=positive),
        Segment(1, "keras_nadam", learning_rate=rate, clock="table"),
    ]


def tables(make: Callable[..., Any], rate: Callable[[int], float], **options: Any) -> dict[str, Any]:
    return {
        "users": make(segments(rate), name="users", **options),
        "items": make(Segment(2, "adam", learning_rate=0.01), name="items"),
    }


def cluster(lossy: bool = True) -> Any:
    return D.Cluster(2, transport=Losing(3, rate=0.0) if lossy else D.InProcess())


def grads(step: int, n: int) -> Any:
    return np.random.default_rng(step).normal(size=(n, 3))


CALLS: dict[str, Callable[[Any, int], Any]] = {
    "push": lambda t, k: push(t)([k, -k, 7], grads(k, 3)),
    "apply_gradients": lambda t, k: t.apply_gradients([k, k, 7], grads(k, 3), duplicates="sequential"),
}


@pytest.mark.parametrize("options", [{}, {"max_rows": 5, "policy": "least_recent"}, {"track": 9}], ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_schedules(call: str, options: dict[str, Any]) -> None:
    rate = Moody()
    expected = so.embedding.Table(segments(Moody()), **options)
    with cluster() as made:
        table = D.ShardedTable(made, segments(rate), **options)
        for k in range(6):
            rate.is_bad = True
            with pytest.raises(OverflowError, match="no rate"):
                table.push([90, 91, k], grads(k, 3))
            with pytest.raises(OverflowError, match="no rate"):
                table.apply_gradients([90, 91, k], grads(k, 3))
            rate.is_bad = False
            for each in (table, expected):
                each.apply_gradients([k, k, 7], grads(k, 3), duplicates="sequential")
        assert_same({"": table}, {"": expected})


# ---- workers


def learn(step: int, rank: int, ranks: int, *, bad: str = "") -> Any:
    """Gradients of ids that it asked for, and of others that it did not."""
    asked = np.array([step, 10 + rank])
    if step == BAD and bad == "asks":
        asked = np.array([step, 90 + rank, -5])
    rows = yield {"users": asked, "items": [rank]}
    ids = np.array([20 * step + rank, step, step])
    if step == BAD and bad == "gives" and rank == 1:
        ids = np.array([91, -7, step])
    given = np.cos(ids[:, None] + rows["users"].sum()) * np.ones((3, 3))
    return {"users": (ids, given), "items": rows["items"] + 1}


CASES: list[tuple[str, dict[str, Any]]] = [
    ("gives", {}),
    ("gives", {"duplicates": "sequential"}),
    ("gives", {"track": 90}),
    ("gives", {"missing": "initialize"}),
    ("gives", {"max_rows": 30, "policy": "least_recent"}),
    ("asks", {"missing": "initialize"}),
    ("asks", {"missing": "initialize", "track": 90}),
]


@pytest.mark.parametrize("lossy", [True, False], ids=["lossy", "here"])
@pytest.mark.parametrize(("bad", "options"), CASES, ids=str)
def test_first_weights_in_steps_of_workers(bad: str, options: dict[str, Any], lossy: bool) -> None:
    expected = tables(so.embedding.Table, Moody(), **options)
    one_process(learn, expected, 5, 2)
    with cluster(lossy) as made:
        ours = tables(partial(D.ShardedTable, made), Moody(), **options)
        fails = workers(made, ours, bad=bad)
        with pytest.raises(ValueError, match="no weights for ids below zero"):
            fails.run(5)
        assert fails.step == BAD - 1
        for _ in range(2):
            with pytest.raises(ValueError, match="no weights for ids below zero"):
                fails.run(5, start=BAD - 1)
        workers(made, ours).run(5, start=BAD - 1)
        assert made.recoveries == 0
        if bad == "asks":  # what other ranks and tables asked for before was born, as lookups do
            ours["users"].evict([90, 91])
        assert_same(ours, expected)


@pytest.mark.slow
def test_first_weights_in_processes() -> None:
    pytest.importorskip("ray", reason="Ray has no wheel for this Python")
    rays.instance()
    expected = tables(so.embedding.Table, Moody())
    one_process(learn, expected, 4, 2)
    with D.Cluster(2, ray=True) as made:
        ours = tables(partial(D.ShardedTable, made), Moody())
        with workers(made, ours, bad="gives") as fails:
            with pytest.raises(ValueError, match="no weights for ids below zero"):
                fails.run(4)
            workers(made, ours).run(4, start=fails.step)
        assert fails.step == BAD - 1 and made.recoveries == 0
        assert_same(ours, expected)


def fails_then_goes_on(crew: Any, rate: Any, done: int) -> None:
    """A step whose rate raises, and then the same with one."""
    rate.is_bad = True
    with pytest.raises(OverflowError, match="no rate"):
        crew.run(done + 1, start=done)
    rate.is_bad = False
    crew.run(done + 1, start=done)


@pytest.mark.parametrize("options", [{}, {"track": 90}], ids=str)
def test_schedules_in_steps_of_workers(options: dict[str, Any]) -> None:
    rate = Moody()
    expected = tables(so.embedding.Table, Moody(), **options)
    one_process(learn, expected, 4, 2)
    with cluster() as made:
        ours = tables(partial(D.ShardedTable, made), rate, **options)
        crew = workers(made, ours)
        for step in range(4):
            fails_then_goes_on(crew, rate, step)
        assert_same(ours, expected)


def with_weights(step: int, rank: int, ranks: int) -> Any:
    weights = (yield {"net": None})["net"]
    return {"net": {"w": weights["w"] + rank}, "users": ([step, 7], np.ones((2, 3)))}


def test_schedules_of_dense_parameters() -> None:
    """Tables have nothing of a step that owners can't make."""
    rate, params, one = Moody(), {"w": np.ones(3)}, {"w": np.ones(3)}
    table, step = tables(so.embedding.Table, Moody())["users"], so.compile("adam", one, lr=Moody())
    with cluster() as made:
        users = D.ShardedTable(made, segments(Moody()), name="users")
        net = D.ShardedOptimizer(made, params, "adam", n_ranks=2, lr=rate, name="net")
        crew = D.Workers(made, "test_functions_that_raise:with_weights", [users], optimizers=[net], ranks=2)
        for k in range(3):
            fails_then_goes_on(crew, rate, k)
            parts = [np.array([k + 1, 7])] * 2
            table.apply_gradients(np.concatenate(parts), np.ones((4, 3)))
            step(D.tree_sum([{"w": one["w"] + rank} for rank in range(2)]))
        np.testing.assert_array_equal(params["w"], one["w"])
        assert_same({"users": users}, {"users": table})


def workers(made: Any, ours: dict[str, Any], **given: Any) -> Any:
    return D.Workers(made, "test_functions_that_raise:learn", [*ours.values()], ranks=2, given=given)

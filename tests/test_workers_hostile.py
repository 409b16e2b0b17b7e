"""Workers whose functions do what they should not, and drivers that are interrupted or die."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_steps
from lossy import DriverDied
from test_workers import plain, sharded
from worker_losses import Losing
from worker_steps import assert_same, one_process

import symopt as so
from symopt.errors import (
    AttributeValueError,
    DTypeError,
    ShapeError,
    TooLateError,
    UnknownArgumentError,
)

D = so.distributed
STEPS = 10


class Mortal(Losing):
    """With a driver that dies at a call: half of the time before it is made."""

    dies_in = -1

    def call(self, *args: Any, **options: Any) -> Any:
        self.dies_in -= 1
        is_last, is_before = self.dies_in == 0, self.random.random() < 0.5
        if is_last and is_before:
            raise DriverDied
        answer = super().call(*args, **options)
        if is_last:
            raise DriverDied
        return answer


@pytest.mark.parametrize("seed", range(12))
def test_drivers_that_die_go_on_from_checkpoints(seed: int, tmp_path: Path) -> None:
    rng, ranks, options = random.Random(seed), 1 + seed % 3, [{}, {"missing": "initialize"}][seed % 2]
    expected = plain(**options)
    one_process(worker_steps.learn, expected, STEPS, ranks)
    deaths = 0
    while True:
        transport = Mortal(seed + 100 * deaths, rate=0.01)
        transport.dies_in = rng.randrange(15, 80) if deaths < 12 else -1
        try:
            with D.Cluster(rng.choice([None, 1, 2, 3]), transport=transport, path=tmp_path) as cluster:
                tables = sharded(cluster, **options)
                start = (cluster.resumed or {"step": 0})["step"]
                workers = D.Workers(
                    cluster,
                    "worker_steps:learn",
                    [*tables.values()],
                    ranks=ranks,
                    processes=rng.randint(1, 4),
                )
                for done in workers.steps(STEPS, start):
                    if rng.random() < 0.5:
                        cluster.checkpoint({"step": done.step})
                transport.rate, transport.dies_in = 0.0, -1
                assert_same(tables, expected)
                break
        except DriverDied:
            deaths += 1
    assert deaths


class Interrupt:
    """Ctrl-C at the n-th line that is executed in the modules of workers."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> None:
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: Any, event: str, _: Any) -> Any:
        file = Path(frame.f_code.co_filename)
        is_ours = file.parent.name == "distributed" and file.stem in ("workers", "task", "handing", "crew")
        return self._line if is_ours else None

    def _line(self, frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            self.n -= 1
            if self.n == 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self._line


@pytest.mark.parametrize("options", [{}, {"track": 100}], ids=str)
@pytest.mark.parametrize("staleness", [0, 1])
def test_interrupts_split_no_step(options: dict[str, Any], staleness: int) -> None:
    """One table's gradients go unread, the other's through the driver."""
    rng, n_steps, interrupted = random.Random(str(options)), 30, 0
    with D.Cluster(2, staleness=staleness) as cluster:
        tables = sharded(cluster, **options)
        workers = D.Workers(cluster, "worker_steps:learn", [*tables.values()], ranks=2)
        while workers.step < n_steps:
            try:
                with Interrupt(rng.randrange(1, 2500)):
                    workers.run(n_steps, start=workers.step)
            except KeyboardInterrupt:
                interrupted += 1
            assert {table.steps for table in tables.values()} == {workers.step}
        assert interrupted > 5
        if not staleness:
            expected = plain(**options)
            one_process(worker_steps.learn, expected, n_steps, 2)
            assert_same(tables, expected)


@pytest.mark.parametrize("staleness", [0, 2])
def test_steps_may_be_left_and_begun_again(staleness: int) -> None:
    with D.Cluster(2, staleness=staleness) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, "worker_steps:learn", [*tables.values()], ranks=2)
        for done in workers.steps(9):
            if done.step == 3:
                break
        left = workers.steps(9, start=workers.step)
        assert next(left).step == 4
        again = workers.steps(6, start=workers.step)
        assert [done.step for done in again] == [5, 6]
        with pytest.raises(TooLateError, match="called again"):
            next(left)
        assert workers.step == tables["users"].steps == 6
        if not staleness:
            expected = plain()
            one_process(worker_steps.learn, expected, 6, 2)
            assert_same(tables, expected)


def test_two_crews_may_take_turns() -> None:
    expected = plain()
    one_process(worker_steps.learn, expected, 8, 2)
    with D.Cluster(2) as cluster:
        tables = sharded(cluster)
        both = [
            D.Workers(cluster, "worker_steps:learn", [*tables.values()], ranks=2, processes=n) for n in (1, 3)
        ]
        for t in range(8):
            both[t % 2].run(t + 1, start=t)
        assert_same(tables, expected)


def test_what_is_cut_again_often_is_not_lost(tmp_path: Path) -> None:
    with D.Cluster(2, staleness=12, path=tmp_path) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        workers = D.Workers(cluster, "worker_steps:count", [users], ranks=1, given={"ids": [3]})
        for done in workers.steps(14):
            cluster.reshard(1 + done.step % 3)
        cluster.settle()
        assert users.lookup([3])[0, 0] == 14


IDS = np.array([1, 2])


def overwrites(step: int, rank: int, ranks: int, *, kept: list[Any]) -> Any:
    """Writes to its ids after it asked, keeps its rows, and writes to those too."""
    IDS[:] = 10 * rank, 10 * rank + 1
    rows = (yield {"users": IDS})["users"]
    IDS[:] = 99
    more = (yield {"users": [10 * rank]})["users"]
    kept.append((rows, rows.copy()))
    more[...] = 7
    return {"users": ([10 * rank, 10 * rank + 1], np.full_like(rows, -1.0))}


def overwrites_once(step: int, rank: int, ranks: int) -> Any:
    ids = np.array([10 * rank, 10 * rank + 1])
    rows = (yield {"users": ids})["users"]
    ids[:] = 99
    return {"users": np.full_like(rows, -1.0)}


@pytest.mark.parametrize("n", [1, 2])
def test_arrays_are_the_functions_own(n: int) -> None:
    kept: list[Any] = []
    for step, given in ((overwrites, {"kept": kept}), (overwrites_once, {})):
        with D.Cluster(n) as cluster:
            users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
            D.Workers(cluster, step, [users], ranks=3, given=given).run(3)
            assert users.lookup([0, 1, 10, 11, 20, 21])[:, 0].tolist() == [3] * 6
            assert len(users) == 6
    assert len(kept) == 9
    for rows, copy in kept:
        np.testing.assert_array_equal(rows, copy)


def returning(returned: Any, wanted: Any = None) -> Any:
    def function(step: int, rank: int, ranks: int) -> Any:
        yield {"users": [1, 2]} if wanted is None else wanted
        return returned

    return function


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        (returning({"items": np.ones((2, 3))}), UnknownArgumentError, "returns a dict .* users; got 'items'"),
        (returning([1]), AttributeValueError, "returns a dict by names of tables, got list"),
        (returning({"users": ([1], np.ones((2, 3)))}), ShapeError, "users: gradients"),
        (returning({"users": ([1.5], np.ones((1, 3)))}), DTypeError, "users: ids of gradients"),
        (returning({"users": np.ones((2, 3), complex)}), DTypeError, "real numbers"),
        (returning({"users": None}), DTypeError, "real numbers, got object"),
        (returning({"users": np.array([["a"] * 3] * 2)}), DTypeError, "real numbers"),
        (returning({}, {"users": ["a"]}), DTypeError, "ids must be integers"),
        (returning({}, {"users": [[1], [2, 3]]}), ShapeError, "users: ids"),
        (returning({}, {1: [1]}), UnknownArgumentError, "got 1"),
        (returning({}, 5), AttributeValueError, "got int"),
    ],
)
def test_bad_results_leave_the_tables_as_they_were(step: Any, kind: type[Exception], text: str) -> None:
    with D.Cluster(2) as cluster:
        tables = sharded(cluster)
        workers = D.Workers(cluster, step, [tables["users"]], ranks=2)
        for _ in range(2):  # it says the same again
            with pytest.raises(kind, match=text):
                workers.run(1)
        assert tables["users"].steps == workers.step == 0


def empty(step: int, rank: int, ranks: int) -> Any:
    rows = yield {"users": []}
    assert rows["users"].shape == (0, 3)
    rows = yield {"users": np.empty((2, 0), np.int64)}
    assert rows["users"].shape == (2, 0, 3)
    return {"users": ([], np.empty((0, 3)))} if step < 3 else {}


@pytest.mark.parametrize("options", [{}, {"track": 9}, {"missing": "initialize"}], ids=str)
def test_no_ids_are_a_step_with_nothing_in_it(options: dict[str, Any]) -> None:
    expected = plain(**options)
    one_process(empty, {"users": expected["users"]}, 4, 2)
    with D.Cluster(3) as cluster:
        tables = sharded(cluster, **options)
        D.Workers(cluster, empty, [tables["users"]], ranks=2).run(4)
        assert_same(tables, expected)
        assert tables["users"].steps == 2


def raises_then_ends(step: int, rank: int, ranks: int) -> Any:
    yield {"users": [1]}
    raise OverflowError("too much")


def test_a_function_that_has_raised_does_not_seem_to_have_ended() -> None:
    from symopt.distributed.partition import Partition
    from symopt.distributed.worker import Worker

    with D.Cluster() as cluster:
        users = sharded(cluster)["users"]
        workers = D.Workers(cluster, raises_then_ends, [users])
        worker = Worker(workers._config)
        worker.begin(1, 0, 0, Partition(1).as_dict(), {})
        for _ in range(2):
            with pytest.raises(OverflowError, match="too much"):
                worker.go_on(1, 0, (np.zeros((1, 3), np.float32), None))


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": -1.0}, {"ranks": 0}, {"processes": 0}, {"ranks": 1.5}], ids=str
)
def test_bad_numbers(options: dict[str, Any]) -> None:
    with D.Cluster() as cluster:
        users = sharded(cluster)["users"]
        with pytest.raises(AttributeValueError, match="workers: "):
            D.Workers(cluster, "worker_steps:learn", [users], **options)
        workers = D.Workers(cluster, "worker_steps:learn", [users])
        for wrong in ((-1, 0), (3, -1), (2.5, 0)):
            with pytest.raises(AttributeValueError, match="workers: st"):
                workers.run(*wrong)

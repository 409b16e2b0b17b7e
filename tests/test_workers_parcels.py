"""Dense gradients on their way from workers to owners: the driver reads none, and losses change no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sharded_cases as cases
import worker_dense
from worker_dense import STEPS, in_one_process, made, same
from worker_losses import Host, Losing

import symopt as so
from symopt.distributed.transport import size
from symopt.errors import DTypeError

D = so.distributed

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"rule": "adam"},
    "whole": {"rule": "lamb", "wd": 0.01},
    "wire": {"rule": "adam", "wire": "bfloat16"},
    "measured": {"rule": "torch_nadam", "clip_global_norm": 0.5, "ema": 0.9, "wire": "float16"},
    "left out": {"rule": "adam", "skip_nonfinite": True, "given": {"nan_at": 2}},
    "sums": {"rule": "sgd_mom", "accumulate": 2, "momentum": 0.9},
    "16 bits": {"rule": "adam", "dtype": "bfloat16", "multi_precision": True},
    "masters": {"rule": "adam", "dtype": "float16", "multi_precision": True, "given": {"dtype": "float32"}},
}


@pytest.mark.parametrize("sent", [False, True], ids=["in process", "sent"])
@pytest.mark.parametrize(("n", "ranks"), [(1, 2), (2, 3), (3, 1), (4, 2)])
@pytest.mark.parametrize("options", OPTIONS)
def test_bits_are_those_of_one_process(options: str, n: int, ranks: int, sent: bool) -> None:
    given = {"lr": 0.1, **OPTIONS[options]}
    if ranks == 1 and options == "left out":
        given["given"] = {"nan_at": 4}
    expected = in_one_process(ranks=ranks, **given)
    with D.Cluster(n, transport=Losing(0, rate=0.0) if sent else None) as cluster:
        params, optimizer, workers = made(cluster, ranks=ranks, **given)
        workers.run(STEPS)
        same(params, optimizer, expected)


class Counting(Losing):
    """`read`: bytes of arrays that the driver waited for; `puts`: how often it put weights."""

    def __init__(self) -> None:
        super().__init__(0, rate=0.0)
        self.read = self.puts = 0

    def wait(self, reply: Any, timeout: float | None = None) -> Any:
        found = super().wait(reply, timeout)
        self.read += size(found)
        return found

    def put(self, value: Any) -> Any:
        self.puts += isinstance(value, dict)
        return super().put(value)


@pytest.mark.parametrize("wire", [None, "float16", "bfloat16"])
def test_the_driver_reads_new_weights_only_and_puts_them_once(wire: Any) -> None:
    transport = Counting()
    with D.Cluster(3, transport=transport) as cluster:
        params, optimizer, workers = made(cluster, "adam", 4, lr=0.1, wire=wire)
        workers.run(1)
        before, puts = transport.read, transport.puts
        workers.run(5, start=1)
        weights = sum(where.sizes[0] * 4 for where in optimizer._pieces._places)
        words = transport.read - before - 4 * weights
        assert 0 <= words < 1024  # of what is said beside arrays
        assert weights < sum(p.nbytes for p in params.values()) + 64 * 20
        assert transport.puts - puts == 4


class At(Losing):
    """Loses the process of the nth call of a kind, such as "before net-0-0 push" without the process's numbers."""

    def __init__(self, what: str, nth: int) -> None:
        super().__init__(0, rate=0.0)
        self.what, self.nth, self.n = what, nth, 0

    def _loses(self, what: str, host: Host) -> bool:
        when, name, method = what.split()
        self.n += f"{when} {name.split('-')[0]} {method}" == self.what
        if f"{when} {name.split('-')[0]} {method}" != self.what or self.n != self.nth:
            return False
        host.is_alive = False
        return True


CALLS = ["worker begin", "worker go_on", *(f"net {m}" for m in ("push", "learn", "measure", "apply", "skip"))]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_process_that_is_lost_at_any_call(call: str, when: str) -> None:
    options: dict[str, Any] = {
        "rule": "torch_nadam", "clip_global_norm": 0.5, "accumulate": 2, "skip_nonfinite": True, "ema": 0.9,
        "lr": 0.1, "given": {"nan_at": 4},
    }  # fmt: skip
    expected = in_one_process(ranks=2, **options)
    counted = At(f"{when} {call}", 0)
    for nth in (0, 1, 2, -2, -1):
        transport = counted if nth == 0 else At(f"{when} {call}", nth if nth > 0 else counted.n + 1 + nth)
        with D.Cluster(2, transport=transport) as cluster:
            params, optimizer, workers = made(cluster, ranks=2, **options)
            workers.run(STEPS)
            same(params, optimizer, expected)
            if nth:
                assert optimizer.recoveries + workers.lost == 1
    assert counted.n > 1


class Handed(Losing):
    """All workers die when the first owner is sent gradients; `owner` dies too, before it makes the step."""

    def __init__(self, owner: str) -> None:
        super().__init__(0, rate=0.0)
        self.owner, self.n = owner, 0

    def _loses(self, what: str, host: Host) -> bool:
        if what.startswith("after net") and what.endswith("push"):
            for each in self.hosts:
                each.is_alive = each.is_alive and not each.name.startswith("worker")
        self.n += what.startswith(f"before {self.owner}") and what.endswith("apply")
        if self.n == 4 and what.startswith(f"before {self.owner}"):
            self.n += 1
            host.is_alive = False
            return True
        return False


@pytest.mark.parametrize("owner", ["net-0", "net-1"])
def test_answers_of_workers_that_are_gone_are_sent_again(owner: str) -> None:
    expected = in_one_process("adam", 2, lr=0.1)
    with D.Cluster(2, transport=Handed(owner)) as cluster:
        params, optimizer, workers = made(cluster, "adam", 2, lr=0.1)
        workers.run(STEPS)
        same(params, optimizer, expected)
        assert optimizer.recoveries == 1 and workers.lost == 2 * (STEPS - 1)


@pytest.mark.parametrize("seed", range(6))
def test_many_are_lost(seed: int) -> None:
    options: dict[str, Any] = {"rule": "adam", "clip_global_norm": 0.5, "lr": 0.1, "wire": "bfloat16"}
    expected = in_one_process(ranks=3, **options)
    transport = Losing(seed, rate=0.0)
    with D.Cluster(1 + seed % 4, transport=transport) as cluster:
        params, optimizer, workers = made(cluster, ranks=3, **options)
        transport.rate = 0.02
        workers.run(STEPS)
        transport.rate = 0.0
        same(params, optimizer, expected)
        assert sum(transport.seen.values()) > transport.seen["twice"] > 0


def test_what_is_kept_is_counted_and_bounded() -> None:
    transport = Losing(0, rate=0.0)
    expected = in_one_process("adam", 2, lr=0.1)
    with D.Cluster(2, transport=transport) as cluster:
        each = sum(p.nbytes for p in cases.arrays(7).values()) * 2
        params, optimizer, workers = made(cluster, "adam", 2, lr=0.1, kept_bytes=int(2.5 * each))
        kept = []
        for done in workers.steps(STEPS):
            kept.append(sum(line.kept_bytes for line in optimizer._owners.lines))
            if done.step == 5:
                transport.hosts[
                    next(k for k, h in enumerate(transport.hosts) if h.name == "net-1-0")
                ].is_alive = False
        assert each < kept[1] < kept[2] < 2.6 * each and kept[3] < kept[2]
        same(params, optimizer, expected)


def test_what_is_under_way_is_cut_again_for_other_owners(tmp_path: Any) -> None:
    def fixed(step: int, rank: int, ranks: int) -> Any:
        weights = (yield {"net": None})["net"]
        ones = {n: np.ones_like(w) for n, w in weights.items()}
        found = worker_dense.gradients(step, rank, ones)
        return {} if found is None else {"net": found}

    params, single = cases.arrays(7), cases.arrays(7)
    alone = so.compile("adam", single, lr=0.1)
    with D.Cluster(2, staleness=3, path=tmp_path) as cluster:
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        optimizer = D.ShardedOptimizer(cluster, params, "adam", n_ranks=2, name="net", lr=0.1)
        workers = D.Workers(cluster, fixed, [users], optimizers=[optimizer], ranks=2)
        for done in workers.steps(9):
            ones = {n: np.ones_like(w) for n, w in single.items()}
            every = [worker_dense.gradients(done.step, r, ones) or dict.fromkeys(single) for r in range(2)]
            alone(D.tree_sum(every))
            if done.step in (3, 6):
                cluster.reshard(done.step)
                assert optimizer.n_owners == done.step
            cases.same_bits(params, single)
        assert workers.redone == 2 * 3 * 2  # three steps of two ranks, twice


def unlike(step: int, rank: int, ranks: int) -> Any:
    """Rank 1 has other dtypes than rank 0 in step 2."""
    weights = (yield {"net": None})["net"]
    is_other = (step, rank) == (2, 1)
    return {"net": {n: np.ones(w.shape, "float32" if is_other else w.dtype) for n, w in weights.items()}}


@pytest.mark.parametrize("sent", [False, True], ids=["in process", "sent"])
def test_ranks_that_disagree_change_nothing(sent: bool) -> None:
    with D.Cluster(2, transport=Losing(0, rate=0.0) if sent else None) as cluster:
        params = cases.arrays(7, dtype="float16")
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        optimizer = D.ShardedOptimizer(
            cluster, params, "adam", n_ranks=2, name="net", multi_precision=True, lr=0.1
        )
        workers = D.Workers(cluster, "test_workers_parcels:unlike", [users], optimizers=[optimizer], ranks=2)
        workers.run(1)
        before = {n: p.copy() for n, p in params.items()}
        with pytest.raises(DTypeError, match="are of float16 and float32: all ranks need one dtype"):
            workers.run(2, start=1)
        assert workers.step == optimizer.updates == 1
        cases.same_bits(params, before)
        workers.run(4, start=2)  # goes on
        assert optimizer.updates == 3


def test_an_optimizer_may_be_on_another_transport() -> None:
    expected = in_one_process("adam", 2, lr=0.1)
    for transports in ((Losing(0, rate=0.0), D.InProcess()), (D.InProcess(), Losing(1, rate=0.0))):
        with D.Cluster(2, transport=transports[0]) as cluster:
            params = cases.arrays(7)
            users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
            optimizer = D.ShardedOptimizer(
                transports[1], params, "adam", n_owners=3, n_ranks=2, name="net", lr=0.1
            )
            D.Workers(cluster, "worker_dense:train", [users], optimizers=[optimizer], ranks=2).run(STEPS)
            same(params, optimizer, expected)


def reuses(step: int, rank: int, ranks: int, *, kept: list[Any]) -> Any:
    """Writes to gradients that it has given."""
    weights = (yield {"net": None})["net"]
    for grads in kept:
        for grad in grads.values():
            grad[...] = np.nan
    kept.append({n: np.full(w.T.shape, rank + 1.0, w.dtype).T for n, w in weights.items()})
    return {"net": kept[-1]}


@pytest.mark.parametrize("n", [1, 3])
def test_functions_may_use_their_arrays_again(n: int) -> None:
    with D.Cluster(n) as cluster:
        params = cases.arrays(7)
        expected = {name: p - np.float32(3) for name, p in params.items()}
        users = D.ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
        optimizer = D.ShardedOptimizer(cluster, params, "sgd", n_ranks=2, name="net", lr=1.0)
        D.Workers(cluster, reuses, [users], optimizers=[optimizer], ranks=2, given={"kept": []}).run(1)
        cases.same_bits(params, expected)

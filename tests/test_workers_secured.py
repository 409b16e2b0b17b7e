"""What workers pass on is secured for the process that reads it, also if that was replaced while others were waited
for; and a shard that comes back after it was given up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worker_losses import Host, Losing

import symopt as so
from symopt.distributed.inprocess import Answered
from symopt.distributed.request import Request
from symopt.distributed.transport import WRITES
from symopt.errors import ClusterError, ProcessLostError

D = so.distributed
RANKS, STEPS = 3, 4


def learn(step: int, rank: int, ranks: int) -> Any:
    rows = yield {"users": np.arange(step + rank, 50 + step)}
    return {"users": rows["users"] - 1}


class Watching(Losing):
    """Loses shard 1 at its pull number `at`. `unsecured`: answers of workers that a process was sent without."""

    def __init__(self, at: int) -> None:
        super().__init__(0, rate=0.0, twice=0.0)
        self.left, self.unsecured = at, 0
        self.answers: list[Answered] = []
        self.secured: list[tuple[Answered, Host]] = []

    def call(self, host: Host, method: str, *args: Any, returns: int = 1, lane: str = WRITES) -> Any:
        if method == "pull" and host.name == "shard 1":
            self.left -= 1
            if not self.left:
                host.is_alive = False
                raise ProcessLostError(f"{host.name} is gone")
        for arg in args if method == "push" else ():
            if any(arg is answer for answer in self.answers):
                self.unsecured += not any(arg is answer and host is to for answer, to in self.secured)
        found = super().call(host, method, *args, returns=returns, lane=lane)
        self.answers += found if returns > 1 else []
        return found

    def secure(self, reply: Answered, host: Any, timeout: float | None = None) -> None:
        self.secured.append((reply, host))


def trained(transport: Losing) -> Any:
    with D.Cluster(2, transport=transport) as cluster:
        segment = so.embedding.Segment(4, "adam", learning_rate=0.1)
        users = D.ShardedTable(cluster, segment, name="users")
        D.Workers(cluster, "test_workers_secured:learn", [users], ranks=RANKS).run(STEPS)
        return users.lookup(np.arange(60)), cluster.recoveries


@pytest.mark.parametrize("at", range(1, RANKS * STEPS + 1))
def test_for_a_shard_that_was_replaced(at: int) -> None:
    transport = Watching(at)
    rows, recoveries = trained(transport)
    assert transport.unsecured == 0 and recoveries == 1
    np.testing.assert_array_equal(rows, trained(Losing(0, rate=0.0))[0])


def test_a_shard_that_was_given_up_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    get, raised = Request.get, list[bool]()

    def once(request: Request) -> Any:
        if isinstance(request.reply, Exception) and not raised:
            raised.append(True)
            raise ClusterError("shard 1 was started 5 times and lost each time")
        return get(request)

    monkeypatch.setattr(Request, "get", once)
    rows, recoveries = trained(Watching(4))
    assert raised and recoveries == 1
    np.testing.assert_array_equal(rows, trained(Losing(0, rate=0.0))[0])

"""A transport in this process whose processes die, by a seed: before a call, or after it without an answer. Pushes come
twice, answers are heard in any order, and everything is copied on its way."""

from __future__ import annotations

import pickle
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from symopt.distributed.inprocess import Answered, InProcess
from symopt.distributed.transport import WRITES, Held
from symopt.errors import ProcessLostError

MOST, LATEST = 3, 120  # losses among the latest calls: of more, a shard is given up


class Host:
    """A process."""

    def __init__(self, name: str, runs: Any) -> None:
        self.name, self.runs, self.is_alive = name, runs, True


class Losing(InProcess):
    """`seen`: how often what was injected, by the kind of process."""

    may_lose = True
    capacity = 1 << 40

    def __init__(self, seed: int, rate: float = 0.03, twice: float = 0.2) -> None:
        self.random, self.rate, self.twice = random.Random(seed), rate, twice
        self.seen: Counter[str] = Counter()
        self.hosts: list[Host] = []
        self._n_calls, self._losses = 0.0, deque([-1.0 * LATEST] * MOST, MOST)

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Host:
        self.hosts.append(Host(name, super().start(service, name, copied(dict(config)))))
        return self.hosts[-1]

    def call(
        self,
        host: Host,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:
        kind = f"{host.name.split()[0]} {method}"
        if not host.is_alive or self._loses(f"before {kind}", host):
            return self._gone(host, returns)
        try:
            given = [a.get() if type(a) is Answered else a for a in args]
        except Exception as error:
            return Answered(None, error) if returns == 1 else [Answered(None, error)] * returns
        answer = super().call(host.runs, method, *copied(given), returns=returns)
        if method == "push" and self.random.random() < self.twice:
            answer = super().call(host.runs, method, *copied(given))
            self.seen["twice"] += 1
        if self._loses(f"after {kind}", host):
            return self._gone(host, returns)
        return answer

    def _loses(self, what: str, host: Host) -> bool:
        self._n_calls += 0.5  # each call is asked twice
        if self.random.random() >= self.rate or self._losses[0] > self._n_calls - LATEST:
            return False
        self._losses.append(self._n_calls)
        self.seen[what] += 1
        host.is_alive = False
        return True

    def _gone(self, host: Host, returns: int) -> Any:
        if returns == 1 and self.random.random() < 0.5:
            raise ProcessLostError(f"{host.name} is gone")
        lost = Answered(None, ProcessLostError(f"{host.name} is gone"))
        return lost if returns == 1 else [lost] * returns

    def ready(self, replies: Sequence[Answered], timeout: float | None = None) -> list[Answered]:
        return self.random.sample(list(replies), self.random.randint(1, len(replies)))

    def put(self, value: Any) -> Held:
        return Answered(copied(value))

    def stop(self, host: Host) -> None:
        host.is_alive = False


def copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))

"""OnRay, whose processes of all kinds are killed, or hang, by a seed: at calls that the driver makes and answers that
it reads, and some moments after."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from symopt.distributed.onray import OnRay
from symopt.distributed.transport import WRITES

KINDS = {
    "symopt.distributed.worker:Worker": "worker",
    "symopt.distributed.shard:Shard": "shard",
    "symopt.distributed.owner:Owner": "owner",
}
MOST = 3  # processes that die in a step: of five in a row a cluster gives up


class Known(NamedTuple):
    """A process that was started."""

    kind: str
    host: Any


class PickingOff:
    """`rate`: of calls and answers at which a process is lost. `most`: how many of each kind, in the proportion of
    which kinds are chosen. `hangs`: seconds at most that one is stopped for; None: it is killed. `far`: share of
    processes that are called as if they were on another machine. `lost`: how many were, by kind; `moments`,
    also by what the driver was doing. Nothing is lost unless `aims`."""

    may_lose = True

    def __init__(
        self,
        seed: Any,
        most: Mapping[str, int],
        *,
        rate: float,
        hangs: float | None = None,
        far: float = 0.0,
        **options: Any,
    ) -> None:
        self.inner = OnRay(paths=[os.path.dirname(__file__)], **options)
        self.capacity = self.inner.capacity
        self.random = random.Random(repr(seed))
        self.rate, self.hangs, self.most, self.far = rate, hangs, Counter(most), far
        self.aims = False
        self.lost, self.moments = Counter[str](), Counter[tuple[str, str]]()
        self._left, self._known = 0, list[Known]()
        self._timers, self._stopped = list[threading.Timer](), set[int]()

    def new_step(self) -> None:
        """So many may be lost again."""
        self._left = MOST

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Any:
        host = self.inner.start(service, name, config)
        if self.random.random() < self.far:
            host.memory = None
        self._known.append(Known(KINDS[service], host))
        return host

    def call(self, host: Any, method: str, *args: Any, returns: int = 1, lane: str = WRITES) -> Any:
        self._may_pick(f"call {method}")
        answer = self.inner.call(host, method, *args, returns=returns, lane=lane)
        self._may_pick(f"called {method}")
        return answer

    def wait(self, reply: Any, timeout: float | None = None) -> Any:
        self._may_pick("read")
        return self.inner.wait(reply, timeout)

    def is_done(self, reply: Any) -> bool:
        return self.inner.is_done(reply)

    def ready(self, replies: Sequence[Any], timeout: float | None = None) -> list[Any]:
        self._may_pick("listen")
        found = self.inner.ready(replies, timeout)
        self._may_pick("heard")
        return found

    def put(self, value: Any) -> Any:
        return self.inner.put(value)

    def secure(self, reply: Any, host: Any, timeout: float | None = None) -> None:
        self.inner.secure(reply, host, timeout)

    def process_id(self, host: Any) -> int | None:
        return self.inner.process_id(host)

    def stop(self, host: Any) -> None:
        self._known = [each for each in self._known if each.host is not host]
        self.inner.stop(host)

    def close(self) -> None:
        self.end()
        self.inner.close()

    # ---- losses

    def _may_pick(self, moment: str) -> None:
        may = self.aims and self._left > 0 and self.most.total() > 0
        if not may or self.random.random() >= self.rate:
            return
        kind = self.random.choices([*self.most], [*self.most.values()])[0]
        number = self._number(kind)
        if number is None:
            return
        self._left -= 1
        self.most[kind] -= 1
        self.moments[kind, moment] += 1
        if self.random.random() < 0.5:
            self._lose(kind, number)
        else:
            self._later(self.random.random() * 0.02, self._lose, kind, number)

    def _number(self, kind: str) -> int | None:
        """The process of one of a kind that has begun."""
        some = [each.host for each in self._known if each.kind == kind]
        found = self.inner.process_id(self.random.choice(some)) if some else None
        return None if found in self._stopped else found

    def _later(self, seconds: float, does: Any, *args: Any) -> None:
        self._timers.append(threading.Timer(seconds, does, args))
        self._timers[-1].start()

    def _lose(self, kind: str, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.hangs is None:
                os.kill(number, signal.SIGKILL)
            else:
                os.kill(number, signal.SIGSTOP)
                self._stopped.add(number)
                self._later(self.random.random() * self.hangs, self._wake, number)
            self.lost[kind] += 1

    def _wake(self, number: int) -> None:
        self._stopped.discard(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGCONT)

    def end(self) -> None:
        """Nothing is lost from now on, and nothing hangs."""
        self.aims = False
        for timer in self._timers:
            timer.join()

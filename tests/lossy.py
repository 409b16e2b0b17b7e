"""A transport in this process that does all that a network and its machines may do: processes die before a call, or
after it without an answer; calls come twice, late, in another order; answers come too late; and processes that were
given up go on. A seed says what happens when. Everything is pickled on its way, so nothing is shared."""

from __future__ import annotations

import pickle
import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symopt.distributed.transport import WRITES, served
from symopt.errors import ProcessLostError, StoreFullError

RATES = {
    "before": 0.02,  # of calls: the process dies before it does it
    "after": 0.02,  # the process dies when it has done it, and gives no answer
    "twice": 0.2,  # of pushes: comes twice
    "late": 0.3,  # comes later than what is sent next
    "slow": 0.01,  # does not answer in time
    "lives on": 0.5,  # of processes that were stopped: goes on all the same
    "strays": 0.1,  # of pushes: an old one comes to the new process, and this one to an old process
    "interrupt": 0.0,  # of waits: Ctrl-C
    "full": 0.0,  # of values put: no room
}
MOST = 4  # losses among the latest calls: of more, a cluster gives a shard up
LATEST = 80


class DriverDied(BaseException):
    """Stands for SIGKILL of the driver: nothing of it is done any more."""


@dataclass
class Host:
    """A process: what it runs, and the calls that have not come yet."""

    name: str
    runs: Any
    is_alive: bool = True
    is_stopped: bool = False
    waiting: list[Reply] = field(default_factory=list)


class Reply:
    """A call, and its answer once it was made."""

    def __init__(self, host: Host, method: str, args: bytes) -> None:
        self.host, self.method, self.args = host, method, args
        self.answer: bytes | None = None
        self.is_slow = False


@dataclass(frozen=True)
class Held:
    value: bytes


class Lossy:
    """A Transport. `seen`: how often each fault was injected. `ghosts`: processes of a former driver, which go on.
    `kill_driver_in`: so many calls until DriverDied."""

    may_lose = True
    capacity = 1 << 40

    def __init__(self, seed: Any, ghosts: Iterable[Host] = (), **rates: float) -> None:
        self.random = random.Random(repr(seed))
        self.rates = {**RATES, **{name.replace("_", " "): rate for name, rate in rates.items()}}
        self.seen: Counter[str] = Counter()
        self.hosts: list[Host] = [*ghosts]
        self.kill_driver_in: int | None = None
        self.is_calm = False
        self._n_calls = 0
        self._losses: deque[int] = deque(maxlen=MOST)

    # ---- the Transport

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Host:
        host = Host(name, served(service, copied(dict(config))))
        self.hosts.append(host)
        return host

    def call(
        self,
        host: Host,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:
        assert returns == 1
        self._n_calls += 1
        if self.kill_driver_in is not None:
            self.kill_driver_in -= 1
            if self.kill_driver_in <= 0:
                raise DriverDied
        if not host.is_alive or host.is_stopped:
            raise ProcessLostError(f"{host.name} is gone")
        reply = Reply(host, method, pickle.dumps(args))
        host.waiting.append(reply)
        if method == "push" and self._happens("strays"):
            self._stray(host, reply)
        if not self._happens("late"):
            self._deliver_some(host)
        self._haunt()
        return reply

    def wait(self, reply: Reply, timeout: float | None = None) -> Any:
        if self._happens("interrupt"):
            raise KeyboardInterrupt
        if timeout is not None and not reply.is_slow and self._loses("slow"):
            reply.is_slow = True
            if self.random.random() < 0.5:
                self._deliver_some(reply.host)
        if reply.is_slow:
            raise TimeoutError(f"{reply.host.name} has not answered")
        while reply.answer is None and reply.host.is_alive:
            self._deliver(reply.host, self.random.randrange(len(reply.host.waiting)))
        if reply.answer is None:
            raise ProcessLostError(f"{reply.host.name} is gone")
        found, error = pickle.loads(reply.answer)
        if error is not None:
            raise error
        return found

    def is_done(self, reply: Reply) -> bool:
        return reply.answer is not None or not reply.host.is_alive

    def ready(self, replies: Sequence[Reply], timeout: float | None = None) -> list[Reply]:
        while not (done := [reply for reply in replies if self.is_done(reply)]):
            hosts = [reply.host for reply in replies if not reply.is_slow]
            if not hosts:
                return []
            host = self.random.choice(hosts)
            self._deliver(host, self.random.randrange(len(host.waiting)))
        return done

    def put(self, value: Any) -> Held:
        if self._happens("full"):
            raise StoreFullError("no room")
        return Held(pickle.dumps(value))

    def secure(self, reply: Reply, host: Host, timeout: float | None = None) -> None:
        pass

    def process_id(self, host: Host) -> int | None:
        return None

    def stop(self, host: Host) -> None:
        host.is_stopped = True
        if not self._happens("lives on"):
            host.is_alive = False

    def close(self) -> None:
        for host in self.hosts:
            self.stop(host)

    # ---- what happens on the way

    def _happens(self, what: str) -> bool:
        if self.is_calm or self.random.random() >= self.rates[what]:
            return False
        self.seen[what] += 1
        return True

    def _loses(self, what: str) -> bool:
        """Whether a process is lost now, which may not happen too often in a row."""
        crowded = len(self._losses) == MOST and self._losses[0] > self._n_calls - LATEST
        if crowded or not self._happens(what):
            return False
        self._losses.append(self._n_calls)
        return True

    def _deliver_some(self, host: Host) -> None:
        while host.is_alive and host.waiting and self.random.random() < 0.8:
            self._deliver(host, self.random.randrange(len(host.waiting)))

    def _deliver(self, host: Host, at: int) -> None:
        reply = host.waiting.pop(at)
        if not host.is_stopped and self._loses("before"):
            self.seen[f"before {reply.method}"] += 1
            host.is_alive = False
            return
        answers = [made(host, reply.method, reply.args)]
        if reply.method == "push" and self._happens("twice"):
            answers.append(made(host, reply.method, reply.args))
        if not host.is_stopped and self._loses("after"):
            self.seen[f"after {reply.method}"] += 1
            host.is_alive = False
            return
        reply.answer = self.random.choice(answers)

    def _stray(self, host: Host, reply: Reply) -> None:
        """A push also comes to a former process of this name, and pushes to that one come to this."""
        for old in self.hosts:
            if old is not host and old.name == host.name and old.is_alive and old.is_stopped:
                made(old, "push", reply.args)
                for late in [each for each in old.waiting if each.method == "push"]:
                    made(host, "push", late.args)
                    self.seen["to the new process"] += 1

    def _haunt(self) -> None:
        """A process that was given up does something that it was once told."""
        for host in self.hosts:
            if host.is_stopped and host.is_alive and host.waiting and self.random.random() < 0.2:
                reply = host.waiting.pop(self.random.randrange(len(host.waiting)))
                made(host, reply.method, reply.args)
                self.seen[f"too late {reply.method}"] += 1


def calm(**rates: float) -> Lossy:
    """A transport that delays and repeats, and loses nothing."""
    given: dict[str, Any] = {"before": 0, "after": 0, "slow": 0, **rates}
    return Lossy("calm", **given)


def lose(cluster: Any, number: int = 0) -> None:
    """The process of a shard is gone, and nobody knows."""
    cluster.lines[number]._host.is_alive = False


def made(host: Host, method: str, args: bytes) -> bytes:
    """What a process answers to a call, or raises."""
    given = [pickle.loads(a.value) if type(a) is Held else a for a in pickle.loads(args)]
    try:
        found = getattr(host.runs, method)(*given)
    except Exception as error:
        return pickle.dumps((None, error))
    return pickle.dumps((found, None))


def copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))

"""A transport in this process that loses processes: arguments and answers are copied as if they were sent."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from symopt.distributed.transport import WRITES, served
from symopt.errors import ProcessLostError


class Host:
    def __init__(self, name: str, served_object: Any) -> None:
        self.name, self.object, self.is_alive = name, served_object, True


class Reply:
    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error


class Losing:
    """`lose`: asked at every call with (process, method, how often that method was called at all); "before": the
    process dies without doing it, "after": having done it and not answered. `log`: (process, method) of all calls."""

    may_lose = True
    capacity = 1 << 40

    def __init__(self, lose: Callable[[str, str, int], str | None] = lambda *_: None) -> None:
        self.lose = lose
        self.started: list[Host] = []
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, str]] = []

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Host:
        self.started.append(Host(name, served(service, sent(config))))
        return self.started[-1]

    def call(
        self,
        host: Host,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:
        assert returns == 1
        self.calls[method] += 1
        self.log.append((host.name, method))
        fate = self.lose(host.name, method, self.calls[method]) if host.is_alive else None
        if fate == "before" or not host.is_alive:
            host.is_alive = False
            return Reply(error=ProcessLostError(host.name))
        try:
            given = [a.value if isinstance(a, Reply) else a for a in args]
            reply = Reply(sent(getattr(host.object, method)(*map(sent, given))))
        except Exception as error:
            reply = Reply(error=error)
        if fate == "after":
            host.is_alive = False
            return Reply(error=ProcessLostError(host.name))
        return reply

    def wait(self, reply: Reply, timeout: float | None = None) -> Any:
        if reply.error is not None:
            raise reply.error
        return reply.value

    def is_done(self, reply: Reply) -> bool:
        return True

    def ready(self, replies: Sequence[Reply], timeout: float | None = None) -> list[Reply]:
        return [*replies]

    def put(self, value: Any) -> Reply:
        return Reply(sent(value))

    def secure(self, reply: Reply, host: Host, timeout: float | None = None) -> None:
        pass

    def process_id(self, host: Host) -> int | None:
        return None

    def stop(self, host: Host) -> None:
        host.is_alive = False

    def close(self) -> None:
        for host in self.started:
            host.is_alive = False


def sent(value: Any) -> Any:
    """A copy whose arrays are read-only, as those in a store are."""
    return frozen(pickle.loads(pickle.dumps(value)))


def frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        for each in value.values():
            frozen(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            frozen(each)
    return value

"""Processes of Ray that kill themselves, and a network that sends twice and in another order. No process needs to be
told what it is for: what runs there is a shard that this module has made mortal."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from symopt.distributed.onray import OnRay
from symopt.distributed.shard import Shard
from symopt.distributed.transport import WRITES

MOMENTS = [
    (method, when) for method in ("push", "save", "open", "ask", "pull") for when in ("before", "after")
]


class Mortal(Shard):
    """A shard whose process is killed, like by kill -9, at the n-th call of a method: `config["dies"]`, (method, n,
    "before" or "after"): before it is done, or before it is answered."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self._dies: Any = config.get("dies")
        self._calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or not self._dies or name != self._dies[0]:
            return found

        def mortal(*args: Any) -> Any:
            self._calls[name] += 1
            is_last = self._calls[name] == self._dies[1]
            if is_last and self._dies[2] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = found(*args)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return mortal


class Reply:
    """A call that may not have been sent yet."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.inner: Any = None


class Killing:
    """OnRay, some of whose processes are mortal, and pushes come twice or in another order. `deaths`: (method, when) of
    those that were planned. `share`: of processes, that are mortal."""

    may_lose = True

    def __init__(self, seed: Any, share: float = 0.5, **options: Any) -> None:
        self.inner = OnRay(paths=[os.path.dirname(__file__)], **options)
        self.capacity = self.inner.capacity
        self.random = random.Random(repr(seed))
        self.share, self.deaths, self.sent = share, Counter[tuple[str, str]](), Counter[str]()
        self._in_row: Counter[str] = Counter()
        self._back: dict[int, list[tuple[Reply, tuple[Any, ...]]]] = {}

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Any:
        dies = None
        self._in_row[name] += 1
        if self.random.random() < self.share and self._in_row[name] % 4:
            method, when = self.random.choice(MOMENTS)
            dies = (method, 1 if method in ("open", "save") else self.random.randrange(1, 9), when)
            self.deaths[method, when] += 1
        return self.inner.start("killing:Mortal", name, {**config, "dies": dies})

    def call(
        self,
        host: Any,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:
        reply = Reply(host)
        if method == "push" and self.random.random() < 0.2:
            self._back.setdefault(id(host), []).append((reply, args))
            self.sent["late"] += 1
            return reply
        reply.inner = self.inner.call(host, method, *args, lane=lane)
        if method == "push" and self.random.random() < 0.2:
            reply.inner = self.inner.call(host, method, *args, lane=lane)
            self.sent["twice"] += 1
        self._send_late(host)
        return reply

    def _send_late(self, host: Any) -> None:
        for reply, args in self._back.pop(id(host), []):
            reply.inner = self.inner.call(host, "push", *args)

    def wait(self, reply: Reply, timeout: float | None = None) -> Any:
        if reply.inner is None:
            self._send_late(reply.host)
        return self.inner.wait(reply.inner, timeout)

    def is_done(self, reply: Reply) -> bool:
        return reply.inner is not None and self.inner.is_done(reply.inner)

    def ready(self, replies: Sequence[Reply], timeout: float | None = None) -> list[Reply]:
        for reply in replies:
            self._send_late(reply.host)
        done = self.inner.ready([reply.inner for reply in replies], timeout)
        return [reply for reply in replies if any(reply.inner is inner for inner in done)]

    def put(self, value: Any) -> Any:
        return self.inner.put(value)

    def secure(self, reply: Any, host: Any, timeout: float | None = None) -> None:
        self.inner.secure(reply.inner, host, timeout)

    def process_id(self, host: Any) -> int | None:
        return self.inner.process_id(host)

    def stop(self, host: Any) -> None:
        self.inner.stop(host)

    def close(self) -> None:
        self.inner.close()

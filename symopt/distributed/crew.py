"""The processes of workers: which does which rank, and who takes over when one is lost."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from ..embedding.options import whole
from ..errors import ProcessLostError, TooLateError
from .transport import Host, Reply, Transport
from .worker import SERVICE

LOG = logging.getLogger("symopt.distributed")


class Crew:
    """`size` processes that do `ranks` ranks: with fewer than ranks each does several, and more stand by. `lost`: how
    many were replaced."""

    def __init__(self, transport: Transport, config: Mapping[str, Any], ranks: int, size: int) -> None:
        self.hosts: list[Host] = []
        self.lost = 0
        self._transport, self._config, self._ranks = transport, config, ranks
        self._starting: list[tuple[Host, Reply]] = []  # processes, and what tells that they are there
        self._started = 0
        self.resize(size)

    def resize(self, size: int) -> None:
        """Have so many. Ranks of those that go are others' from now on."""
        size = whole("workers: processes", size, 1, 1 << 16)
        while len(self.hosts) > size:
            self._transport.stop(self.hosts.pop())
        while len(self.hosts) < size:
            self.hosts.append(self._start())

    def _start(self) -> Host:
        self._started += 1
        host = self._transport.start(SERVICE, f"worker {self._started}", self._config)
        self._starting = [each for each in self._starting if not self._transport.is_done(each[1])]
        with contextlib.suppress(ProcessLostError):  # the first step that it gets will tell
            self._starting.append((host, self._transport.call(host, "hello")))
        return host

    def of_rank(self, rank: int) -> Host:
        """The process that does a rank. TooLateError if all were let go."""
        if not self.hosts:
            raise TooLateError("these workers are closed")
        return self.hosts[rank % min(self._ranks, len(self.hosts))]

    def has(self, host: Host) -> bool:
        """Whether it is one of them."""
        return any(each is host for each in self.hosts)

    def is_starting(self, host: Host) -> bool:
        """Whether a process is not there yet."""
        is_done = self._transport.is_done
        return any(each is host and not is_done(reply) for each, reply in self._starting)

    def replace(self, host: Host, error: Exception) -> None:
        """Have another process in place of one: the last that stands by, for which a new one does, or a new one.
        Nothing if that was done already."""
        if not self.has(host):
            return
        LOG.warning("%s; another process takes over", error)
        self._transport.stop(host)
        self.lost += 1
        k = next(k for k, each in enumerate(self.hosts) if each is host)
        if len(self.hosts) > self._ranks > k:
            self.hosts[k] = self.hosts.pop()
            self.hosts.append(self._start())
        else:
            self.hosts[k] = self._start()

    def close(self) -> None:
        """Let all go."""
        while self.hosts:
            self._transport.stop(self.hosts.pop())

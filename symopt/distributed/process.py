"""The process of a shard, as the driver sees it: started, called and waited for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import MismatchError, ProcessLostError
from .shard import SERVICE
from .spec import differing
from .stream import Stream
from .transport import LOST, READS, WRITES, Host, Reply, Transport

LOG = logging.getLogger("symopt.distributed")
TRIES = 5  # processes, until a shard is given up


class Process:
    """The process of shard `number`, and the one after it if that is lost. `epoch`: of the process; each has its own.
    `timeout`: seconds that it may take to answer."""

    def __init__(self, transport: Transport, number: int, epoch: int, timeout: float | None) -> None:
        self.number, self.epoch, self.timeout = number, epoch, timeout
        self._transport = transport
        self._lost: Exception | None = None  # why the process is not what it should be, until another is
        self._host: Host = None

    @property
    def _name(self) -> str:
        return f"shard {self.number}"

    @property
    def process_id(self) -> int | None:
        """See Transport."""
        return self._transport.process_id(self._host)

    def start_anew(self) -> None:
        """Have another process, which has no tables yet."""
        self._end()
        self.epoch += 1  # before there is a process: no two ever have the same
        config = {"number": self.number, "epoch": self.epoch}
        self._host = self._transport.start(SERVICE, self._name, config)
        LOG.info("shard %d, epoch %d: started", self.number, self.epoch)

    def _end(self) -> None:
        if self._host is not None:
            self._transport.stop(self._host)

    def open_there(self, stream: Stream, reserve: int) -> None:
        """Have the part of a table in the process, as its checkpoint has it, with room for `reserve` rows.
        MismatchError if the process understands something else by its spec."""
        args = (stream.name, stream.spec, stream.base, stream.saved, reserve)
        found = self._wait(self._transport.call(self._host, "open", *args), is_long=True, anew=True)
        if lines := differing(stream.spec["segments"], found):
            listed = "".join(f"\n    {line}" for line in lines)
            raise MismatchError(f"shard {self.number} understands {stream.name} as something else:{listed}")
        LOG.info("shard %d, epoch %d: has %s, step %d", self.number, self.epoch, stream.name, stream.base)

    def secure(self, reply: Reply) -> None:
        """See Transport: what whoever replaces the process has to be sent again."""
        self._transport.secure(reply, self._host, self.timeout)

    def request_status(self) -> Callable[[float], Mapping[str, Any] | None]:
        """Ask the process about itself, beside its other work. A function of the seconds that it has for the answer;
        None if there is none. Whoever asks waits for no recovery, and begins none."""
        try:
            reply = self._transport.call(self._host, "status", lane=READS)
        except ProcessLostError:
            return lambda seconds: None

        def get(seconds: float) -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = self._transport.wait(reply, seconds)
            except LOST:
                return None
            return found

        return get

    # ---- calls

    def _call(self, method: str, *args: Any, lane: str = WRITES, anew: bool = False) -> Reply:
        """`anew`: by who makes the process what it should be; others wait for that."""
        if self._lost is not None and not anew:
            return self._lost
        try:
            return self._transport.call(self._host, method, self.epoch, *args, lane=lane)
        except ProcessLostError as error:
            return without_frames(error)

    def _wait(self, reply: Reply, is_long: bool = False, anew: bool = False) -> Any:
        """The answer. `is_long`: it may take longer than `timeout`, as long as the process answers at all."""
        if self._lost is not None and not anew:
            raise ProcessLostError(str(self._lost)) from self._lost
        while True:
            if isinstance(reply, Exception):
                raise ProcessLostError(str(reply)) from reply
            try:
                return self._transport.wait(reply, self.timeout)
            except TimeoutError:
                if not is_long:
                    raise
            self._wait(self._call("ping", lane=READS, anew=anew), anew=anew)


def without_frames(error: Exception) -> Exception:
    """An error that holds nothing of what was sent: it may be there for long, and its frames in a cycle."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__, each = None, each.__cause__ or each.__context__
    return error

"""A process on the driver's machine, once it is started: it is called without the engine that started it, and answers
with addresses of memory that both map."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from ..errors import ProcessLostError
from ..interrupts import uninterrupted
from .arena import Memory, Readers, Shared
from .near import Answer, Channel
from .raised import Raised
from .transport import WRITES


class Lent:
    """A value in the memory of a process, which may use the room again when this goes."""

    __slots__ = ("freed", "memory", "shared")

    def __init__(self, shared: Shared, freed: deque[int], memory: Memory) -> None:
        self.shared, self.freed = shared, freed
        self.memory = memory  # stays until this goes, whatever became of the process

    def __del__(self) -> None:
        self.freed.append(self.shared.block)


class NearReply:
    """One of the values that a call is answered. `args`: what the call reads, which stays until this is looked at, or
    goes. From then on this has its own value only, and not the others of its call: it may be kept for long."""

    __slots__ = ("answer", "args", "beside", "channel", "index", "value")

    def __init__(
        self, beside: Beside, channel: Channel, answer: Answer, index: int, args: Sequence[Any]
    ) -> None:
        self.beside, self.channel, self.index, self.args = beside, channel, index, args
        self.answer: Answer | None = answer  # until there is a value
        self.value: Any = None

    def raw(self, timeout: float | None = None) -> Any:
        """The value as it came: Lent if it is shared, Raised if the method raised. ProcessLostError, TimeoutError."""
        answer = self.answer
        if answer is not None:
            self.channel.wait(answer, timeout)
            if answer.error is not None:
                raise answer.error
            assert answer.values is not None
            self.value = answer.values[self.index]
            self.answer, self.args = None, ()
        return self.value

    def is_done(self) -> bool:
        """Whether `raw` would return or raise at once."""
        answer = self.answer
        if answer is not None and not answer.is_there:
            self.channel.pump(0.0)
        return answer is None or answer.is_there


class Beside:
    """The driver's end: `memory` is where the process puts what it answers, `address` where it is called."""

    def __init__(self, name: str, memory: Memory, address: str, readers: Readers) -> None:
        self.name, self.memory, self._address, self._readers = name, memory, address, readers
        self._freed: deque[int] = deque()  # blocks of its memory that nobody reads any more
        self._channels: dict[str, Channel] = {}
        self._lock = threading.Lock()

    def call(self, method: str, args: Sequence[Any], returns: int, lane: str) -> list[NearReply]:
        """Call a method with what it is to be sent: values, Shared or Lent ones; `returns` answers."""
        channel = self._channel(lane)
        sent = [a.shared if type(a) is Lent else a for a in args]
        with uninterrupted():  # else blocks could be taken off the list and not be sent
            freed = [self._freed.popleft() for _ in range(len(self._freed))]
            try:
                answer = channel.call(method, returns, freed, sent)
            except BaseException:  # it can't be pickled, and nothing was sent
                self._freed.extend(freed)
                raise
        return [NearReply(self, channel, answer, k, args) for k in range(returns)]

    def failed(self, error: ProcessLostError, returns: int) -> list[NearReply]:
        """What a call is answered that can't be made, because another process is gone."""
        return [NearReply(self, self._channel(WRITES), Answer(error), k, ()) for k in range(returns)]

    def _channel(self, lane: str) -> Channel:
        with self._lock:  # two threads would make two, and calls overtake each other
            if lane not in self._channels:
                self._channels[lane] = Channel(self._address, self.name, self._take)
            return self._channels[lane]

    def read(self, reply: NearReply, timeout: float | None) -> Any:
        """The value of a reply, with arrays that are views; what the method raised."""
        found = reply.raw(timeout)
        if type(found) is Lent:
            return self._readers.read(found.shared, found)
        if type(found) is Raised:
            raise found.error
        return found

    def _take(self, values: list[Any]) -> list[Any]:
        return [Lent(v, self._freed, self.memory) if type(v) is Shared else v for v in values]

    def close(self) -> None:
        """Call it no more."""
        for channel in self._channels.values():
            channel.close()

"""The driver's side of the owners: what each was told since it was last looked at, so that it can be replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

from ..errors import ClusterError, ProcessLostError, StoreFullError
from .transport import LOST, Reply, Transport, check_is_of, secure_again

SERVICE = "symopt.distributed.owner:Owner"
LOG = logging.getLogger("symopt.distributed")
TRIES = 5  # processes that may be lost one after the other before that is no accident


class Told(NamedTuple):
    """A call: the method, whether it takes the epoch first, the other arguments, their bytes, and whether the last is
    the answer of another process."""

    method: str
    has_epoch: bool
    args: tuple[Any, ...]
    nbytes: int = 0
    is_answer: bool = False


class Asked(NamedTuple):
    """A call that was made, and of which process."""

    told: Told
    reply: Reply
    epoch: int


class OwnerLine:
    """One owner. Its process is replaced when it is lost: a new one, at the next epoch, begins with the last state
    taken and is told again what the former was told since; no other owner goes back.

    Attributes: `epoch`, `recoveries`, and `kept_bytes`, of the gradients that are kept for it.
    """

    def __init__(
        self, transport: Transport, name: str, config: Mapping[str, Any], timeout: float | None = None
    ) -> None:
        self.epoch = self.recoveries = self.kept_bytes = 0
        self._transport, self._name, self._config = transport, name, config
        self._timeout = timeout
        self._base: list[Told] = []
        self._graphs: list[Told] = []  # that were known at the base
        self._told: list[Told] = []
        self._host = self._started()

    def _started(self) -> Any:
        config = {**self._config, "epoch": self.epoch}
        return self._transport.start(SERVICE, self._process_name, config)

    @property
    def _process_name(self) -> str:
        return f"{self._name}-{self.epoch}"

    # ---- calls

    def tell(self, told: Told) -> Asked:
        """Make a call that changes the owner. It is kept until the next state is taken."""
        if self._transport.may_lose:
            self._told.append(told)
            self.kept_bytes += told.nbytes
            if told.is_answer:
                secure_again(self, told.args[-1])
        return self._call(told)

    def ask(self, method: str, *args: Any, has_epoch: bool = True) -> Asked:
        """Make a call that changes nothing."""
        return self._call(Told(method, has_epoch, args))

    def _call(self, told: Told) -> Asked:
        epoch = (self.epoch,) if told.has_epoch else ()
        try:
            reply = self._transport.call(self._host, told.method, *epoch, *told.args)
        except ProcessLostError:
            reply = None  # `answer` finds it lost
        return Asked(told, reply, self.epoch)

    def secure(self, reply: Reply) -> None:
        """See Transport: what whoever replaces the process has to be told again."""
        self._transport.secure(reply, self._host, self._timeout)

    def answer(self, asked: Asked) -> Any:
        """What a call gave; of a new process, if that one is lost."""
        for _ in range(TRIES):
            if asked.epoch != self.epoch:  # told again, and asked again: whatever is done once says so
                asked = self._call(asked.told)
            try:
                return self._wait(asked)
            except LOST as error:
                self._replace(error)
        raise ClusterError(f"{self._name}: {TRIES} processes were lost one after the other")

    def _wait(self, asked: Asked) -> Any:
        if asked.reply is None:
            raise ProcessLostError(f"{self._name} is gone")
        return self._transport.wait(asked.reply, self._timeout)

    def _replace(self, error: Exception) -> None:
        """Start another process, and tell it all that brings it to where the last one was. If that one was too slow,
        it has twice as long: what is only slow ends."""
        if isinstance(error, TimeoutError) and self._timeout is not None:
            self._timeout *= 2
        self._transport.stop(self._host)
        self.epoch += 1
        self.recoveries += 1
        LOG.warning("%s is lost: replaced, epoch %d", self._name, self.epoch)
        self._host = self._started()
        try:
            asked = [self._call(told) for told in (*self._base, *self._graphs)]
            for told in self._told:
                if told.is_answer:
                    self.secure(told.args[-1])
                asked.append(self._call(told))
            for each in asked:
                self._wait(each)
        except LOST as again:  # whoever asks next finds it lost
            check_is_of(self._process_name, again)

    # ---- states

    def held(self, value: Any) -> Any:
        """A value that stays, if it may have to be sent again."""
        return self._transport.put(value) if self._transport.may_lose else value

    def begin(self, step: int, weights: Sequence[Any], kept: Mapping[str, Any] | None) -> None:
        """Let the owner begin with a state; what it was told before does not matter any more."""
        base = Told("begin", False, (step, self.held(weights), self.held(kept)))
        self._rest(base)
        self.answer(self._call(base))

    def snapshot(self) -> Callable[[], None]:
        """Take the owner's state as what a new process begins with. What it gives makes it so."""
        if not self._transport.may_lose:
            return lambda: None
        state = self.answer(self.ask("state", has_epoch=False))
        base = Told("resume", False, (self.held(state),))
        return lambda: self._rest(base, state["step"])

    def _rest(self, base: Told, step: int | None = None) -> None:
        """Keep only what comes after `base`: of gradients, those after `step`."""
        learned = [*self._graphs, *(t for t in self._told if t.method == "learn")]
        now = learned[-1].args[0][0] if learned else None
        self._graphs = [t for t in learned if t.args[0][0] == now]
        is_open = [t.method == "push" and step is not None and t.args[0] > step for t in self._told]
        self._told = list(compress(self._told, is_open))
        self._base, self.kept_bytes = [base], sum(t.nbytes for t in self._told)

    def stop(self) -> None:
        """Let the process go."""
        self._transport.stop(self._host)


class Owners:
    """All owners of one optimizer. `max_bytes`: of gradients that are kept for those that may be lost."""

    def __init__(
        self,
        transport: Transport,
        name: str,
        configs: Sequence[Mapping[str, Any]],
        max_bytes: int,
        timeout: float | None,
    ) -> None:
        self.lines = [OwnerLine(transport, f"{name}-{k}", c, timeout) for k, c in enumerate(configs)]
        self._max_bytes = min(max_bytes, transport.capacity)

    def tell(self, told: Sequence[Told | None]) -> list[Asked | None]:
        """A call to each that changes it; None: none."""
        return [None if t is None else line.tell(t) for line, t in zip(self.lines, told, strict=True)]

    def answers(self, asked: Sequence[Asked | None]) -> list[Any]:
        """What each gave; None where none was asked."""
        return [None if a is None else line.answer(a) for line, a in zip(self.lines, asked, strict=True)]

    def ask(self, method: str, *args: Any) -> list[Any]:
        """What each gives, all asked at once, of something that changes nothing and needs no epoch."""
        return self.answers([line.ask(method, *args, has_epoch=False) for line in self.lines])

    def make_room(self, nbytes: int) -> None:
        """Take a snapshot if with so many bytes more too many would be kept."""
        if sum(line.kept_bytes for line in self.lines) + nbytes > self._max_bytes:
            self.snapshot()

    def snapshot(self) -> None:
        """Let a lost owner begin with the states as they are now, and let go of what is kept."""
        for commit in [line.snapshot() for line in self.lines]:
            commit()

    def hold(self, value: Any) -> Any:
        """A value that stays, if it may have to be sent again; older ones go if there is no room."""
        try:
            return self.lines[0].held(value)
        except StoreFullError:
            self.snapshot()
            return self.lines[0].held(value)

    def stop(self) -> None:
        """Let all processes go."""
        for line in self.lines:
            line.stop()

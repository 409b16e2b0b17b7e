"""What a cluster does with one shard: send pushes, keep them until a checkpoint has them, and start it again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from ..errors import ClusterError, PushFailedError
from ..interrupts import uninterrupted
from .content import Content, copied
from .process import LOG, TRIES, Process, without_frames
from .request import Request
from .sequence import FENCED, GAP
from .shard import Answer
from .stream import KEPT, Births, Holding, Sent, Stream
from .transport import LARGE, LOST, WRITES, Reply, Transport, check_is_of, secure_again, size

LONG = 1.0  # seconds; a longer wait for room is told


class Line(Process):
    """The driver's side of shard `number` of so many. `epoch`: of its process; each has its own. `timeout`: seconds;
    whoever takes longer is replaced, and the next one is given twice as long: what is only slow ends."""

    def __init__(
        self,
        transport: Transport,
        number: int,
        streams: Mapping[str, Stream],
        *,
        of: int = 1,
        epoch: int = 0,
        timeout: float | None = None,
        window: int = 4,
    ) -> None:
        super().__init__(transport, number, epoch, timeout)
        self.of, self.window = of, window
        self.kept: list[Sent] = []
        self.kept_bytes = self.flying_bytes = self.recoveries = 0
        self.seconds: list[float] = []  # that recoveries took
        self.answer: Answer | None = None  # the latest
        self.done: dict[str, int] = {}  # steps of each table that answers have said are done
        self.dups: dict[tuple[int, str], int] = {}  # pushes that each process refused, by epoch and table
        self.waited = 0.0  # seconds, for room
        self.keeps = transport.may_lose
        self._streams = streams
        self._flying: deque[tuple[Sent, Reply]] = deque()
        self._births: dict[str, Births] = {}
        self._early: list[Sent] = []  # parts that the shard reads when their steps are complete
        self.start_anew()

    @property
    def n_flying(self) -> int:
        """Pushes that are not answered."""
        return len(self._flying)

    # ---- pushes

    def hold(self, content: Content, of: int = 1) -> Holding:
        """Put a content where it stays, until it is pushed and needed no more. StoreFullError if there is no room."""
        nbytes = content.nbytes
        if size(content) >= LARGE and self._transport.may_lose:
            return Holding(self._transport.put(content), nbytes)
        is_read_later = self._transport.may_lose or of > 1
        return Holding(copied(content) if is_read_later else content, nbytes)

    def push(self, stream: Stream, step: int, rank: int, of: int, held: Holding) -> None:
        """Send what is held, and do not wait."""
        sent = Sent(stream.name, step, rank, of, *held)
        if self.keeps:
            self.kept.append(sent)
            self.kept_bytes += sent.nbytes + KEPT
            if sent.rows is not None:
                secure_again(self, sent.rows)
        self._fly(sent)

    def _fly(self, sent: Sent, anew: bool = False) -> None:
        name, step, rank, of, content, _, rows = sent
        args = (content,) if rows is None else (content, rows)
        self._flying.append((sent, self._call("push", name, step, rank, of, *args, anew=anew)))
        self.flying_bytes += sent.nbytes

    def make_way(self, n: int, nbytes: int, most: int) -> None:
        """Wait until at most `n` pushes are on their way, and so few bytes that `nbytes` more are at most `most`."""
        if not self._is_full(n, nbytes, most):
            return
        begun = time.perf_counter()
        while self._is_full(n, nbytes, most):
            self._land()
        took = time.perf_counter() - begun
        self.waited += took
        if took > LONG:
            LOG.warning(
                "shard %d, epoch %d: waited %.1f s for room, with at most %d pushes and %d bytes on their way; %s",
                self.number, self.epoch, took, n + 1, most, self._far(),
            )  # fmt: skip

    def _is_full(self, n: int, nbytes: int, most: int) -> bool:
        return bool(self._flying) and (len(self._flying) > n or self.flying_bytes + nbytes > most)

    def settle(self) -> None:
        """Wait until all pushes are answered. PushFailedError if one could not be carried out."""
        while self._flying:
            self._land()

    def _land(self) -> None:
        epoch = self.epoch
        try:
            self._land_first()
        except LOST as error:
            self._recover(error, epoch)

    def _land_first(self, anew: bool = False) -> None:
        """Wait for the push that was sent first."""
        sent, reply = self._flying[0]
        try:
            answer: Answer = self._wait(reply, anew=anew)
        except (*LOST, ClusterError):
            raise
        except Exception as error:
            raise PushFailedError(
                f"shard {self.number} could not carry out step {sent.step} of {sent.stream}, which others have: "
                f"{type(error).__name__}: {error}. Cluster.restore() goes back to the newest checkpoint, in a cluster "
                "with path="
            ) from error
        with uninterrupted():
            self._flying.popleft()
            self.flying_bytes -= sent.nbytes
            self._take(sent, answer, anew)

    def _take(self, sent: Sent, answer: Answer, anew: bool) -> None:
        self.answer = answer
        self.done[sent.stream] = answer.done
        self.dups[self.epoch, sent.stream] = answer.dups
        self._early = [each for each in self._early if each.step > self.done.get(each.stream, 0)]
        if sent.step > answer.done:
            self._early.append(sent)
        if answer.said == FENCED:
            raise ClusterError(
                f"shard {self.number}: its process is not that of epoch {self.epoch}: another driver has taken it over"
            )
        if answer.said == GAP:
            self._fly(sent, anew)
        self._streams[sent.stream].stats.born += self._births[sent.stream].more(answer.born)

    def forget(self) -> None:
        """Let go of the pushes that a checkpoint has."""
        self.kept, self.kept_bytes = [], 0
        for births in self._births.values():
            births.at_base = births.counted

    # ---- other calls

    def ask(self, method: str, *args: Any, lane: str = WRITES, is_long: bool = False) -> Request:
        """Call a method that changes nothing, or does the same when it is called again. `is_long`: it may take longer
        than `timeout`, as long as the process answers at all."""
        return Request(self, method, args, lane, is_long)

    # ---- the process

    def open(self, stream: Stream) -> None:
        """Have the shard's part of a table. MismatchError if the process understands something else by its spec."""
        for _ in range(TRIES):
            try:
                if self._lost is None:
                    self._open(stream)
                    return
                error = self._lost
            except LOST as lost:
                error = lost
            self._recover(error, self.epoch)  # which opens those that are there already
        raise ClusterError(
            f"shard {self.number} was lost {TRIES} times when {stream.name} was opened: {error}"
        )

    def _open(self, stream: Stream) -> None:
        self.open_there(stream, -(-stream.reserved // self.of))
        self._births.setdefault(stream.name, Births()).begin()
        self.done[stream.name] = stream.base

    def recover(self, error: Exception) -> None:
        """Take the process for dead: start another, let it load the last checkpoint, and send it all pushes since."""
        self._recover(error, self.epoch)

    def _recover(self, error: Exception, epoch: int) -> None:
        if epoch != self.epoch and self._lost is None:
            return  # somebody has done it meanwhile
        self._lost = self._lost or without_frames(error)
        if not self.keeps:
            raise ClusterError(
                f"shard {self.number} is lost, and its pushes were not kept, since without path= they became more than "
                f"log_bytes: {error}"
            ) from error
        begun = time.perf_counter()
        LOG.warning(
            "shard %d, epoch %d: lost (%s); starting it again; %s",
            self.number,
            self.epoch,
            error,
            self._far(),
        )
        for _ in range(TRIES):
            try:
                if isinstance(error, TimeoutError) and self.timeout is not None:
                    self.timeout *= 2
                self.start_anew()
                for stream in self._streams.values():
                    self._open(stream)
                self._replay()
            except LOST as again:
                check_is_of(self._name, again)
                error = without_frames(again)
                continue
            self._lost = None
            self.recoveries += 1
            self.seconds.append(time.perf_counter() - begun)
            LOG.warning(
                "shard %d, epoch %d: recovered in %.2f s, %d pushes sent again; %s",
                self.number, self.epoch, self.seconds[-1], len(self.kept), self._far(),
            )  # fmt: skip
            return
        raise ClusterError(
            f"shard {self.number} was started {TRIES} times and lost each time: {error}"
        ) from error

    def stop(self) -> None:
        """Let the process go, and all that it was sent."""
        self._end()
        self._flying.clear()
        self.flying_bytes = 0
        self.forget()

    def _replay(self) -> None:
        self._flying.clear()
        self.flying_bytes = 0
        for sent in self.kept:
            while len(self._flying) >= self.window * sent.of:
                self._land_first(anew=True)
            if sent.rows is not None:  # the new process may be on another machine
                self.secure(sent.rows)
            self._fly(sent, anew=True)
        while self._flying:
            self._land_first(anew=True)

    def _far(self) -> str:
        """How far it is: of each table the steps that are done, and those that were pushed."""
        return "; ".join(
            f"{name}: step {self.done.get(name, 0)} of {s.step}" for name, s in self._streams.items()
        )

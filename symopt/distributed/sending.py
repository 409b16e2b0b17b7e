"""What a sharded table does with commands: each is split by shards, and sent with what functions of the step said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from ..embedding.accounts import Accounts, Step
from ..embedding.batches import Ids
from ..embedding.commands import Assign, Command, Decayed, Evict, GoOn, Have, Put, Renew, Resume, Update
from ..embedding.core import Core
from ..embedding.doing import Doing, carry_out
from ..embedding.initializers import Custom
from ..embedding.leaving import NONE
from ..embedding.numbers import Numbers
from ..embedding.ondisk.answers import Answers
from ..embedding.shards import Split
from ..errors import TooLateError
from .cluster import Cluster
from .content import Content, ids_in, narrow, split_commands
from .questions import raise_first
from .replacing import replacing, spare
from .stream import Stream
from .transport import Reply
from .wire import Wire


class Sending(Core):
    """A base class of ShardedTable: where others run commands on rows, it sends them."""

    cluster: Cluster
    wire: Wire
    is_readonly: bool
    _rows: Accounts  # type: ignore[assignment]
    _stream: Stream
    _answers: Answers
    _check_open: Callable[[], None]  # of ShardedReading
    _ask: Callable[..., list[Any]]
    _ask_of: Callable[..., Any]
    _split: Callable[[Ids], Split]
    _is_waiting, _is_replacing = True, False

    def _check_writable(self) -> None:
        self._check_open()
        self.cluster.check()
        if self.is_readonly:
            raise TooLateError(f"{self.name} was opened with readonly=True: it can't be changed from here")

    def _batch(self) -> contextlib.AbstractContextManager[Any]:
        """Before a batch begins nothing of it is done, not even counts of ids: the moment to let old pushes go."""
        self._check_writable()
        self.cluster.tidy()
        return super()._batch()

    @contextlib.contextmanager
    def _sending_only(self) -> Iterator[None]:
        """What is carried out within is sent, and not waited for."""
        with self._lock:
            before, self._is_waiting = self._is_waiting, False
            try:
                yield
            finally:
                self._is_waiting = before

    @contextlib.contextmanager
    def _replaced(self) -> Iterator[None]:
        self._check_writable()
        with replacing(self.cluster):
            self._is_replacing = True
            try:
                yield
            finally:
                self._is_replacing = False

    def _doings(self, gone: Ids, *commands: Command) -> list[Doing]:
        if self._is_waiting:
            self.cluster.settle()  # births that are counted from now on are of these commands
        every = [Evict(gone), *commands] if len(gone) else [*commands]
        return [self._sending(every)] if every else []

    def _tell(self, command: Command) -> None:
        """Send a command that nobody asked for: nothing is noted about it."""
        carry_out([self._sending([command], is_noted=False)])

    def _sending(self, commands: Sequence[Command], is_noted: bool = True) -> Doing:
        """Commands on their way to all shards, as one step: what can fail here is done before anything is sent."""
        contents, step = self._contents(commands)
        if self._asks_functions:
            self._try_first_weights(commands)
        if self._is_replacing:
            spare(self.cluster)
        self.cluster.make_way(sum(content.nbytes for content in contents))
        yield
        held = self.cluster.hold(contents)
        for command in commands:
            if is_noted and self.admission is not None and isinstance(command, Have | Renew | Put):
                self.admission.forget(command.ids)  # these rows need not be earned
        yield
        self.cluster.push(self._stream, held)
        for command in commands:
            self._account(command, step)
            if is_noted:
                self._note(command, -len(command.ids) if isinstance(command, Evict) else 0)

    @cached_property
    def _asks_functions(self) -> bool:
        """Whether rows are born with weights that functions of the user's give, which may raise."""
        return any(isinstance(segment.initializer, Custom) for segment in self.segments)

    def _try_first_weights(self, commands: Sequence[Command]) -> None:
        """Let shards ask functions of the user's for the weights of rows that are to be born: if one raises, it does
        while nothing is sent. Only shards know which ids have no row, and only after all steps before."""
        gone = NONE
        for command in commands:
            if isinstance(command, Evict):
                gone = command.ids
            elif isinstance(command, Update | Assign | Have | Renew | Put) and len(command.ids):
                anew = isinstance(command, Renew) or (isinstance(command, Put) and command.anew)
                raise_first(self._ask_of("try_first_weights", command.ids, gone, anew)[1])

    def _try_first_weights_unread(self, parts: Sequence[Sequence[Reply]]) -> None:
        """The same for gradients that shards get without the driver, in these parts for each of them."""
        if self._asks_functions:
            each = [its or None for its in parts]
            raise_first(self._ask("try_first_weights_unread", each=each))

    def _contents(self, commands: Sequence[Command]) -> tuple[list[Content], Step | None]:
        """What each shard is sent; and the numbers of the step, if there is an update."""
        self._answers.begin()
        steps = [self._rows.step(c) for c in commands if isinstance(c, Update)]
        answers = tuple(float(said) for said in self._answers.said)
        split = [None if (ids := ids_in(c)) is None else self._split(ids) for c in commands]
        contents = [
            Content(narrow(each, self.wire), answers, self.wire)
            for each in split_commands(commands, split, self.cluster.n_shards)
        ]
        return contents, steps[0] if steps else None

    def _account(self, command: Command, step: Step | None) -> None:
        """Have the numbers that the shards have after a command."""
        rows = self._rows
        if isinstance(command, Update):
            assert step is not None
            rows.finish(step, command.done)
        elif isinstance(command, Decayed):
            rows.logs = rows.decay(command.logs)
        elif isinstance(command, GoOn):
            rows.go_on(command.scales, command.steps, command.products)
        elif isinstance(command, Resume):
            rows.steps = command.steps
            for k, log, scale, products in command.numbers:
                Numbers(log, scale, products).into(rows, k)

    def _make_room(self, n: int) -> None:
        """Shards have their own room."""

    def _finish(self) -> None:
        if self._is_waiting:
            self.cluster.settle()

"""What runs in the process of a shard: its part of every table, and the pushes to them, each carried out once."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..embedding.batches import Array
from ..embedding.commands import Evict
from ..embedding.leaving import NONE
from ..embedding.ondisk.answers import Answers
from ..embedding.table import Table
from ..errors import MismatchError, UnknownArgumentError
from .content import Content, filled, joined
from .partition import Partition
from .questions import QUESTIONS
from .sequence import HELD, Sequence
from .spec import segment_of, segment_spec

SERVICE = "symopt.distributed.shard:Shard"


class Answer(NamedTuple):
    """What a push is answered: what became of it (`sequence`); the steps of this table that are done; rows that were
    born in this process, since it was opened; parts that wait, and duplicates refused so far."""

    said: str
    done: int
    born: int
    held: int
    dups: int


class NotDone(Exception):
    """Something was asked of a state that is not there yet. It is asked again when all pushes are answered."""


class Served:
    """A shard's part of one table. `lock`: of the threads that write and read."""

    def __init__(self, table: Table, sequence: Sequence) -> None:
        self.table, self.sequence = table, sequence
        self.changed = threading.Condition()
        self._answers = Answers()
        for part in table._rows.parts:
            values = part.hyper.values
            for name, value in values.items():
                if callable(value):
                    values[name] = self._answers.schedule(value)

    def carry_out_due(self) -> None:
        """Carry out all steps that are complete."""
        while (parts := self.sequence.due()) is not None:
            self._carry_out(joined(parts, self.table.dtype, self.table.engine == "native"))
            with self.changed:
                self.sequence.finish()
                self.changed.notify_all()

    def _carry_out(self, content: Content) -> None:
        table, commands = self.table, content.commands
        self._answers.begin(content.answers)
        gone = NONE
        if commands and isinstance(commands[0], Evict):
            gone, commands = commands[0].ids, commands[1:]
        with table._batch():
            table._carry_out(gone, *commands)

    def wait_for(self, step: int, seconds: float) -> None:
        """Return when so many steps are done. NotDone if they are not in time."""
        until = time.monotonic() + seconds
        with self.changed:
            while self.sequence.done < step:
                left = until - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    raise NotDone(f"step {step} is not done: {self.sequence.done} are")


class Shard:
    """Shard number `config["number"]`, in its `config["epoch"]`-th process."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.number, self.epoch = int(config["number"]), int(config["epoch"])
        self._served: dict[str, Served] = {}
        self.empty: Callable[..., Array] = np.empty  # see Transport.start

    def open(
        self, name: str, spec: Mapping[str, Any], done: int, saved: Mapping[str, Any] | None, reserve: int = 0
    ) -> list[Any]:
        """Have a part of a table. `done`: how many of its steps `saved` has: the path of a checkpoint, the partition
        that it was written by, and that of now. `reserve`: rows to have room for. The specs of segments as this process
        understands them.

        StateError if the checkpoint is of another table."""
        segments = [segment_of(each, f"{name}: segment {k}") for k, each in enumerate(spec["segments"])]
        table = Table(
            segments, duplicates=spec["duplicates"], seed=spec["seed"], engine=spec["engine"], name=name
        )
        if saved is not None:
            self._restore(table, saved)
        with contextlib.suppress(MemoryError):  # it is there to be fast
            table.reserve(reserve)
        table.stats.born = 0  # what is restored is not born
        self._served[name] = Served(table, Sequence(self.epoch, done, spec["window"]))
        return [segment_spec(s, f"{name}: segment {k}") for k, s in enumerate(segments)]

    def _restore(self, table: Table, saved: Mapping[str, Any]) -> None:
        before, now = (Partition.from_dict(saved[name]) for name in ("written", "partition"))
        if before == now:
            part = f"part-{self.number + 1:05d}-of-{now.n_shards:05d}"
            table.restore(os.path.join(saved["path"], part))
        else:
            table.restore(saved["path"], only=now.owns(self.number))

    def push(
        self, epoch: int, name: str, step: int, rank: int, of: int, content: Content, rows: Any = None
    ) -> Answer:
        """Take a part of a step, once, and carry out what is due. `rows`: ids and gradients of the content's one
        Update, if it came without them."""
        served = self._find(name)
        if rows is not None:
            content = filled(content, *rows)
        said = served.sequence.offer(epoch, step, rank, of, content)
        if said == HELD:
            served.carry_out_due()
        sequence = served.sequence
        return Answer(said, sequence.done, served.table.stats.born, sequence.n_held, sequence.dups)

    def pull(
        self, epoch: int, name: str, at: int, patience: float, ids: Any, out: Array | None = None
    ) -> tuple[Any, Any]:
        """What lookups show of ids (n,), (n, dim), zeros without a row; and which have one, None for all. After `at`
        steps at least; NotDone if they are not done after `patience` seconds. `out`: where rows go, in this process."""
        table = self._current(epoch, name, at, patience)
        if out is None:
            out = self.empty((len(ids), table.dim), table.dtype)
        rows, hits = table.lookup(ids, missing="zeros", with_hits=True, out=out)
        return rows, None if hits.all() else hits

    def ask(self, epoch: int, name: str, at: int, patience: float, question: str, *args: Any) -> Any:
        """The answer to one of `questions`, after `at` steps at least."""
        return QUESTIONS[question](self._current(epoch, name, at, patience), *args)

    def save(self, epoch: int, name: str, at: int, path: str, n_shards: int) -> int:
        """Write this part of a table, as it is after exactly `at` steps; how many rows it has."""
        table = self._current(epoch, name, at, 0.0)
        done = self._find(name).sequence.done
        if done != at:
            raise MismatchError(f"shard {self.number}: {name} is at step {done}, to be saved at step {at}")
        table.save(path, part=(self.number, n_shards), keep_expired=True, overwrite=True)
        return len(table)

    def ping(self, epoch: int) -> int:
        """An answer, while something else may take long."""
        return self.epoch

    def status(self) -> dict[str, Any]:
        """Plain data: where this process is, and of each table rows, bytes, steps, what waits, what was refused."""
        tables = {
            name: {
                "rows": len(s.table),
                "bytes": s.table.memory_bytes(),
                "done": s.sequence.done,
                "held": s.sequence.n_held,
                "dups": s.sequence.dups,
                "gaps": s.sequence.gaps,
                "fenced": s.sequence.fenced,
            }
            for name, s in [*self._served.items()]
        }
        return {"machine": platform.node(), "process": os.getpid(), "tables": tables}

    def _current(self, epoch: int, name: str, at: int, patience: float) -> Table:
        served = self._find(name)
        if epoch != self.epoch:
            raise MismatchError(
                f"shard {self.number} is in epoch {self.epoch}, and was asked as that of epoch {epoch}"
            )
        served.wait_for(at, patience)
        return served.table

    def _find(self, name: str) -> Served:
        if name not in self._served:
            raise UnknownArgumentError(
                f"shard {self.number} has no table {name!r}: {', '.join(self._served)}"
            )
        return self._served[name]

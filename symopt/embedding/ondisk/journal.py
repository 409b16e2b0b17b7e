"""A table on disk while it is open: every batch goes to the log before anybody hears that it is done."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...checkpoint.disk import DISK, Disk
from ...errors import DamagedError, StateError, SymoptError, TooLateError
from ...records.layout import Layout
from ..commands import Admit, Command
from ..doing import Doing
from ..results import Stats
from .answers import Answers
from .folder import Folder, create, described, is_table
from .guard import TableLock
from .messages import read_message, write_message
from .options import OnDisk
from .outside import made_with, outside, take_outside
from .pushlog import BATCH, LogReader, PushLog
from .rowfile import RowFile

if TYPE_CHECKING:
    from ..table import Table

_MADE_WITH = "made with"


class Journal:
    """What a table asks when it is on disk. A batch is what happens between entering and leaving `batch()`.

    If a batch fails, at whatever moment, memory is made what the disk says: what it did before it failed is undone.
    """

    def __init__(self, options: OnDisk) -> None:
        self.options = options
        self.disk: Disk = DISK
        self.path = os.path.realpath(options.path)
        self.lock = TableLock(self.path, self._why_not)
        self.logged = 0  # bytes, since the table was opened
        self._trouble = ""
        self._answers = Answers()
        self._noted: list[Command] = []
        self._is_within = self._is_doing = self._is_replacing = False
        self._unsynced = 0
        self._process = os.getpid()
        self._folder: Folder | None = None
        self._log: PushLog | None = None

    # ---- opening and closing

    def make_store(self, layout: Layout) -> RowFile:
        """Records without room, until `begin`."""
        self._rows = RowFile(layout)
        return self._rows

    def begin(self, table: Table) -> None:
        """Make the table what the folder says; make the folder if there is none."""
        self._table = table
        for part in table._rows.parts:
            values = part.hyper.values
            for name, value in values.items():
                if callable(value):
                    values[name] = self._answers.schedule(value)
        table._rows.ask = self._answers.ask
        words = described(table._rows.layout, table.seed)
        if not is_table(self.path):
            if self.options.readonly:
                raise FileNotFoundError(f"{self.path}: there is no table to read")
            try:
                create(self.path, self.disk, words, self._state())
            except FileExistsError:
                if not is_table(self.path):  # else another process made one meanwhile
                    raise
        self._folder = Folder(self.path, self.disk, self.options.readonly)
        try:
            self._open(self._folder.read(words))
        except BaseException:
            self.close(checkpoint=False)
            raise

    def _open(self, state: Any) -> None:
        folder = self._folder
        assert folder is not None
        if not folder.is_readonly:
            folder.sweep()
        n = int(state["rows"]) + len(state["free"])
        self._rows.attach(folder.rows, readonly=folder.is_readonly, disk=self.disk)
        if not folder.is_readonly:
            folder.settle(self._rows)
        self._rows.map(n)
        reader = self._recover(state)
        self._table.stats = Stats()  # of what was done again
        self._doubt_sent(state)
        if reader.lost:
            warnings.warn(reader.lost, RuntimeWarning, stacklevel=5)
        if not folder.is_readonly:
            self._go_on(reader, state)

    def _doubt_sent(self, state: Any) -> None:
        """Changes may have been taken after the checkpoint, which no log says. Rows may be sent twice; that all of them
        decayed may not."""
        touched = self._table.touched
        if touched is not None and self._table._rows.logs != state["logs"].tolist():
            touched.overflow()

    def _go_on(self, reader: LogReader, state: Any) -> None:
        """Write behind what the log has. A table that is made differently from now on begins with a checkpoint."""
        folder = self._folder
        assert folder is not None
        file = self.disk.open(reader.path)
        self.disk.truncate(file, reader.end)
        self._log = PushLog(self.disk, reader.path, file, reader.end, reader.count, reader.batches)
        self._log.begin(folder.epoch)
        if state[_MADE_WITH] != made_with(self._table):
            self.checkpoint()

    def close(self, checkpoint: bool = True) -> None:
        """Make a checkpoint, if anything was written since the last, and let the folder go."""
        folder = self._folder
        if folder is None or self._trouble == _CLOSED:
            return
        with contextlib.nullcontext() if self._is_fork() else self.lock.even_so():
            if self._trouble == _CLOSED:  # by another thread meanwhile
                return
            try:
                if checkpoint and self._log is not None and self._log.batches and not self._why_not():
                    self.checkpoint()
            finally:
                self._trouble = _CLOSED
                if self._log is not None:
                    self._log.close()
                self._rows.close()
                folder.close()

    # ---- writing

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """What is done within happens whole or not at all, and is in the log when this is left."""
        if self._is_within:
            yield
            return
        self.may_write()
        self._checkpoint_if_due()
        self._is_within = True
        try:
            self._noted = []
            self._note_before()
            self._answers.begin()
            try:
                yield
                self._append()
            except BaseException as error:
                self._refuse(error)
                raise
        finally:
            self._is_within = self._is_doing = self._answers.is_noting = False

    @contextlib.contextmanager
    def replacing(self) -> Iterator[None]:
        """What is done within is in no log, but in a checkpoint when this is left. If it fails, it is undone."""
        self.may_write()
        self._is_within = self._is_replacing = True
        self._note_before()
        try:
            yield
            self._is_within = False
            self.checkpoint()
        except BaseException:
            self._is_within = self._is_replacing = False
            self._rewind()
            raise
        finally:
            self._is_within = self._is_replacing = False

    def do(self, command: Command) -> Any:
        """Carry out a command of the batch."""
        assert self._is_within
        if self._is_replacing:
            return self._table._apply(command)
        self._is_doing = self._answers.is_noting = True
        found = self._table._apply(command)
        self._noted.append(command)
        self._is_doing = self._answers.is_noting = False
        return found

    def doing(self, commands: Sequence[Command]) -> Doing:
        """Commands of the batch on their way. What they did is undone by `batch`, not when this is closed."""
        yield
        for command in commands:
            self.do(command)
        yield

    def _append(self) -> None:
        log = self._log
        assert log is not None
        if not self._noted:
            return
        size = log.append(BATCH, write_message(self._noted, self._answers.said))
        self._unsynced += 1
        if self.options.durability == "power" and self._unsynced >= self.options.sync_every:
            try:
                log.sync()
            except BaseException:  # what of it is on the disk, the system does not know any more
                self._trouble = "the drive failed to write the log"
                log.take_back(size)
                raise
            self._unsynced = 0
        self.logged += size

    def _refuse(self, error: BaseException) -> None:
        """A batch has failed. Counts of ids that were refused a row stay, as they do in memory."""
        is_counted = bool(self._noted) and all(isinstance(c, Admit) for c in self._noted)
        if isinstance(error, SymoptError) and is_counted and not self._is_doing:
            self._append()
            return
        if self._noted or self._is_doing:
            self._rewind()
        if isinstance(error, OSError):
            error.add_note(f"{self.path}: nothing of the batch was applied")

    # ---- checkpoints

    def checkpoint(self) -> None:
        """Put what changed into the file of rows, and begin a new log."""
        self.may_write()
        folder, old = self._folder, self._log
        assert folder is not None and old is not None
        try:
            self._log = folder.advance(self._rows, self._state())
        finally:
            self._trouble = self._trouble or folder.trouble
        self._unsynced = 0
        old.close()

    def _checkpoint_if_due(self) -> None:
        assert self._log is not None
        limit = self.options.dirty_bytes
        if self._log.end > self.options.log_bytes or self._rows.changed_bytes(limit) > limit:
            self.checkpoint()

    def _state(self) -> dict[str, Any]:
        return {**outside(self._table), _MADE_WITH: made_with(self._table)}

    # ---- making memory what the disk says

    def _recover(self, state: Any) -> LogReader:
        """The last checkpoint, then every batch of the log."""
        folder = self._folder
        assert folder is not None
        folder.overlay(self._rows)
        take_outside(self._table, state, self.path)
        path = folder.at("log")
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            reader = LogReader(path, file, folder.epoch)
            for number, frame in enumerate(reader):
                if number == 0:
                    self._compare(state)
                self._repeat(frame.content, path)
        finally:
            os.close(file)
            self._answers.begin()
        return reader

    def _compare(self, state: Any) -> None:
        """StateError if batches are to be done again by a table that would do them differently."""
        was, now = state[_MADE_WITH], made_with(self._table)
        lines = [
            f"    {k}: {now.get(k)} here, it was {was.get(k)}"
            for k in sorted({*was, *now})
            if was.get(k) != now.get(k)
        ]
        if lines:
            raise StateError(
                f"{self.path} was not closed, and its log must be done again by the table that wrote it. Open it as it "
                "was and close it, then it may be changed:\n" + "\n".join(lines)
            )

    def _repeat(self, content: memoryview, path: str) -> None:
        try:
            message = read_message(content)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path}: a record is whole, and yet no batch: {error}") from None
        self._answers.begin(message.answers)
        for command in message.commands:
            self._table._apply(command)

    def _rewind(self) -> None:
        """Undo what a batch did that is not in the log: from the last checkpoint on, do all again but that."""
        folder = self._folder
        assert folder is not None
        before, self._trouble = self._trouble, self._trouble or "going back to the last batch failed"
        self._rows.drop_changes()
        self._recover(folder.reread())
        self._table.stats, self._table._sent, self._trouble = self._stats, self._sent, before

    def _note_before(self) -> None:
        """What is in no log: to be there again if what comes now fails."""
        self._stats, self._sent = replace(self._table.stats), list(self._table._sent)

    # ---- who may

    def _is_fork(self) -> bool:
        return self._process != os.getpid()

    def _why_not(self) -> str:
        """Why the table can't be used, or nothing."""
        if self._is_fork():
            return "it was opened by another process, of which this one is a fork"
        return self._trouble

    def may_write(self) -> None:
        """TooLateError if nothing may be written."""
        if self.options.readonly:
            raise TooLateError(f"{self.path}: the table is open to read only, nothing was written")
        if self._is_within:
            raise TooLateError(f"{self.path}: a batch is being applied, which no checkpoint can split")


_CLOSED = "the table was closed"

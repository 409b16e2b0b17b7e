"""The folder of a table: who may open it, what is in it, and how it gets from one checkpoint to the next.

table.json       format, version and layout, for good
lock             locked by whoever has the table open
rows.bin         the records, as they were at checkpoint number e
redo-e.bin       rows of checkpoint e that are still to be put into rows.bin, if it is there
state-e/         the rest of the table at checkpoint e, saved by so.save; the highest e counts
log-e.bin        every batch since
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...checkpoint import load
from ...checkpoint.disk import Disk, lock
from ...checkpoint.refusal import Refuse
from ...checkpoint.staging import staged_folder
from ...checkpoint.strictjson import parse
from ...checkpoint.writer import store as save
from ...errors import DamagedError, StateError, TooLateError
from ...records.layout import Layout
from .pushlog import PushLog
from .redo import put_rows, read_redo, write_redo
from .rowfile import RowFile

TABLE, LOCK, ROWS = "table.json", "lock", "rows.bin"
FORMAT, VERSION = "symopt table", 1
_STATE = re.compile(r"state-(\d{9})")
_OURS = re.compile(r"(?:state|log|redo)-(\d{9})(?:\.bin)?")
_LEFT = re.compile(r"\.state-\d{9}\.[0-9a-f]{8}\.(?:tmp|old)")
State = Mapping[str, Any]


class Folder:
    """A folder that this process has locked. `epoch`: the checkpoint that counts."""

    def __init__(self, path: str, disk: Disk, readonly: bool) -> None:
        self.path, self.disk, self.is_readonly = path, disk, readonly
        self.epoch = -1
        self.trouble = ""  # why nobody may go on with it
        self._lock = self._locked()

    def at(self, kind: str, epoch: int | None = None) -> str:
        """The path of a file of a checkpoint."""
        name = f"{kind}-{self.epoch if epoch is None else epoch:09d}"
        return os.path.join(self.path, name if kind == "state" else f"{name}.bin")

    @property
    def rows(self) -> str:
        """The path of the file of records."""
        return os.path.join(self.path, ROWS)

    def _locked(self) -> int:
        flags = os.O_RDONLY if self.is_readonly else os.O_RDWR | os.O_CREAT
        found = lock(os.path.join(self.path, LOCK), flags, shared=self.is_readonly)
        if found is None:
            raise TooLateError(
                f"{self.path}: another process, or another table of this one, has it open; close it there first"
            )
        return found

    def close(self) -> None:
        """Let others open it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ---- what is there

    def read(self, described: Mapping[str, Any]) -> State:
        """The state of the checkpoint that counts. StateError if the table has another layout."""
        self._compare(described)
        epochs = [int(m[1]) for m in map(_STATE.fullmatch, os.listdir(self.path)) if m]
        if not epochs:
            raise DamagedError(f"{self.path}: there is no state-..., so no checkpoint that counts")
        self.epoch = max(epochs)
        return self.reread()

    def reread(self) -> State:
        """The state of that checkpoint once more."""
        state: State = load(self.at("state"))
        return state

    def _compare(self, described: Mapping[str, Any]) -> None:
        path = os.path.join(self.path, TABLE)
        with open(path, "rb") as file:
            found = parse(file.read(), refuse := Refuse(path))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            refuse.unknown(f"it does not describe a {FORMAT}")
        if found.get("version") != VERSION:
            refuse.unknown(f"expected version {VERSION}, got {str(found.get('version'))[:20]!r}")
        lines = list(_differences(described, found))
        if lines:
            raise StateError(f"{self.path} is not the table that this would be:\n" + "\n".join(lines))

    def sweep(self) -> None:
        """Delete what a process left that died while it made a checkpoint, or after it."""
        self.disk.sync_folder(self.path)  # else a loss of power could bring back the checkpoint before
        for name in os.listdir(self.path):
            path, ours = os.path.join(self.path, name), _OURS.fullmatch(name)
            if _LEFT.fullmatch(name) or (ours and int(ours[1]) != self.epoch and name.startswith("state")):
                self.disk.remove(path)
            elif ours and int(ours[1]) != self.epoch:
                self.disk.unlink(path)

    # ---- from one checkpoint to the next

    def settle(self, rows: RowFile) -> None:
        """Put the rows of the redo file, if there is one, where they belong."""
        path = self.at("redo")
        if not os.path.exists(path):
            return
        for _ in read_redo(path, rows.layout.stride):  # all of it, before any is used
            pass
        for slots, records in read_redo(path, rows.layout.stride):
            put_rows(self.disk, rows.file, slots, records)
        self.disk.sync(rows.file)
        self.disk.unlink(path)

    def overlay(self, rows: RowFile) -> None:
        """The same in memory only."""
        if os.path.exists(path := self.at("redo")):
            for slots, records in read_redo(path, rows.layout.stride):
                rows.reserve(int(slots[-1]) + 1)
                rows.records[slots] = records

    def advance(self, rows: RowFile, state: State) -> PushLog:
        """Make a checkpoint: of the state, and of the records that changed. The log of what comes next.

        OSError, and the last checkpoint counts as before, if there is no room.
        """
        self.settle(rows)  # of the last one, if that was not possible then
        after = self.epoch + 1
        log = None
        try:
            write_redo(self.disk, self.at("redo", after), rows.changed(), rows.records)
            log = PushLog.create(self.disk, self.at("log", after), after)
            self.disk.sync_folder(self.path)
            save(self.at("state", after), state, disk=self.disk)
        except BaseException:
            self._give_up(after, log)
            raise
        before, self.epoch = self.epoch, after
        with contextlib.suppress(
            OSError
        ):  # it is done at the next checkpoint, or when the table is next opened
            self.settle(rows)
            rows.drop_changes()
        self.disk.unlink(self.at("log", before))
        self.disk.remove(self.at("state", before))
        return log

    def _give_up(self, after: int, log: PushLog | None) -> None:
        """A checkpoint that failed: if its state has its name, none of it may go, since it may be what counts."""
        if log is not None:
            log.close()
        if os.path.exists(self.at("state", after)):
            self.trouble = "a checkpoint failed when it was all but done"
        else:
            self.disk.unlink(self.at("redo", after))
            self.disk.unlink(self.at("log", after))


def create(path: str, disk: Disk, described: Mapping[str, Any], state: State) -> None:
    """A new folder with an empty table, whole or not at all."""
    if os.path.isdir(path) and not os.listdir(path):
        os.rmdir(path)
    with staged_folder(disk, path, overwrite=False) as fresh:
        text = json.dumps(described, indent=1).encode() + b"\n"
        for name, content in ((TABLE, text), (ROWS, b""), (LOCK, b"")):
            file = disk.create(os.path.join(fresh, name))
            try:
                disk.write(file, memoryview(content))
                disk.sync(file)
            finally:
                disk.close(file)
        PushLog.create(disk, os.path.join(fresh, f"log-{0:09d}.bin"), 0).close()
        save(os.path.join(fresh, f"state-{0:09d}"), state, disk=disk)


def is_table(path: str) -> bool:
    """Whether a table is at `path`; False if nothing is there yet. FileExistsError for anything else."""
    if os.path.exists(os.path.join(path, TABLE)):
        return True
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise FileExistsError(errno.EEXIST, "what is there is no table, and is not overwritten", path)
    return False


def _differences(own: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that is not the same; of columns, for each that is there or not, or is another."""
    for name in sorted(own.keys() | found.keys()):
        here, there = own.get(name), found.get(name)
        if (
            isinstance(here, Mapping)
            and isinstance(there, Mapping)
            and (lines := list(_columns(here, there)))
        ):
            yield from lines
        elif here != there:
            yield f"    {name}: {here} here, the table on disk has {there}"


def _columns(own: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Without their offsets, which follow from the widths of those before."""
    for name in sorted(own.keys() | found.keys()):
        here, there = (
            list(x[name])[:2] if isinstance(x.get(name), list | tuple) else None for x in (own, found)
        )
        if here != there:
            yield f"    {name}: {here or 'none'} here, the table on disk has {there or 'none'}"


def described(layout: Layout, seed: int) -> dict[str, Any]:
    """What table.json says."""
    columns = {c.name: [c.dtype, c.width, c.offset] for c in layout.columns.values()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "stride": layout.stride,
        "columns": columns,
    }

"""What may be left of a table's folder by a loss of power: a Disk that records, and states that POSIX allows.

As crash_states.py, and for files that are written at any place: each write since a file was last synced may have
happened, or not, or by half, whatever became of the others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from crash_states import Op, Recorder, State, _names, _paths, _unsynced

FATES = ("kept", "lost", "half")


class Write(NamedTuple):
    """Bytes at an offset; without bytes, a new size."""

    offset: int
    data: bytes | None

    def to(self, content: bytearray, fate: str) -> None:
        if fate == "lost":
            return
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        data = self.data if fate == "kept" else self.data[: len(self.data) // 2]
        end = self.offset + len(data)
        content.extend(bytes(max(0, end - len(content))))
        content[self.offset : end] = data


class TableRecorder(Recorder):
    """Records what is done to a table's files too."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.writes: dict[int, Write] = {}  # by number of the operation
        self.sizes: dict[int, int] = {n: len(data) for n, data in self.contents.items()}

    def open(self, path: str) -> int:
        self._ends()
        file = super().open(path)
        self._open[file] = self._number(path)
        return file

    def _record(self, file: int, offset: int, data: bytes | None) -> None:
        number = self._open[file]
        self.writes[len(self.ops)] = Write(offset, data)
        end = offset if data is None else max(self.sizes.get(number, 0), offset + len(data))
        self.sizes[number] = end
        self.ops.append(Op("put", number))

    def write(self, file: int, data: memoryview) -> None:
        offset = self.sizes.get(self._open[file], 0)
        super().write(file, data)
        self.ops.pop()
        self._record(file, offset, bytes(data))

    def write_at(self, file: int, data: memoryview, offset: int) -> None:
        if self._ends():
            return
        super().write_at(file, data, offset)
        self._record(file, offset, bytes(data))

    def truncate(self, file: int, size: int) -> None:
        if self._ends():
            return
        super().truncate(file, size)
        self._record(file, size, None)

    def allocate(self, file: int, begin: int, end: int) -> None:
        self._ends()

    def unlink(self, path: str) -> None:
        if not self._ends() and os.path.exists(path):
            self.ops.append(Op("unlink", links=(self._link(path, None),)))
            super().unlink(path)


Kept = Callable[[int, Op], bool]


def every(_: int, __: Op) -> bool:
    """All operations are done: no mutant."""
    return True


def states_after(record: TableRecorder, cut: int, rng: random.Random, kept: Kept = every) -> Iterator[State]:
    """Without end: what may be there after the first `cut` operations, of which only those `kept` were done."""
    ops = record.ops[:cut]
    there = [op if kept(k, op) else Op("nothing") for k, op in enumerate(ops)]
    unsynced = _unsynced(there)
    while True:
        share = rng.random()
        undone = {k for k in unsynced if rng.random() < share}
        names = _names(record, there, undone)
        contents = _contents(record, there, rng)
        files = {path: contents.get(n) for path, n in _paths(names, 0, "")}
        yield State(
            cut, cut == len(record.ops), {p: None if c is None else bytes(c) for p, c in files.items()}
        )


def _contents(record: TableRecorder, ops: list[Op], rng: random.Random) -> dict[int, bytearray]:
    """Each file: all that was synced, and of the rest what chance leaves."""
    synced = {op.number: k for k, op in enumerate(ops) if op.kind == "sync"}  # the last one of each
    found: dict[int, Any] = {n: bytearray(data) for n, data in record.contents.items()}
    shares = {n: rng.choice((0.0, 0.5, 1.0)) for n in {op.number for op in ops}}
    for k, op in enumerate(ops):
        if op.kind == "file":
            found[op.number] = bytearray()
        elif op.kind == "put":
            risky = k > synced.get(op.number, -1) and rng.random() < shares[op.number]
            record.writes[k].to(found[op.number], rng.choice(FATES) if risky else "kept")
    return found

"""What a disk may hold after a loss of power: a Disk that records, and every state that POSIX allows for the record.

Data that was not synced is there, missing, there by half, or zeros; names whose folder was not synced are as before or
as after, each by itself. So this is harsher than file systems that keep the order of names.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from typing import NamedTuple

from symopt.checkpoint.disk import Disk

Link = tuple[int, str, int | None]  # number of the folder, name, number of what is there afterwards
Names = dict[int, dict[str, int]]  # of each folder: what is in it


LOSSES = ("kept", "lost", "half", "zeros")  # of data that was not synced


class QuickDisk(Disk):
    """One that forgets to sync, where no power is lost."""

    def sync(self, file: int) -> None:
        pass


class Killed(BaseException):
    """The process that saves ends here. What it would do to clean up is not done."""


class Op(NamedTuple):
    """One operation on the file or folder `number`, or on names."""

    kind: str
    number: int = -1
    links: tuple[Link, ...] = ()
    data: bytes = b""


class Recorder(QuickDisk):
    """Does what it is asked below the folder `root`, and records it.

    `names` and `contents` are of what was there at first, durably; folders and files are numbered, the root is 0.
    When there are `dies_at` records the process is killed: once, then another can go on.
    """

    def __init__(self, root: str, can_exchange: bool = True) -> None:
        self.can_exchange = can_exchange
        self.dies_at = -1
        self.is_dead = False
        self.ops: list[Op] = []
        self.names: Names = {}
        self.contents: dict[int, bytes] = {}
        self._numbers: dict[int, int] = {}  # by inode
        self._open: dict[int, int] = {}
        self._count = 0
        self._walk(root)

    def _walk(self, path: str) -> int:
        number = self._new(path)
        if os.path.isdir(path):
            self.names[number] = {n: self._walk(os.path.join(path, n)) for n in os.listdir(path)}
        else:
            with open(path, "rb") as file:
                self.contents[number] = file.read()
        return number

    def _new(self, path: str) -> int:
        """A number for what has just appeared; systems give an inode's number again, we do not."""
        number = self._numbers[os.stat(path).st_ino] = self._count
        self._count += 1
        return number

    def _number(self, path: str) -> int:
        return self._numbers[os.stat(path).st_ino]

    def _link(self, path: str, number: int | None) -> Link:
        folder, name = os.path.split(path)
        return self._number(folder), name, number

    def _ends(self) -> bool:
        if len(self.ops) == self.dies_at and not self.is_dead:
            self.is_dead = True
            raise Killed
        return self.is_dead

    def make_folder(self, path: str) -> None:
        self._ends()
        super().make_folder(path)
        number = self._new(path)
        self.ops.append(Op("folder", number, (self._link(path, number),)))

    def create(self, path: str) -> int:
        self._ends()
        file = super().create(path)
        number = self._open[file] = self._new(path)
        self.ops.append(Op("file", number, (self._link(path, number),)))
        return file

    def write(self, file: int, data: memoryview) -> None:
        self._ends()
        super().write(file, data)
        self.ops.append(Op("write", self._open[file], data=bytes(data)))

    def sync(self, file: int) -> None:
        if file in self._open and not self._ends():
            self.ops.append(Op("sync", self._open[file]))

    def close(self, file: int) -> None:
        super().close(file)
        del self._open[file]

    def sync_folder(self, path: str) -> None:
        if not self._ends():
            self.ops.append(Op("sync folder", self._number(path)))

    def rename(self, old: str, new: str) -> None:
        if self._ends():
            return
        links = (self._link(old, None), self._link(new, self._number(old)))
        super().rename(old, new)
        self.ops.append(Op("rename", links=links))

    def exchange(self, one: str, other: str) -> bool:
        self._ends()
        links = (self._link(one, self._number(other)), self._link(other, self._number(one)))
        if not self.can_exchange or not super().exchange(one, other):
            return False
        self.ops.append(Op("rename", links=links))
        return True

    def remove(self, path: str) -> None:
        folder = self._number(path)
        for name in sorted(os.listdir(path)):
            if self._ends():
                return
            os.unlink(os.path.join(path, name))
            self.ops.append(Op("unlink", links=((folder, name, None),)))
        if not self._ends():
            self.ops.append(Op("unlink", links=(self._link(path, None),)))
            os.rmdir(path)


class State(NamedTuple):
    """What may be there: after how many operations, whether all had returned, and files by path below the root.

    A folder has the content None.
    """

    cut: int
    is_acknowledged: bool
    files: dict[str, bytes | None]

    def write(self, root: str) -> None:
        """Make it so in an empty folder."""
        for path, content in self.files.items():
            where = os.path.join(root, path)
            if content is None:
                os.mkdir(where)
            else:
                with open(where, "wb") as file:
                    file.write(content)


def crash_states(record: Recorder, ops: list[Op]) -> Iterator[State]:
    """Every state that a loss of power may leave before, between and after operations; `ops` are those recorded."""
    for cut in range(len(ops) + 1):
        for undone in _subsets(_unsynced(ops[:cut])):
            crash = _Crash(record, ops, cut, undone)
            for losses in itertools.product(LOSSES, repeat=len(crash.risked)):
                yield crash.state(losses)


def random_states(record: Recorder, ops: list[Op], first: int, rng: random.Random) -> Iterator[State]:
    """Some of them, without end, after the `first` operations or more."""
    while True:
        cut = rng.randint(first, len(ops))
        undone = {k for k in _unsynced(ops[:cut]) if rng.random() < 0.5}
        crash = _Crash(record, ops, cut, undone)
        yield crash.state(tuple(rng.choice(LOSSES) for _ in crash.risked))


class _Crash:
    """A loss of power after some operations, of which those `undone` on names did not reach the disk.

    `risked`: the files there whose data may not all be there.
    """

    def __init__(self, record: Recorder, ops: list[Op], cut: int, undone: set[int]) -> None:
        self._cut, self._is_last = cut, cut == len(ops)
        self._files, self._synced = _data(record, ops[:cut])
        self._paths = dict(_paths(_names(record, ops[:cut], undone), 0, ""))
        self.risked = [n for n in dict.fromkeys(self._paths.values()) if n in self._synced]

    def state(self, losses: tuple[str, ...]) -> State:
        """The state if each file that is risked lost so much."""
        left = dict(self._files)
        for n, loss in zip(self.risked, losses):
            left[n] = _after(loss, left[n], self._synced[n])
        return State(self._cut, self._is_last, {path: left.get(n) for path, n in self._paths.items()})


def _subsets(items: list[int]) -> Iterator[set[int]]:
    for kept in itertools.product((True, False), repeat=len(items)):
        yield {item for item, keep in zip(items, kept) if not keep}


def _data(record: Recorder, ops: list[Op]) -> tuple[dict[int, bytes], dict[int, int]]:
    """What is in each file if nothing is lost, and of those that are not synced, how many bytes are."""
    files, synced = dict(record.contents), {n: len(data) for n, data in record.contents.items()}
    for op in ops:
        if op.kind == "file":
            files[op.number], synced[op.number] = b"", 0
        elif op.kind == "write":
            files[op.number] += op.data
        elif op.kind == "sync":
            synced[op.number] = len(files[op.number])
    return files, {n: synced[n] for n, data in files.items() if synced[n] < len(data)}


def _after(loss: str, data: bytes, synced: int) -> bytes:
    kept = {"kept": len(data), "lost": synced, "half": (synced + len(data)) // 2, "zeros": synced}[loss]
    return data[:kept] + (bytes(len(data) - synced) if loss == "zeros" else b"")


def _names(record: Recorder, ops: list[Op], undone: set[int]) -> Names:
    names = {folder: dict(entries) for folder, entries in record.names.items()}
    names |= {op.number: {} for op in ops if op.kind == "folder"}
    for k, op in enumerate(ops):
        for folder, name, number in op.links if k not in undone else ():
            names[folder].pop(name, None)
            if number is not None:
                names[folder][name] = number
    return names


def _unsynced(ops: list[Op]) -> list[int]:
    """Which operations on names need not have happened: those whose folders were not all synced after them."""
    found: list[int] = []
    synced: set[int] = set()
    for k in reversed(range(len(ops))):
        if ops[k].kind == "sync folder":
            synced.add(ops[k].number)
        elif any(folder not in synced for folder, _, _ in ops[k].links):
            found.append(k)
    return found[::-1]


def _paths(names: Names, folder: int, path: str) -> Iterator[tuple[str, int]]:
    for name, number in names[folder].items():
        yield f"{path}{name}", number
        if number in names:
            yield from _paths(names, number, f"{path}{name}/")

"""The folder of an instance of Ray, which goes with the program that started it, also if that was killed."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

PREFIX = "symopt-ray-"
TRIES = 20


class Folder:
    """A new folder for sockets and logs. Folders of programs that are gone are removed."""

    def __init__(self, parent: str | None = None) -> None:
        """`parent` should be short: names of sockets may have 107 bytes, and Ray takes 64 of them."""
        self.path, self._lock = new(parent)
        for left in Path(self.path).parent.glob(PREFIX + "*/lock"):
            with contextlib.suppress(OSError):  # of another user, or just being removed
                lock = locked(left, "a")
                shutil.rmtree(left.parent, ignore_errors=True)
                lock.close()

    def remove(self) -> None:
        """All that is in it too."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def new(parent: str | None) -> tuple[str, IO[str]]:
    """A folder and its lock. Until it is locked, a program that starts just now may take it for one that was left, and
    remove it: then there is another."""
    for tries_left in reversed(range(TRIES)):
        path = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        try:
            lock = locked(Path(path, "lock"), "x")
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            if not tries_left:
                raise
            continue
        if Path(path, "lock").exists():
            return path, lock
        lock.close()
    raise FileNotFoundError(f"{path} was removed as soon as it was there")


def locked(path: Path, mode: str) -> IO[str]:
    """An open file that only one program can have; OSError if another has it. The system lets it go with that."""
    file = path.open(mode)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file

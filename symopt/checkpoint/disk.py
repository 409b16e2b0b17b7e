"""The few operations that write a checkpoint, in one object. What is promised after each is what POSIX promises.

Tests put another in its place that records them, leaves one out, or fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from functools import cache
from typing import Any

_AT_FDCWD = -100
_EXCHANGE = 2
_RENAME = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_WRITE = 2  # SYNC_FILE_RANGE_WRITE


class Disk:
    """The file system. Nothing is durable until it is synced: what is in a file by `sync`, names by `sync_folder`."""

    def make_folder(self, path: str) -> None:
        os.mkdir(path)

    def create(self, path: str) -> int:
        """A descriptor of a new file."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def open(self, path: str) -> int:
        """A descriptor of a file that is there, to read and write at any place."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, file: int, data: memoryview) -> None:
        """All of it, however often the system must be asked."""
        while data:
            data = data[os.write(file, data) :]

    def write_at(self, file: int, data: memoryview, offset: int) -> None:
        """All of it, from an offset on."""
        while data:
            written = os.pwrite(file, data, offset)
            data, offset = data[written:], offset + written

    def truncate(self, file: int, size: int) -> None:
        """Give a file so many bytes; new ones are zeros, which need no room. What is written next comes behind."""
        os.ftruncate(file, size)
        os.lseek(file, size, os.SEEK_SET)

    def allocate(self, file: int, begin: int, end: int) -> None:
        """Have room for these bytes of a file, where the system can promise that."""
        if hasattr(os, "posix_fallocate") and end > begin:
            os.posix_fallocate(file, begin, end - begin)

    def hasten(self, file: int, begin: int, size: int) -> None:
        """Let the drive begin with what was written there, so that `sync` has less to wait for. It promises nothing."""
        begin_writing = _function(
            "sync_file_range", (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
        )
        if begin_writing is not None:
            begin_writing(file, begin, size, _WRITE)

    def sync(self, file: int) -> None:
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves data in the drive's own memory
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
        else:
            os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def sync_folder(self, path: str) -> None:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sync(folder)
        finally:
            os.close(folder)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def exchange(self, one: str, other: str) -> bool:
        """Each gets the other's name, in one step. False where system or file system cannot: nothing happened."""
        rename = _function("renameat2", _RENAME)
        if rename is None:
            return False
        if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
            return True
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            return False
        raise OSError(number, os.strerror(number), other)

    def unlink(self, path: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove(self, path: str) -> None:
        """A folder with all that is in it, or as much of it as goes."""
        shutil.rmtree(path, ignore_errors=True)


DISK = Disk()


@cache
def _function(name: str, arguments: tuple[Any, ...]) -> Any:
    """A function of Linux, or None elsewhere."""
    try:
        found = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
    found.argtypes = arguments
    return found


def lock(path: str, flags: int, shared: bool = False) -> int | None:
    """A descriptor that holds the lock on what is at `path`, or None if another holds it. Several hold a `shared` one.

    The system ends a lock with its holder, however that dies. Where there are no locks (some network file systems),
    OSError.
    """
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file


def is_at(file: int, path: str) -> bool:
    """Whether what is open is still what has the name."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), os.stat(path))
    return False

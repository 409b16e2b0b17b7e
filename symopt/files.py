"""Files that appear whole: written beside their place, then moved there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write which in the end takes the place of the one at `path`: readers see the old one or the new one,
    never a part. If anything fails, the old one stays; OSError names `path`.

    Links are followed, and permissions kept. What is no regular file, a device or a pipe, is written to.
    """
    target = os.path.realpath(path)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):
            with open(path, "wb") as file:
                yield file
            return
    folder, name = os.path.split(target)
    fresh = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}")
    try:
        file = open(fresh, "xb")  # noqa: SIM115  closed below; an error in opening is said of `path`
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            os.chmod(fresh, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(fresh, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(path) as file:
        file.write(content)

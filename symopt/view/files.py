"""Files that appear whole: written beside their place, then moved there."""

from __future__ import annotations

import os
import tempfile


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, never a part, whatever goes wrong on the way."""
    target = os.path.realpath(path)  # through a link, to what it names
    handle, temporary = tempfile.mkstemp(
        prefix=f".{os.path.basename(target)[:40]}.", dir=os.path.dirname(target)
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode(path: str) -> int:
    """The permissions that the file has, or that a new one would get."""
    try:
        return os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask

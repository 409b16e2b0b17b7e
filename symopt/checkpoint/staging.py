"""A folder that appears whole: filled under a name of its own, made durable, then given the name it is to have.

.NAME.XXXXXXXX.tmp   a folder being filled, or one that is being deleted; its owner holds its lock
.NAME.XXXXXXXX.old   what was at NAME, where names cannot be exchanged: between two renames it is the only one
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from .disk import Disk, is_at, lock
from .manifest import MANIFEST, is_file_name

TEMPORARY, ASIDE = ".tmp", ".old"
_NAME_LENGTH = 100  # of a long name, so much is in the temporary one


@contextlib.contextmanager
def staged_folder(disk: Disk, target: str, overwrite: bool) -> Iterator[str]:
    """A folder to fill, which in the end is at `target`, durably. If anything fails, the target is as before."""
    restore(disk, target)
    check_target(target, overwrite)
    sweep(disk, target)
    fresh, owner = _own(disk, target)
    try:
        yield fresh
        disk.sync_folder(fresh)
        old = _give_name(disk, fresh, target, overwrite)
        disk.sync_folder(os.path.dirname(target))
        if old:
            discard(disk, old)
    except BaseException:
        if is_at(owner, fresh):  # else it has its name, and `fresh` may be the only durable one
            disk.remove(fresh)
        raise
    finally:
        os.close(owner)


def check_target(target: str, overwrite: bool) -> None:
    """FileExistsError if something is at `target` that is not to be replaced: only checkpoints ever are."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise FileExistsError(
            errno.EEXIST, "there is something already; overwrite=True replaces a checkpoint", target
        )
    if not os.path.isdir(target) or not _is_checkpoint(os.listdir(target)):
        raise FileExistsError(errno.EEXIST, "what is there is no checkpoint, and is not overwritten", target)


def restore(disk: Disk, target: str) -> None:
    """Give back its name to a folder that was put aside by a save that ended there."""
    if not os.path.lexists(target) and (aside := find_aside(target)):
        disk.rename(aside, target)
        disk.sync_folder(os.path.dirname(target))


def find_aside(target: str) -> str | None:
    """What was at `target` before a save that put it aside and did not end."""
    return next(_leftovers(target, ASIDE), None)


def sweep(disk: Disk, target: str) -> None:
    """Delete what saves to `target` left that were killed."""
    left = [*_leftovers(target, TEMPORARY), *(_leftovers(target, ASIDE) if os.path.lexists(target) else ())]
    if left:  # one of them may be what a loss of power would bring back to the target
        disk.sync_folder(os.path.dirname(target))
    for path in left:
        with contextlib.suppress(OSError):
            owner = lock(path, os.O_RDONLY)
            if owner is not None:
                try:
                    discard(disk, path)
                finally:
                    os.close(owner)


def discard(disk: Disk, path: str) -> None:
    """Delete a folder so that it is never there in part under a name that counts."""
    if not path.endswith(TEMPORARY):
        is_aside = path.endswith(ASIDE)
        temporary = path.removesuffix(ASIDE) + TEMPORARY if is_aside else _fresh_name(path, TEMPORARY)
        disk.rename(path, temporary)
        disk.sync_folder(os.path.dirname(path))
        path = temporary
    disk.remove(path)


def _own(disk: Disk, target: str) -> tuple[str, int]:
    """A new empty folder, and a descriptor that holds its lock. If a sweep takes it before that: another one."""
    while True:
        fresh = _fresh_name(target, TEMPORARY)
        try:
            disk.make_folder(fresh)
        except OSError as error:
            raise OSError(error.errno, error.strerror, target) from None
        try:
            owner = lock(fresh, os.O_RDONLY)
        except FileNotFoundError:
            continue
        except OSError:  # no locks here; sweeps fail likewise
            owner = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
        if owner is not None:
            if is_at(owner, fresh):
                return fresh, owner
            os.close(owner)


def _give_name(disk: Disk, fresh: str, target: str, overwrite: bool) -> str | None:
    """Rename, and say where what was at `target` is now, if anything was there."""
    if not (overwrite and os.path.lexists(target)):
        try:
            disk.rename(fresh, target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise FileExistsError(
                    errno.EEXIST, "something else appeared there meanwhile", target
                ) from error
            raise
        return None
    if disk.exchange(fresh, target):
        return fresh
    aside = fresh.removesuffix(TEMPORARY) + ASIDE
    disk.rename(target, aside)
    try:
        disk.rename(fresh, target)
    except BaseException:
        disk.rename(aside, target)
        raise
    return aside


def _fresh_name(target: str, suffix: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name[:_NAME_LENGTH]}.{os.urandom(4).hex()}{suffix}")


def _leftovers(target: str, suffix: str) -> Iterator[str]:
    folder, name = os.path.split(target)
    start = f".{name[:_NAME_LENGTH]}."
    with contextlib.suppress(FileNotFoundError):
        for found in sorted(os.listdir(folder)):
            if (
                found.startswith(start)
                and found.endswith(suffix)
                and len(found) == len(start) + 8 + len(suffix)
            ):
                yield os.path.join(folder, found)


def _is_checkpoint(names: list[str]) -> bool:
    visible = [name for name in names if not name.startswith(".")]
    return not names or (
        MANIFEST in names and all(name == MANIFEST or is_file_name(name) for name in visible)
    )

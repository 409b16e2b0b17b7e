"""The folder of a checkpoint, opened: every file in it by its name there, and only what is a file there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import DamagedError
from .checksum import crc32c
from .disk import is_at
from .header import header_length, read_header
from .manifest import MANIFEST, MAX_MANIFEST, Manifest, Tensor, read_manifest
from .refusal import Refuse
from .staging import find_aside

_TRIES = 100  # as often a save may replace what we read, between its first and its last file
_LOOKS = 10


class Part(NamedTuple):
    """One file of tensors, open: its name, descriptor, size of its header, and where each tensor begins in the file."""

    name: str
    file: int
    header_size: int
    begins: dict[str, int]


class Opened(NamedTuple):
    """A checkpoint whose manifest and headers are checked, and whose files are all there and of the right size."""

    manifest: Manifest
    parts: list[Part]


@contextlib.contextmanager
def opened(path: str) -> Iterator[Opened]:
    """The checkpoint at a path, though saves may replace it meanwhile. Errors are those of `load`."""
    with contextlib.ExitStack() as files:
        yield _open(path, files)


def _open(path: str, files: contextlib.ExitStack) -> Opened:
    for tries_left in reversed(range(_TRIES)):
        folder, where = _open_folder(path)
        try:
            return _open_files(folder, where, files)
        except DamagedError:
            if is_at(folder, where) or not tries_left:
                raise
            files.close()  # it was replaced while we read it
        finally:
            os.close(folder)
    raise AssertionError


def _open_folder(path: str) -> tuple[int, str]:
    """The folder's descriptor, and its path."""
    for where in _places(path):
        try:
            return os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), where
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            Refuse(path)("a checkpoint is a folder, and this is none")
    raise FileNotFoundError(errno.ENOENT, "no checkpoint is there", path)


def _places(path: str) -> Iterator[str]:
    """Where a checkpoint can be, again and again, since a save may move it while we look; see staging.py."""
    for _ in range(_LOOKS):
        yield path
        if aside := find_aside(os.path.realpath(path)):
            yield aside


def _open_files(folder: int, path: str, files: contextlib.ExitStack) -> Opened:
    manifest = _read_manifest(folder, path)
    expected = {MANIFEST, *manifest.files}
    found = {name for name in os.listdir(folder) if not name.startswith(".")}
    if found != expected:
        name = min(found ^ expected)
        Refuse(path)(f"{name!r} is missing" if name in expected else f"{name!r} is no part of the checkpoint")
    by_file: dict[str, dict[str, Tensor]] = {name: {} for name in manifest.files}
    for name, tensor in manifest.tensors.items():
        by_file[tensor.file][name] = tensor
    parts = []
    for entry in manifest.files.values():
        refuse = Refuse(os.path.join(path, entry.name))
        file = _open_file(folder, entry.name, refuse)
        files.callback(os.close, file)
        size = os.fstat(file).st_size
        if size != entry.size:
            refuse(f"it has {size:,} bytes, and the manifest says {entry.size:,}")
        length = header_length(_read(file, 8), size, refuse)
        header = _read(file, length)
        if crc32c(header) != entry.header_checksum:
            refuse("the checksum of its header is not that in the manifest")
        described = {n: (t.dtype, t.shape) for n, t in by_file[entry.name].items()}
        begins = read_header(header[8:], size - length, described, refuse)
        parts.append(Part(entry.name, file, length, {n: length + begin for n, begin in begins.items()}))
    return Opened(manifest, parts)


def _read_manifest(folder: int, path: str) -> Manifest:
    refuse = Refuse(os.path.join(path, MANIFEST))
    file = _open_file(folder, MANIFEST, refuse)
    try:
        size = os.fstat(file).st_size
        if size > MAX_MANIFEST:
            refuse(f"it has {size:,} bytes, more than any manifest")
        return read_manifest(_read(file, size), refuse)
    finally:
        os.close(file)


def _open_file(folder: int, name: str, refuse: Refuse) -> int:
    """A descriptor of a file in the folder: no link, which may lead anywhere, and no pipe, which may never end."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            refuse("it is missing" if error.errno == errno.ENOENT else "it is no file")
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        refuse("it is no file")
    return file


def _read(file: int, size: int) -> bytes:
    """The first bytes of a file, or fewer if it ends before."""
    found = bytearray()
    while len(found) < size and (more := os.pread(file, size - len(found), len(found))):
        found += more
    return bytes(found)

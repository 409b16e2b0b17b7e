"""Saving: tensors to files, a manifest behind them, all of it durable before it has its name."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import symopt

from ..arrays import Array
from ..errors import AttributeValueError, DTypeError
from ..places import HOST
from .checksum import combine, crc32c
from .disk import DISK, Disk
from .dtypes import size_of
from .header import Described, in_order, write_header
from .manifest import MANIFEST, MAX_MANIFEST, File, Manifest, Tensor, file_name, write_manifest
from .progress import Progress, Tell
from .staging import staged_folder
from .streamed import Streamed, as_stored
from .tree import Encoder, Leaf

SHARD_BYTES = 4 << 30
_CHUNK = 1 << 20  # stays in the cache between copy, checksum and write
_BUFFERS = 8  # so many chunks the checksums may be behind the writes
_HASTE = 1 << 23  # after so many bytes the drive begins, while we go on
_ALONE = 1 << 16  # bytes that are not worth another thread


def store(
    path: str | os.PathLike[str],
    obj: Any,
    *,
    overwrite: bool = False,
    meta: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    progress: Tell | bool | None = None,
    shard_bytes: int = SHARD_BYTES,
    file_of: Callable[[str], int] | None = None,
    disk: Disk = DISK,
) -> None:
    """See `save`. `disk` does the writing. `file_of`: the number of the file that a tensor of a name goes to. Arrays
    may be `Streamed`; `meta` may be a function, called when they are written: then it can tell what they are."""
    encoder = Encoder()
    tree = encoder.encode(obj)
    said = None if callable(meta) else _encode_meta(meta or {})
    leaves = encoder.leaves
    total = sum(size_of(leaf.dtype, leaf.array.shape) for leaf in leaves.values())
    told = Progress(progress, total, f"saving {os.fspath(path)}")
    shards = _shards(leaves, shard_bytes) if file_of is None else _grouped(leaves, file_of)
    files: dict[str, File] = {}
    tensors: dict[str, Tensor] = {}
    with staged_folder(disk, os.path.realpath(path), overwrite) as folder, ThreadPoolExecutor(1) as helper:
        writer = _FileWriter(disk, helper, told)
        for k, names in enumerate(shards):
            name = file_name(k, len(shards))
            files[name], sums = writer.write(folder, name, {n: leaves[n] for n in names})
            tensors |= {n: Tensor(name, leaves[n].dtype, leaves[n].array.shape, sums[n]) for n in names}
        said = _encode_meta(meta()) if callable(meta) else said
        content = write_manifest(
            Manifest(symopt.__version__, files, {n: tensors[n] for n in leaves}, said, tree)
        )
        if len(content) > MAX_MANIFEST:
            raise AttributeValueError(
                f"the manifest would have {len(content):,} bytes: save large bytes as arrays"
            )
        _write_file(disk, os.path.join(folder, MANIFEST), content)


def _encode_meta(meta: Mapping[str, Any]) -> Any:
    notes = Encoder()
    said = notes.encode(dict(meta), ("meta",))
    if notes.leaves:
        raise DTypeError(
            f"{next(iter(notes.leaves))!r} is an array: meta has numbers, strings and containers of them"
        )
    return said


def _shards(leaves: Mapping[str, Leaf], shard_bytes: int) -> list[list[str]]:
    """Names of the tensors of each file: as many as fit, at least one; one empty file where there is none."""
    shards: list[list[str]] = [[]]
    room = shard_bytes
    for name, leaf in leaves.items():
        size = size_of(leaf.dtype, leaf.array.shape)
        if size > room and shards[-1]:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room -= size
    return shards


def _grouped(leaves: Mapping[str, Leaf], file_of: Callable[[str], int]) -> list[list[str]]:
    """Names of the tensors of each file, as they are told."""
    found: dict[int, list[str]] = {}
    for name in leaves:
        found.setdefault(file_of(name), []).append(name)
    return [found[k] for k in sorted(found)]


def _write_file(disk: Disk, path: str, content: bytes) -> None:
    file = disk.create(path)
    try:
        disk.write(file, memoryview(content))
        disk.sync(file)
    finally:
        disk.close(file)


class _Sum(NamedTuple):
    """The checksum of so many bytes."""

    checksum: int
    size: int

    def then(self, other: _Sum) -> _Sum:
        return _Sum(combine(self.checksum, other.checksum, other.size), self.size + other.size)


_NOTHING = _Sum(0, 0)


class _FileWriter:
    """Writes one file of tensors; a helper computes checksums meanwhile."""

    def __init__(self, disk: Disk, helper: Executor, told: Progress) -> None:
        self._disk = disk
        self._helper = helper
        self._told = told
        self._buffers = np.empty((_BUFFERS, _CHUNK), np.uint8)
        self._whole = _NOTHING
        self._written = self._hastened = 0  # bytes of the file, and those that the drive was told of

    def write(self, folder: str, name: str, leaves: Mapping[str, Leaf]) -> tuple[File, dict[str, int]]:
        described: Described = {n: (leaf.dtype, leaf.array.shape) for n, leaf in leaves.items()}
        order = in_order(described)
        header = write_header({n: described[n] for n in order})
        self._whole = head = _Sum(crc32c(header), len(header))
        sums: dict[str, int] = {}
        file = self._disk.create(os.path.join(folder, name))
        try:
            self._written = self._hastened = 0
            self._write(file, memoryview(header))
            for n in order:
                sums[n] = self._write_tensor(file, leaves[n])
            self._disk.sync(file)
        finally:
            self._disk.close(file)
        return File(name, self._whole.size, self._whole.checksum, head.checksum), sums

    def _write_tensor(self, file: int, leaf: Leaf) -> int:
        """Written from copies: whoever changes the array meanwhile, the checksum is that of what is in the file."""
        total = _NOTHING
        waiting: deque[tuple[Future[int], int]] = deque()
        is_alone = size_of(leaf.dtype, leaf.array.shape) <= _ALONE
        for k, part in enumerate(_chunks(leaf)):
            if len(waiting) == _BUFFERS:
                total = total.then(_next(waiting))
            copy = self._buffers[k % _BUFFERS][: len(part)]
            np.copyto(copy, part)
            if is_alone:
                total = total.then(_Sum(crc32c(copy.data), len(part)))
            else:
                waiting.append((self._helper.submit(crc32c, copy.data), len(part)))
            self._write(file, copy.data)
            self._told.add(len(part))
        while waiting:
            total = total.then(_next(waiting))
        self._whole = self._whole.then(total)
        return total.checksum

    def _write(self, file: int, data: memoryview) -> None:
        self._disk.write(file, data)
        self._written += len(data)
        if self._written - self._hastened >= _HASTE:
            self._disk.hasten(file, self._hastened, self._written - self._hastened)
            self._hastened = self._written


def _next(waiting: deque[tuple[Future[int], int]]) -> _Sum:
    found, size = waiting.popleft()
    return _Sum(found.result(), size)


def _chunks(leaf: Leaf) -> Iterator[Array]:
    """The bytes of an array as they are stored."""
    if isinstance(leaf.array, Streamed):
        pieces = leaf.array.as_bytes(leaf.dtype)
    else:
        pieces = iter([as_stored(leaf.array if leaf.place is HOST else leaf.place.to_host(leaf.array))])
    for data in pieces:
        for begin in range(0, len(data), _CHUNK):
            yield data[begin : begin + _CHUNK]

"""Compiled CUDA code, kept in memory and between processes in files under `config.cache_dir()`.

A file is named by everything that its contents depend on, and says what they hash to: one that was cut short or changed
is compiled anew. Files appear whole, so any number of processes share a directory; one that cannot be written to is
done without.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ... import config
from .nvrtc import OPTIONS, Compiled, Resources, compile_cuda, nvrtc_version

FORMAT = 1  # of the files
MOST_THREADS = 8  # compiling at once


class CubinCache:
    """`compiled` and `read` count the texts that were compiled, and those found in files."""

    def __init__(self) -> None:
        self.compiled = 0
        self.read = 0
        self._lock = threading.Lock()
        self._locks: dict[
            str, threading.Lock
        ] = {}  # one for each key: nobody compiles what another thread is at
        self._kept: dict[str, Compiled] = {}

    def get(self, text: str, architecture: str, ptx: bool = False) -> Compiled:
        """`compile_cuda` of these arguments, compiled once."""
        key = _key(text, architecture, ptx)
        if key in self._kept:
            return self._kept[key]
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = self._make(key, text, architecture, ptx)
            return self._kept[key]

    def compile_all(self, texts: Sequence[str], architecture: str, ptx: bool = False) -> list[Compiled]:
        """`get` of each text, several at once."""
        distinct = dict.fromkeys(texts)
        threads = min(len(distinct), config.num_threads(), MOST_THREADS)
        if threads > 1:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda text: self.get(text, architecture, ptx), distinct))
        return [self.get(text, architecture, ptx) for text in texts]

    def _make(self, key: str, text: str, architecture: str, ptx: bool) -> Compiled:
        path = config.cache_dir() / "cuda" / key
        found = _read(path)
        if found is not None:
            with self._lock:
                self.read += 1
            return found
        made = compile_cuda(text, architecture, ptx)
        with self._lock:
            self.compiled += 1
        _write(path, made)
        return made


cubins = CubinCache()  # of the process


def _key(text: str, architecture: str, ptx: bool) -> str:
    parts = [FORMAT, nvrtc_version(), OPTIONS, architecture, ptx, text]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# A file is three parts with newlines between: the hash of what follows it, the resources as JSON, the image.


def _read(path: Path) -> Compiled | None:
    try:
        digest, _, contents = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(contents):
        return None
    resources, _, image = contents.partition(b"\n")
    return Compiled(image, {name: Resources(*numbers) for name, numbers in json.loads(resources).items()})


def _write(path: Path, compiled: Compiled) -> None:
    contents = json.dumps(compiled.resources).encode() + b"\n" + compiled.image
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_digest(contents) + b"\n" + contents)
        os.replace(name, path)
    except OSError:  # a full disk
        Path(name).unlink(missing_ok=True)


def _digest(contents: bytes) -> bytes:
    return hashlib.sha256(contents).hexdigest().encode()

"""Memory that the processes of one machine share: one writes, all read, and nothing is sent."""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import os
import pickle
import threading
import weakref
from bisect import insort
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..errors import StoreFullError

LINE = 64  # bytes; every array begins on a line of the cache
_MOST = 256  # arenas that one process keeps open


class Where(NamedTuple):
    """An arena: where this machine finds its file, a name that no other one has, and how many bytes it has."""

    path: str
    name: str
    capacity: int


class Shared(NamedTuple):
    """A value in an arena: its block, its bytes but for those of arrays, and where and how long each array is."""

    arena: Where
    block: int
    head: bytes
    spans: tuple[tuple[int, int], ...]


class Memory:
    """A file without a name, of `capacity` bytes, which are taken when they are first written to. Others find it as
    long as this stays; when the last that maps it is gone, it is gone too, however that ends."""

    def __init__(self, capacity: int) -> None:
        name = f"symopt-{os.urandom(8).hex()}"
        self._file, self._owner = os.memfd_create(name, os.MFD_CLOEXEC), os.getpid()
        os.ftruncate(self._file, capacity)
        self.where = Where(f"/proc/{os.getpid()}/fd/{self._file}", name, capacity)

    def __del__(self) -> None:
        """Nobody reads it any more, but processes that did may have it mapped for long: that takes no memory. It is the
        same memory in a fork, whose end must not empty it."""
        try:
            if os.getpid() == self._owner:
                with contextlib.suppress(OSError), mmap.mmap(self._file, self.where.capacity) as all_of_it:
                    all_of_it.madvise(mmap.MADV_REMOVE)
        finally:
            os.close(self._file)


class Arena:
    """Room for values in a Memory, which one process writes, and others read as long as they are not freed.

    >>> import numpy as np
    >>> memory = Memory(1 << 20)
    >>> arena = Arena(memory.where)
    >>> there = arena.put({"ids": np.arange(3)})
    >>> Readers().read(there)["ids"]
    array([0, 1, 2])
    >>> arena.free(there.block)
    """

    def __init__(self, where: Where) -> None:
        self.where, self.capacity = where, where.capacity
        self.used = 0
        self._memory = _mapped(where, is_written=True)
        self._begin = _address(self._memory)
        self._free: list[tuple[int, int]] = [
            (0, self.capacity)
        ]  # where and how long, ascending, none beside another
        self._sizes: dict[int, int] = {}
        self._made: dict[int, weakref.finalize[..., Any]] = {}  # blocks of arrays that were not put
        self._gone: deque[int] = deque()  # blocks that are to be freed
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike, least: int = 1) -> Array:
        """`numpy.empty`, in here if there is room, and if it has `least` bytes: once filled, `put` takes such an array,
        one in a value, as it is. Nobody may write to it from then on."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if nbytes < least:
            return np.empty(shape, dtype)
        try:
            block = self._take(nbytes)
        except StoreFullError:
            return np.empty(shape, dtype)
        whole = np.frombuffer(self._memory, np.uint8, nbytes, block)
        # arrays may go at any moment, also while room is looked for
        self._made[block] = weakref.finalize(whole, self._gone.append, block)
        self._made[block].atexit = False
        return whole.view(dtype).reshape(shape)

    def put(self, value: Any) -> Shared:
        """A copy of a value, which may be anything that can be pickled. StoreFullError if there is no room."""
        head, pieces = _pickled(value)
        for piece in pieces if self._made else ():
            block = _address(piece) - self._begin
            if block in self._made:
                return self._taken(value, piece, block)
        block = at = self._take(sum(map(_lines, pieces)))
        spans = []
        for piece in pieces:
            n = piece.nbytes
            self._memory[at : at + n] = piece
            spans.append((at, n))
            at += _lines(piece)
        return Shared(self.where, block, head, tuple(spans))

    def _taken(self, value: Any, own: memoryview, block: int) -> Shared:
        """A value with an array that is here already; others are in the pickle."""
        head, pieces = _pickled(value, lambda piece: _address(piece) == _address(own))
        self._made.pop(block).detach()
        return Shared(self.where, block, head, tuple([(block, len(piece)) for piece in pieces]))

    def free(self, block: int) -> None:
        """Let a value go: nobody reads it any more. A collection of garbage may do so at any moment, also while this
        thread looks for room: then that comes first."""
        if block not in self._sizes:
            raise KeyError(block)
        self._gone.append(block)
        while self._gone and self._lock.acquire(blocking=False):
            try:
                self._free_gone()
            finally:
                self._lock.release()

    def _free_gone(self) -> None:
        while self._gone:
            block = self._gone.popleft()
            self._made.pop(block, None)
            size = self._sizes.pop(block)
            self.used -= size
            insort(self._free, (block, size))
            at = self._free.index((block, size))
            for k in (at, at - 1):  # join it with what is behind, and before
                if 0 <= k < len(self._free) - 1 and sum(self._free[k]) == self._free[k + 1][0]:
                    begin, n = self._free[k]
                    self._free[k : k + 2] = [(begin, n + self._free[k + 1][1])]

    def _take(self, size: int) -> int:
        """The first room that is large enough: low addresses are used again and again, and stay in the cache."""
        size = max(-(-size // LINE), 1) * LINE
        with self._lock:
            self._free_gone()
            for k, (begin, n) in enumerate(self._free):
                if n >= size:
                    self._free[k : k + 1] = [(begin + size, n - size)] if n > size else []
                    self._sizes[begin] = size
                    self.used += size
                    return begin
        raise StoreFullError(
            f"{size} bytes are to be shared, and of {self.capacity} there are {self.capacity - self.used} left, in "
            f"{len(self._free)} pieces"
        )


class Readers:
    """The arenas of other processes, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[str, memoryview] = {}

    def open(self, arena: Where) -> memoryview:
        """All of an arena, to be read. OSError if it is gone, on another machine, or another user's."""
        found = self._opened.get(arena.name)
        if found is None:
            if len(self._opened) >= _MOST:  # of processes that are long gone
                self._opened.pop(next(iter(self._opened)))
            found = self._opened[arena.name] = _mapped(arena, is_written=False)
        return found

    def read(self, there: Shared, owner: object = None) -> Any:
        """A value, with arrays that are views of the arena and can't be written to. They keep `owner`."""
        memory = self.open(there.arena)
        if not there.spans:
            return pickle.loads(there.head)
        whole = np.frombuffer(memory, np.uint8, max(map(sum, there.spans)) - there.block, there.block)
        if owner is not None:
            weakref.finalize(whole, _keep, owner).atexit = False
        pieces = [whole[at - there.block : at - there.block + n] for at, n in there.spans]
        return pickle.loads(there.head, buffers=pieces)


def _pickled(
    value: Any, beside: Callable[[memoryview], bool] = lambda piece: True
) -> tuple[bytes, list[memoryview]]:
    """A value, and the bytes of its arrays that are `beside`, not in it."""
    pieces: list[memoryview] = []

    def is_within(buffer: pickle.PickleBuffer) -> bool:
        piece = buffer.raw()
        if is_beside := beside(piece):
            pieces.append(piece)
        return not is_beside

    head = io.BytesIO()
    _Pickler(head, protocol=5, buffer_callback=is_within).dump(value)
    return head.getvalue(), pieces


def _address(piece: memoryview) -> int:
    """Where bytes lie."""
    found: int = np.asarray(piece).ctypes.data
    return found


class _Pickler(pickle.Pickler):
    """Puts all large arrays beside the pickle: also those that pickle would copy into it, of a dtype that is not
    NumPy's own, or whose elements don't lie together."""

    def reducer_override(self, given: Any) -> Any:
        if type(given) is not np.ndarray or given.dtype.hasobject or given.nbytes < LINE:
            return NotImplemented
        if given.dtype.isbuiltin == 2:
            whole = np.ascontiguousarray(given).reshape(-1).view(np.uint8)
            return _viewed, (whole, given.dtype, given.shape)
        if given.flags.c_contiguous or given.flags.f_contiguous:
            return NotImplemented
        return np.ascontiguousarray(given).__reduce_ex__(5)


def _viewed(whole: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    return whole.view(dtype).reshape(shape)


def memory_of(capacity: int) -> Memory | None:
    """Memory to share, where the system has what it takes: Linux."""
    return Memory(capacity) if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd") else None


def _keep(owner: object) -> None:
    """Nothing: what is to be called later is kept until then, and with it what it is called with."""


def _mapped(where: Where, is_written: bool) -> memoryview:
    if where.name not in os.readlink(where.path):  # numbers of processes and files are given again
        raise FileNotFoundError(f"{where.path} is not {where.name}")
    file = os.open(where.path, (os.O_RDWR if is_written else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if is_written else 0)
        return memoryview(mmap.mmap(file, where.capacity, mmap.MAP_SHARED, protection))
    finally:
        os.close(file)


def _lines(piece: memoryview) -> int:
    """Bytes in whole lines of the cache."""
    return -(-piece.nbytes // LINE) * LINE

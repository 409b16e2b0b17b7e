"""What an actor of Ray runs: one object, its calls, and what they raised as a value. Needs no Ray.

Ray sends this class by its name."""

from __future__ import annotations

import functools
import platform
import sys
import threading
import zlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from os import getpid
from pathlib import Path
from typing import Any

from ..config import set_num_threads
from ..errors import MismatchError, StoreFullError
from .arena import Arena, Readers, Shared, Where
from .near import Listener
from .raised import Raised, sendable
from .transport import LARGE, served, size


class Process:
    """The object that one actor runs. Calls wait until it is made, and raise what making it raised."""

    def __init__(self, module: str) -> None:
        """`module` is imported at once: a process that is started ahead of its need has done so by then."""
        import_module(module)
        self._ready = threading.Event()
        self._object: Any = None
        self._error: Exception | None = None
        self._readers = Readers()
        self._arena: Arena | None = None

    def make(
        self,
        service: str,
        config: Mapping[str, Any],
        threads: int,
        versions: Mapping[str, str],
        memories: tuple[Where, Where] | None,
    ) -> str | None:
        """Become the object that `service` makes of `config`, if this process is of these `versions`. `memories`: of
        the driver, for what it sends, and for what this process answers. Where it is called if it finds them, which is
        to say that both are on one machine; else None."""
        address = None if memories is None else self._listen(*memories)
        try:
            refuse_others(versions)
            set_num_threads(threads)
            self._object = served(service, config)
            if self._arena is not None and hasattr(self._object, "empty"):
                self._object.empty = functools.partial(self._arena.empty, least=LARGE)
        except Exception as error:
            self._error = error
        finally:
            self._ready.set()
        return address

    def _listen(self, drivers: Where, own: Where) -> str | None:
        try:
            self._readers.open(drivers)
            self._arena = Arena(own)
            return Listener(self.answer).address
        except OSError:
            return None

    def answer(self, method: str, returns: int, freed: Sequence[int], args: Sequence[Any]) -> list[Any]:
        """A call of the driver beside: `returns` values, or Raised, large ones Shared if there is room. `freed`: blocks
        of the arena that nobody reads any more."""
        assert self._arena is not None
        for block in freed:
            self._arena.free(block)
        found = self.call(method, returns, *args)
        return [self._shared(each) for each in ([found] if returns == 1 else found)]

    def _shared(self, found: Any) -> Any:
        if self._arena is None or size(found) < LARGE:
            return found
        try:
            return self._arena.put(found)
        except StoreFullError:
            return found

    def call(self, method: str, returns: int, *args: Any) -> Any:
        """What the object's method gives, or Raised; `returns` of them."""
        try:
            return self._called(method, args)
        except Exception as error:
            raised = Raised(sendable(error))
            return raised if returns == 1 else (raised,) * returns

    def _called(self, method: str, args: Sequence[Any]) -> Any:
        for each in args:
            if type(each) is Raised:  # the answer of another call, which was passed on before it was there
                raise each.error
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return getattr(self._object, method)(
            *(self._readers.read(a) if type(a) is Shared else a for a in args)
        )

    def about(self) -> tuple[str, int]:
        """This machine's name, and the number of this process there."""
        return machine(), getpid()


def machine() -> str:
    """This machine's name."""
    return platform.node()


def versions() -> dict[str, str]:
    """What must be the same in all processes of a cluster."""
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "byte order": sys.byteorder}
    for package in ("symopt", "numpy", "ray"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # runs from a folder
            found[package] = getattr(import_module(package), "__version__", "unknown")
    return found | {"source": source()}


@functools.cache
def source() -> str:
    """A short name for the source that runs, as far as sizes of files tell."""
    root = Path(__file__).parents[1]
    sizes = sorted((path.relative_to(root).as_posix(), path.stat().st_size) for path in root.rglob("*.py"))
    return f"{zlib.crc32(repr(sizes).encode()):08x}"


def refuse_others(wanted: Mapping[str, str]) -> None:
    """MismatchError unless this process is of the `wanted` versions."""
    own = versions()
    differ = [f"{k}: {wanted[k]} there, {own.get(k)} here" for k in wanted if wanted[k] != own.get(k)]
    if differ:
        raise MismatchError(
            f"the process on {machine()!r} is not what its driver is (there: the driver; here: the process):\n  "
            + "\n  ".join(differ)
            + "\ninstall the same versions on all machines"
        )

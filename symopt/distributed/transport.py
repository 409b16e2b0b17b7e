"""What a cluster asks of the engine that starts its processes and moves bytes between them.

Nothing here makes results right: numbers of steps, order and replay are the cluster's, so an engine may lose a process
at any moment, and need neither retry nor restart anything. It must not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from ..errors import AttributeValueError, ClusterError, ProcessLostError, StoreFullError

# What names a process, an answer that is on its way, and a value that processes can read: the engine's own objects.
# Answers and values may be arguments of calls: the process then gets what they stand for.
Host: TypeAlias = Any
Reply: TypeAlias = Any
Held: TypeAlias = Any

WRITES, READS = "writes", "reads"  # lanes
LARGE = 1 << 15  # bytes of arrays; so many, and more, are put where a process reads them, and not sent
LOST = (ProcessLostError, TimeoutError)  # what `wait` raises of a process that is gone, or silent


class Transport(Protocol):
    """Processes that each run one object, whose methods are called from here."""

    #: Whether a process may be gone while this one is not: then what it was sent has to be kept.
    may_lose: bool
    #: Bytes that may be on their way, or held, at one time.
    capacity: int

    def start(self, service: str, name: str, config: Mapping[str, Any]) -> Host:
        """A process with the object that `service`, "module:class", makes of `config`, which is plain data.

        Returns at once; calls wait for it, and raise what making it raised. ClusterError if there can't be one.
        An object that has an `empty` may be given another: its arrays are answered without a copy, one in an answer."""

    def call(
        self,
        host: Host,
        method: str,
        *args: Any,
        returns: int = 1,
        lane: str = WRITES,
    ) -> Any:  # Reply, or a list of them
        """Call a method there, and don't wait, but perhaps for arguments that are still to come. Calls of one lane are
        made one after the other, in this order.

        `returns`: the method gives a tuple of so many, each of which gets a Reply of its own. An answer may be an
        argument of other calls, also when its process is gone.

        A process may read what it was sent until the call is answered; what is a Held or a Reply, until that goes; and
        what has fewer than `LARGE` bytes is its own."""

    def wait(self, reply: Reply, timeout: float | None = None) -> Any:
        """What the method gave; arrays may be read-only. What it raised; ProcessLostError if its process is gone;
        TimeoutError after so many seconds."""

    def is_done(self, reply: Reply) -> bool:
        """Whether `wait` would return or raise at once."""

    def ready(self, replies: Sequence[Reply], timeout: float | None = None) -> list[Reply]:
        """Those of several that are done: at least one, unless none is after so many seconds."""

    def put(self, value: Any) -> Held:
        """A value that all processes can read, and that stays while the result is held. What it was made of may be
        written to afterwards. StoreFullError if there is no room."""

    def secure(self, reply: Reply, host: Host, timeout: float | None = None) -> None:
        """An answer that is there, and that `host` reads: who replaces that must be able to read it again. If the
        machine of `host` has the only copy, there is another on this machine from now on, for as long as `reply` is
        held. ProcessLostError if it is gone, or doesn't come in so many seconds."""

    def process_id(self, host: Host) -> int | None:
        """The operating system's number of the process, if it has one and runs on this machine."""

    def stop(self, host: Host) -> None:
        """Let a process go, at once. Nothing if it is gone."""

    def close(self) -> None:
        """Let all go."""


class Securing(Protocol):
    """The driver's side of a process, which may be replaced."""

    def secure(self, reply: Reply) -> None:
        """See Transport."""


def secure_again(line: Securing, reply: Reply) -> None:
    """Secure an answer that was secured before, for a process which may have been replaced since. Where that can't be
    done it is sent all the same."""
    with contextlib.suppress(*LOST, StoreFullError):
        line.secure(reply)


def size(value: Any) -> int:
    """Bytes of the arrays in `value`."""
    if isinstance(value, (tuple, list)):
        return sum(map(size, value))
    if isinstance(value, Mapping):
        return sum(map(size, value.values()))
    return int(getattr(value, "nbytes", 0)) or (len(value) if isinstance(value, (bytes, str)) else 0)


def served(service: str, config: Mapping[str, Any]) -> Any:
    """The object that a process runs: what "module:class" makes of `config`."""
    module, _, name = service.partition(":")
    made = getattr(import_module(module), name, None) if name else None
    if made is None:
        raise AttributeValueError(f'a service is "module:class", got {service!r}')
    return made(config)


def check_is_of(name: str, error: Exception) -> None:
    """When the process `name` is sent again what it needs, and this is raised: ClusterError if it is not that process
    that is lost, but one whose answers are among it. They outlive their process; so they are lost with its machine."""
    lost = getattr(error, "process", "")
    if lost and lost != name:
        raise ClusterError(
            f"{name} can't be replaced: a machine that is lost had what {lost} had sent it since the newest "
            f"checkpoint. Cluster.restore() goes back to that, in a cluster with path=. {error}"
        ) from error

"""What names a process of Ray, and an answer that is on its way through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arena import Memory
from .beside import Beside
from .process import LOG
from .transport import READS, WRITES

# The calls of a group are made by one thread of the process, in order. ABOUT is answered while all others are busy.
ABOUT = "about"
GROUPS = {WRITES: 1, READS: 1, ABOUT: 1}
SLOW_SECONDS, START_SECONDS = 15, 120  # that a process may take to begin, without a word, and at all


class Host:
    """One process."""

    __slots__ = ("about", "actor", "beside", "called", "machine", "made", "memory", "name", "number")

    def __init__(self, actor: Any, name: str) -> None:
        self.actor, self.name = actor, name
        self.about = actor.about.options(concurrency_group=ABOUT).remote()
        self.called: dict[tuple[str, int], Any] = {}
        self.machine: str | None = None  # where it runs, once somebody asked
        self.number: int | None = None  # of the operating system
        self.made: Any = None  # when it is made: where it is called, if it is on this machine
        self.memory: Memory | None = None
        self.beside: Beside | None = None

    def calling(self, lane: str, returns: int) -> Any:
        """The actor's method `call` in a lane; made once, since making it takes as long as calling."""
        found = self.called.get((lane, returns))
        if found is None:
            found = self.actor.call.options(concurrency_group=lane, num_returns=returns)
            self.called[lane, returns] = found
        return found


def made(ray: Any, host: Host, reserve: Mapping[str, Any]) -> Any:
    """Wait until a process is made: where it is called, if it is on this machine. TimeoutError if that takes long; it
    is logged before, since Ray waits for a machine that has what a process is to `reserve` without a word."""
    waited = 0
    for seconds in (SLOW_SECONDS, START_SECONDS):
        try:
            return ray.get(host.made, timeout=seconds - waited)
        except ray.exceptions.GetTimeoutError:
            waited, why = seconds, f"it has not begun after {seconds} s, {_room(ray, reserve)}"
            LOG.warning("%s: %s", host.name, why)
    raise TimeoutError(why)


def _room(ray: Any, reserve: Mapping[str, Any]) -> str:
    wanted = {n: x for n, x in reserve.items() if n in ("num_cpus", "num_gpus", "memory", "resources")}
    there = {
        n["NodeManagerAddress"]: f"{n['Resources'].get('CPU', 0):g} CPUs" for n in ray.nodes() if n["Alive"]
    }
    free = ray.available_resources().get("CPU", 0)
    return f"and reserves {wanted}; Ray has {there}, of which {free:g} CPUs are free"


class Reply:
    """The answer of a call. `args`: what the call reads, which stays until one of its answers is looked at, or all
    go. `copy`: the value, if it is to stay in the store of this machine too; `near`: where processes of this machine
    read it, if they do."""

    __slots__ = ("args", "copy", "host", "near", "ref")

    def __init__(self, ref: Any, host: Host, args: list[Any]) -> None:
        self.ref, self.host, self.args = ref, host, args
        self.copy: Any = None
        self.near: Any = None

"""Runs a workload with a bug planted in the CUDA text or the tables of its kernels, each in a process of its own.

As a script: `planted.py WORKLOAD` tries every bug of test_planted_bugs.BUGS that is planted there, and prints what became
of each as JSON.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from planted_work import WORKLOADS, Engine
from test_engines import bits

from symopt.backends import choose
from symopt.backends.cuda import engine as cuda_engine
from symopt.backends.cuda.emulator import EmulationError, Emulator

SCHEDULES = (0, 3, 5, 2, 7, 1, 11, 9)
SECONDS = 60  # that one bug may take
SURVIVED, CAUGHT, BROKEN = range(3)


class Bug(NamedTuple):
    """`text`: what to find in the CUDA text and what to put there, where no line is indented. `tables`: changes the
    host's part of the engine."""

    text: Sequence[tuple[str, str]] = ()
    tables: Callable[[], None] | None = None


class Plant:
    """Puts a bug into texts. `found`: which of its parts have occurred in one."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug
        self.found: set[str] = set()

    def __call__(self, text: str) -> str:
        text = "\n".join(line.strip() for line in text.splitlines())
        for old, new in self.bug.text:
            if old in text:
                self.found.add(old)
            text = text.replace(old, new)
        return text

    def install(self) -> None:
        """From now on, in this process."""
        for name in ("cuda_text", "service_text"):
            setattr(cuda_engine, name, self._planted(getattr(cuda_engine, name)))
        if self.bug.tables:
            self.bug.tables()

    def _planted(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def planted(*args: Any) -> Any:
            text, kernels = make(*args)
            return self(text), kernels

        return planted


def run(workload: str, plant: Plant, expected: Sequence[Any]) -> str:
    """How the emulator shows that something is wrong, or nothing."""
    for seed in SCHEDULES:
        device = Emulator(seed, multiprocessors=1)
        choose.emulator = lambda device=device: device
        try:
            found = WORKLOADS[workload](Engine(device, plant))
            device.check_guards()
        except EmulationError as error:
            return f"schedule {seed}: {error}"
        for k, (a, b) in enumerate(zip(expected, found, strict=True)):
            if a != b if isinstance(a, str) else not np.array_equal(bits(a), bits(b)):
                return f"schedule {seed}: result {k} differs"
    return ""


def attempt(workload: str, bug: Bug, expected: Sequence[Any]) -> int:
    """What becomes of a bug, in a process that ends with it."""
    plant = Plant(bug)
    plant.install()
    shown = run(workload, plant, expected)
    missing = [old for old, _ in bug.text if old not in plant.found]
    if missing:
        print(f"{workload}: no text has {missing}", file=sys.stderr)
        return BROKEN
    print(shown, file=sys.stderr)
    return CAUGHT if shown else SURVIVED


def outcome(workload: str, bug: Bug, expected: Sequence[Any]) -> str:
    """What becomes of a bug: "caught", "survived", "broken", or that the process was ended by a signal, of which
    SIGSEGV is a guard page's."""
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            signal.alarm(SECONDS)
            status = attempt(workload, bug, expected)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "caught" if name in ("SIGSEGV", "SIGBUS") else f"ended by {name}"
    return ("survived", "caught", "broken")[os.WEXITSTATUS(status)]


def main(workload: str, bugs: Mapping[str, Bug]) -> None:
    """Without a bug the workload must be right; loaded once, its kernels are there for those that are not changed."""
    expected = WORKLOADS[workload](Engine(None, str))
    wrong = run(workload, Plant(Bug()), expected)
    found = {"nothing": wrong} if wrong else {name: outcome(workload, b, expected) for name, b in bugs.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    from test_planted_bugs import BUGS

    main(sys.argv[1], BUGS[sys.argv[1]])

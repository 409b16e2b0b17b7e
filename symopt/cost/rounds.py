"""How thoroughly a machine is measured, and what is taken of many measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from .probes import Probe

K = TypeVar("K")


class Effort(NamedTuple):
    """How thoroughly to measure. `size`: bytes of an array that no cache holds; `smallest`: of one that any holds;
    `rounds`: times that each is run; `elements`, `lengths`, `slow_lengths`: of the chains of arithmetic."""

    size: int = 1 << 27
    smallest: int = 1 << 14
    rounds: int = 9
    elements: int = 1 << 13
    lengths: tuple[int, int] = (4, 20)
    slow_lengths: tuple[int, int] = (1, 2)


# A GPU needs more elements to be busy, and longer chains, so that arithmetic shows behind its faster memory.
ON_DEVICE = Effort(size=1 << 29, elements=1 << 22, lengths=(32, 128), slow_lengths=(4, 16))


def quartiles(work: Mapping[K, Callable[[], float]], rounds: int) -> dict[K, float]:
    """The lower quartile of the seconds that each gives in so many rounds: noise only adds. In each round all take
    turns, so that it falls on all alike."""
    found: dict[K, list[float]] = {key: [] for key in work}
    for run in work.values():
        run()
    for _ in range(rounds):
        for key, run in work.items():
            found[key].append(run())
    return {key: sorted(times)[len(times) // 4] for key, times in found.items()}


def repeated(probe: Probe, steps: int) -> Callable[[], float]:
    return lambda: probe.seconds(steps)

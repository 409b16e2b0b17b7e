"""How fast a machine moves bytes and computes, as `calibrate` measured it, and the seconds that follow."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .arithmetic import Operation

# Which operations take turns, where it is not adding, multiplying, comparing, converting.
GROUPS = {"div": "divide", "sqrt": "divide"} | dict.fromkeys(
    ("exp", "log", "tanh", "pow", "fmod", "matmul"), "call"
)


OVERLAP = (
    3  # of two times, the power whose sum counts: 1 would be one after the other, infinity the longer alone
)


class Stream(NamedTuple):
    """Bytes of one array that a launch moves. `apart`: how many bytes the steps touch between two uses of it, which
    decides what cache it is still in. `rows`: how many rows these are, if they lie anywhere in the array; `listed`: if
    it is the gradient that lists them."""

    read: int
    written: int
    apart: float = math.inf
    rows: int = 0
    listed: bool = False


class Row(NamedTuple):
    """What an update takes of a row of so many bytes that lies anywhere in a large table: seconds for the gradient's
    row, and for that of each array. `arithmetic`: how much of the time to compute it comes on top."""

    size: float
    gradient: float
    array: float
    arithmetic: float = 0.0


@dataclass(frozen=True, slots=True)
class Speed:
    """What some threads do together.

    `read`, `updated`, `written`: seconds a byte of an array in memory that is only read, updated in place (its size
    counted once), only written; `beside`: what is saved for each byte that is read while another is written.
    `levels`: pairs of bytes touched in between and the part of that time they then take, ascending. `rows`: by size,
    ascending. `gain`: how many times faster than one thread they compute.
    """

    read: float
    updated: float
    written: float
    beside: float = 0.0
    levels: tuple[tuple[float, float], ...] = ()
    rows: tuple[Row, ...] = ()
    gain: float = 1.0

    def seconds(self, streams: Sequence[Stream]) -> float:
        """The time that these streams of one launch take."""
        total = read = written = 0.0
        for stream in streams:
            if stream.rows:
                total += stream.rows * self._row(stream)
                continue
            both, part = min(stream.read, stream.written), self.part(stream.apart)
            total += part * both * self.updated
            total += part * ((stream.read - both) * self.read + (stream.written - both) * self.written)
            read += part * (stream.read - both)
            written += part * stream.written
        return total - min(read, written) * self.beside

    def _row(self, stream: Stream) -> float:
        """Seconds of one row of a stream."""
        if not self.rows:
            return max(stream.read, stream.written) / stream.rows * self.updated
        size = max(stream.read, stream.written) / stream.rows
        seconds = [(row.size, row.gradient if stream.listed else row.array) for row in self.rows]
        largest = self.rows[-1].size
        return interpolated(seconds, size) * max(size / largest, 1.0)

    def shown(self, streams: Sequence[Stream]) -> float:
        """How much of the arithmetic comes on top of the memory: 0 but for rows that lie anywhere."""
        sizes = [max(s.read, s.written) / s.rows for s in streams if s.rows]
        if not sizes or not self.rows:
            return 0.0
        return interpolated([(row.size, row.arithmetic) for row in self.rows], max(sizes))

    def part(self, apart: float) -> float:
        """The part of the time from memory that bytes take which were used so many bytes ago."""
        return interpolated(self.levels, apart) if self.levels else 1.0


def interpolated(points: Sequence[tuple[float, float]], x: float) -> float:
    """The value at x of a line through points, straight over log x; beyond the ends that of the end."""
    k = bisect_left([at for at, _ in points], x)
    if k == 0 or k == len(points):
        return points[min(k, len(points) - 1)][1]
    (low, a), (high, b) = points[k - 1], points[k]
    return a + math.log(x / low) / math.log(high / low) * (b - a)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured on one device. `speeds` by number of threads; `operations`: seconds of one, on one thread of a
    loop over arrays in a cache; `launch`, `tensor`: seconds for each launch and for each tensor in it; `step`: for each
    step; `index`, `sort`: for each row listed by a gradient, to look at it and to sort it."""

    device: str
    speeds: Mapping[int, Speed]
    operations: Mapping[Operation, float] = field(default_factory=dict)
    launch: float = 0.0
    tensor: float = 0.0
    step: float = 0.0
    index: float = 0.0
    sort: float = 0.0

    def speed(self, threads: int) -> Speed:
        """That of the nearest number of threads measured."""
        return self.speeds[min(self.speeds, key=lambda n: abs(math.log(n / max(threads, 1))))]

    def arithmetic(self, counts: Mapping[Operation, int], threads: int) -> float:
        """Seconds for so many operations. What was not measured takes no time.

        Processors divide beside what else they compute; calls of a library run by themselves.
        """
        groups = {"divide": 0.0, "call": 0.0, "": 0.0}
        for operation, count in counts.items():
            groups[GROUPS.get(operation[0], "")] += count * self.operations.get(operation, 0.0)
        return (max(groups["divide"], groups[""]) + groups["call"]) / self.speed(threads).gain

    def seconds(
        self, streams: Sequence[Stream], counts: Mapping[Operation, int], threads: int, tensors: int
    ) -> tuple[float, float]:
        """Seconds of a launch, and those that memory alone would take. Memory and arithmetic overlap but for a little
        where they are near each other; in rows here and there, in part."""
        speed = self.speed(threads)
        memory, computing = speed.seconds(streams), self.arithmetic(counts, threads)
        beside = (memory**OVERLAP + computing**OVERLAP) ** (1 / OVERLAP)
        together = max(beside, memory + speed.shown(streams) * computing)
        return self.launch + tensors * self.tensor + together, memory

    @property
    def fastest(self) -> float:
        """Bytes a second from memory at best: what a roof is drawn at."""
        return max(max(1 / s.read, 2 / s.updated) for s in self.speeds.values())

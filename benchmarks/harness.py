"""Interleaved medians: every contender runs once a round, so that noise of the machine falls on all alike."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

OURS = "symopt"
BUSY = 0.05  # with more of the machine than this taken by others, a ratio is no verdict
Work = Callable[[], Any]


@dataclass
class Row:
    """One job: seconds of each contender, what symopt is to reach as a ratio to a peer, and a remark."""

    job: str
    seconds: dict[str, float]
    targets: dict[str, float] = field(default_factory=dict)
    limit: float | None = None  # seconds not to exceed
    remark: str = ""
    others: float = 0.0  # share of the processor time that went to other processes meanwhile

    def lines(self) -> list[str]:
        ours = self.seconds[OURS]
        found = [f"{self.job:<34} {OURS:<22} {_time(ours):>10}"]
        if self.limit is not None:
            found[0] += f"            target {_time(self.limit)} {self._verdict(ours <= self.limit)}"
        for peer, seconds in self.seconds.items():
            if peer != OURS:
                ratio, target = seconds / ours, self.targets.get(peer)
                line = f"{'':<34} {peer:<22} {_time(seconds):>10}  {ratio:7.2f}x"
                if target:
                    line += f"   target {target:.3g}x {self._verdict(ratio >= target)}"
                found.append(line)
        if self.remark:
            found.append(f"{'':<34} {self.remark}")
        return found

    def _verdict(self, met: bool) -> str:
        """A busy machine decides nothing: torch's threads spin while they wait, and lose fiftyfold on a shared core."""
        if self.others > BUSY:
            return f"undecided: {self.others:.0%} of the machine was busy with something else"
        return "met" if met else "MISSED"


def measure(work: dict[str, Work], rounds: int = 15, inner: int = 1) -> dict[str, float]:
    """Median seconds of each contender; one round to warm up, then `rounds` rounds of `inner` calls each in turn."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in work.values():
        run()
    for _ in range(rounds):
        for name, run in work.items():
            start = time.perf_counter()
            for _ in range(inner):
                run()
            times[name].append((time.perf_counter() - start) / inner)
    return {name: statistics.median(found) for name, found in times.items()}


def foreign_work() -> tuple[float, float]:
    """Processor seconds since boot: those of the whole machine, and those that others than this run worked.

    Time that the hypervisor took counts as work of others. Zeros where there is no /proc/stat.
    """
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0, 0.0
    ticks = [int(x) / os.sysconf("SC_CLK_TCK") for x in stat.read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks), sum(ticks) - idle - sum(os.times()[:4])


def attended(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows as they are measured, each with the share of processor time, since the first began, that others took."""
    total, others = foreign_work()
    for row in rows:
        now_total, now_others = foreign_work()
        row.others = (now_others - others) / max(now_total - total, 1e-9)
        yield row


def torch_or_none(threads: int) -> Any:
    """torch with as many threads as symopt, or None: a missing peer is a row less."""
    if util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(threads)
    return torch


def machine() -> str:
    """Processor, cores in use, and versions."""
    import symopt

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    versions = [f"{p} {metadata.version(p)}" for p in ("numpy", "llvmlite", "torch") if util.find_spec(p)]
    python = ".".join(map(str, sys.version_info[:3]))
    versions.insert(0, f"symopt {symopt.__version__}")
    return f"{name}, {symopt.num_threads()} threads; Python {python}, {', '.join(versions)}"


def _time(seconds: float) -> str:
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"

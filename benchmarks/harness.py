"""Interleaved medians: every contender runs once a round, so that noise of the machine falls on all alike."""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import Any

OURS = "symopt"
Work = Callable[[], Any]


@dataclass
class Row:
    """One job: seconds of each contender, what symopt is to reach as a ratio to a peer, and a remark."""

    job: str
    seconds: dict[str, float]
    targets: dict[str, float] = field(default_factory=dict)
    limit: float | None = None  # seconds not to exceed
    remark: str = ""

    def lines(self) -> list[str]:
        ours = self.seconds[OURS]
        found = [f"{self.job:<34} {OURS:<22} {_time(ours):>10}"]
        if self.limit is not None:
            found[0] += f"            target {_time(self.limit)} {_verdict(ours <= self.limit)}"
        for peer, seconds in self.seconds.items():
            if peer != OURS:
                ratio, target = seconds / ours, self.targets.get(peer)
                line = f"{'':<34} {peer:<22} {_time(seconds):>10}  {ratio:7.2f}x"
                found.append(line + (f"   target {target:g}x {_verdict(ratio >= target)}" if target else ""))
        if self.remark:
            found.append(f"{'':<34} {self.remark}")
        return found


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


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"

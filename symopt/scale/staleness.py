"""How much of a step is waiting for the slowest shard, and what it helps if rows may lag behind: simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..embedding.options import whole
from .given import quantity

_MOST = 11  # 2**11 shards are simulated where a plan has more: it changes little from there on
_STEPS = 200


def simulate_staleness(
    shards: int, staleness: int = 0, *, jitter: float = 0.25, steps: int = 2000, seed: int = 0
) -> float:
    """Seconds of a step where each of `shards` takes one second on average: 1 if none waits for any other.

    A shard's times are lognormal, `jitter` the standard deviation of their logarithm, and independent. Step t begins
    when all shards are done with step t - 1 - `staleness`; each shard does its steps one after the other.

    >>> simulate_staleness(4, jitter=0)
    1.0
    >>> round(simulate_staleness(4), 1), round(simulate_staleness(4, 4), 1)
    (1.3, 1.0)
    """
    n = whole("simulate_staleness: shards", shards, 1)
    lag = whole("simulate_staleness: staleness", staleness, 0) + 1
    count = whole("simulate_staleness: steps", steps, 1)
    sigma = quantity("simulate_staleness: jitter", jitter, zero=True)
    rng = np.random.default_rng(seed)
    done, all_done = np.zeros(n), np.zeros(count + lag)  # the first `lag` steps wait for none
    for t in range(count):
        took = rng.lognormal(-sigma * sigma / 2, sigma, n)  # 1 on average
        done = np.maximum(done, all_done[t]) + took
        all_done[t + lag] = done.max()
    return float(all_done[-1] / count)


def waiting(shards: int, staleness: int, jitter: float) -> float:
    """The same, as plans have it: simulated for powers of two, and in between by the logarithm of the shards."""
    at = min(math.log2(shards), _MOST)
    low, high = (_simulated(int(edge(at)), staleness, jitter) for edge in (math.floor, math.ceil))
    return low + (high - low) * (at - math.floor(at))


@lru_cache(1024)
def _simulated(power: int, staleness: int, jitter: float) -> float:
    return simulate_staleness(2**power, staleness, jitter=jitter, steps=_STEPS)


def staleness_text(
    shards: Sequence[int] = (4, 64, 1024), staleness: Sequence[int] = (0, 1, 2, 4, 8), *, jitter: float = 0.25
) -> str:
    """A table of `simulate_staleness`: a line for each number of shards.

    >>> print(staleness_text((1, 4), (0, 1), jitter=0))
    shards   s=0   s=1
         1  1.00  1.00
         4  1.00  1.00
    """
    lines = ["shards" + "".join(f"{f's={s}':>6}" for s in staleness)]
    for n in shards:
        found = (simulate_staleness(n, s, jitter=jitter) for s in staleness)
        lines.append(f"{n:>6}" + "".join(f"{x:6.2f}" for x in found))
    return "\n".join(lines)

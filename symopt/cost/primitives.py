"""Measures how fast a machine computes: each primitive, conversions, products of matrices."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..dtypes import NARROW
from ..places import Place
from .arithmetic import Operation
from .chains import BESIDE, CHAINS, Chain, chained
from .probes import Pool, Probe, add, copy
from .rounds import Effort, quartiles, repeated


def measure_operations(place: Place, effort: Effort) -> dict[Operation, float]:
    """Seconds of each primitive on one thread, where memory costs nothing."""
    found: dict[Operation, float] = {}
    for dtype in ("float32", "float64"):
        pool = Pool(place)
        work = {
            (c.op, n): _chain(c, n, place, effort, dtype, pool) for c in CHAINS for n in _lengths(c, effort)
        }
        times = quartiles(work, effort.rounds)
        for chain in CHAINS:
            short, long = _lengths(chain, effort)
            each = (
                (times[chain.op, long] - times[chain.op, short]) / (long - short) / BESIDE / effort.elements
            )
            each -= sum(found[op, dtype] for op in chain.beside if op != chain.op)
            each = max(each, 0.0) / (1 + (chain.op in chain.beside))
            found.update({(op, dtype): each for op in (chain.op, *chain.alike)})
    return _conversions(place, effort, found) | _products(place, effort)


def _products(place: Place, effort: Effort) -> dict[Operation, float]:
    """Seconds of one multiplication and addition of a product of matrices, by the library that routines call."""
    n = 4 * math.isqrt(effort.elements)
    found = {}
    for dtype in ("float32", "float64"):
        x, y, out = (place.zeros((1, n, n), dtype) for _ in range(3))

        def multiply(x: Any = x, y: Any = y, out: Any = out) -> float:
            with place.current():
                start = time.perf_counter()
                place.xp.matmul(x, y, out=out)
                place.to_host(out[:, :1, :1])  # waits
            return time.perf_counter() - start

        found["matmul", dtype] = quartiles({dtype: multiply}, effort.rounds)[dtype] / n**3
    return found


def _conversions(place: Place, effort: Effort, known: Mapping[Operation, float]) -> dict[Operation, float]:
    """What is known, and the seconds of widening and of rounding 16-bit numbers: what copies of one array, and sums of
    two, take longer than those of float32."""
    pool, shape = Pool(place), (effort.elements,)
    probes: dict[tuple[object, str], Probe] = {}
    for dtype in (*NARROW, "float32"):
        probes |= {(mix, dtype): Probe(mix, shape, place, dtype, pool=pool) for mix in (copy, add)}
    probes |= {
        ("at random", d): Probe(copy, shape, place, d, pool=pool, rounding="stochastic") for d in NARROW
    }
    times = quartiles({key: repeated(probe, 50) for key, probe in probes.items()}, effort.rounds)
    found = dict(known)
    for dtype in NARROW:
        one, two = (
            max(times[mix, dtype] - times[mix, "float32"], 0.0) / effort.elements for mix in (copy, add)
        )
        wider = min(max(two - one, 0.0), one)
        found["cast", f"{dtype} to float32"] = wider
        found["cast", f"float32 to {dtype}"] = one - wider
    noises = []
    for dtype in NARROW:  # whatever random rounding takes beside what is known
        more = (times["at random", dtype] - times[copy, dtype]) / effort.elements
        counts = probes["at random", dtype].operations()
        counts.subtract(probes[copy, dtype].operations())
        known_part = sum(n * found.get(operation, 0.0) for operation, n in counts.items()) / effort.elements
        noises.append(max(more - known_part, 0.0))
    found["noise", "float32"] = max(noises)
    return found


def _lengths(chain: Chain, effort: Effort) -> tuple[int, int]:
    return effort.slow_lengths if chain.slow else effort.lengths


def _chain(
    chain: Chain, length: int, place: Place, effort: Effort, dtype: str, pool: Pool
) -> Callable[[], float]:
    return repeated(Probe(chained(chain.step, length), (effort.elements,), place, dtype, pool=pool), 5)

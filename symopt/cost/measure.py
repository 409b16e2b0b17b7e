"""Measures a machine with the library's own kernels: `calibrate()`, once, after which costs come with seconds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from .. import config
from ..context import Context
from ..dtypes import ITEMSIZE
from ..places import HOST, Place, place_of
from .arithmetic import Operation
from .bandwidth import Calibration, Row, Speed
from .chains import CHAINS, chained
from .machine import OthersWork, device_name
from .primitives import measure_operations
from .probes import MIXES, Pool, Probe, normalize, rows_apart, update, update_three
from .rounds import ON_DEVICE, Effort, quartiles, repeated
from .store import save

ITEM = ITEMSIZE["float32"]
WIDTHS = (4, 16, 64, 128, 256, 1024)  # of rows, in elements


BUSY = 0.1  # share of the processors' time that others took: more, and the numbers are worth little


def calibrate(ctx: Context | str | None = None, effort: Effort | None = None) -> Calibration:
    """Measure this machine, or GPU `ctx`; keep what was found for later processes, and give it.

    Takes half a minute, and four times `effort.size` bytes of memory: half a gigabyte, on a GPU two. Do it when nothing
    else runs; a UserWarning says if something did, or if nothing could be kept.
    """
    context = Context.as_context(ctx)
    place = place_of(context)
    others = OthersWork()
    found = measure(place, effort or (Effort() if place is HOST else ON_DEVICE), device_name(context))
    busy = others.share()
    if busy > BUSY:
        warnings.warn(
            f"others used {busy:.0%} of the processors meanwhile: measure again when they rest", stacklevel=2
        )
    save(found)
    return found


def measure(place: Place, effort: Effort, device: str) -> Calibration:
    """Measure the device of a place."""
    pool = Pool(place)
    counts = _thread_counts() if place is HOST else [1]
    with _threads():
        streams = _streams(place, effort, pool, counts)
        levels = {n: _levels(place, effort, pool, n) for n in counts}
        gains = _gains(place, effort, pool, counts)
        config.set_num_threads(1)
        launch, tensor, step = _overheads(place)
        index, sort = _sorting(place, effort, pool)
        operations = measure_operations(place, effort)
        rows = {n: _rows(place, effort, pool, n, operations) for n in counts}
    speeds = {n: replace(streams[n], levels=levels[n], rows=rows[n], gain=gains[n]) for n in counts}
    return Calibration(device, speeds, operations, launch, tensor, step, index, sort)


@contextmanager
def _threads() -> Iterator[None]:
    """Gives back the number of threads after the measuring."""
    before = config.threads_set()
    try:
        yield
    finally:
        config.set_num_threads(before)


def _thread_counts() -> list[int]:
    """1, 2, 4, ... and as many as there are."""
    most = config.num_threads()
    return sorted({1 << k for k in range(most.bit_length())} | {most})


def _with(threads: int, probe: Probe, steps: int = 1) -> Callable[[], float]:
    def run() -> float:
        config.set_num_threads(threads)
        return probe.seconds(steps)

    return run


# ---- memory


def _streams(place: Place, effort: Effort, pool: Pool, counts: Sequence[int]) -> dict[int, Speed]:
    """Speeds from and to memory, by number of threads: what fits all mixes best."""
    probes = {mix: Probe(mix, (effort.size // ITEM,), place, pool=pool) for mix in MIXES}
    work = {(mix, n): _with(n, probe) for mix, probe in probes.items() for n in counts}
    times = quartiles(work, effort.rounds)
    moved = [(*each, -min(each[0], each[1] + each[2])) for each in MIXES.values()]
    found = {}
    for n in counts:
        seconds = np.array([times[mix, n] for mix in MIXES]) / effort.size
        solution = np.linalg.lstsq(np.array(moved) / seconds[:, None], np.ones(len(MIXES)), rcond=None)[0]
        read, updated, written, beside = map(float, solution)
        found[n] = Speed(max(read, 0.0), max(updated, 0.0), max(written, 0.0), beside)
    return found


def _levels(place: Place, effort: Effort, pool: Pool, threads: int) -> tuple[tuple[float, float], ...]:
    """Bytes that the steps touch in between, and the part of the time from memory that an update then takes."""
    sizes = [effort.size]
    while sizes[-1] // 2 >= effort.smallest:
        sizes.append(sizes[-1] // 2)
    work = {}
    for size in sizes:
        probe = Probe(update, (size // ITEM,), place, pool=pool)
        work[size] = _with(threads, probe, max(1, min(100, effort.size // size // 8)))
    work[0] = _with(threads, Probe(update, (1,), place, pool=pool), 100)
    times = quartiles(work, effort.rounds)
    rates = {size: (times[size] - times[0]) / size for size in sizes}
    return tuple((2.0 * size, max(rates[size] / rates[effort.size], 0.0)) for size in reversed(sizes))


def _rows(
    place: Place, effort: Effort, pool: Pool, threads: int, operations: Mapping[Operation, float]
) -> tuple[Row, ...]:
    """What rows take that lie anywhere in a large table. Updates of one table and of three tell the gradient's share;
    one with a root and a quotient for each element, how much of its arithmetic memory does not hide."""
    widths = [columns for columns in WIDTHS if columns * ITEM * 64 <= effort.size]
    cases = [(mix, columns) for mix in (update, update_three, normalize) for columns in widths]
    times = quartiles({case: _on_rows(place, effort, pool, threads, *case) for case in cases}, effort.rounds)
    found = []
    for columns in widths:
        count = _rows_listed(effort, columns)
        one, three, more = (times[mix, columns] / count for mix in (update, update_three, normalize))
        each = min(max((three - one) / 2, 0.0), three / 3)
        extra = columns * (
            _arithmetic(normalize, place, operations) - _arithmetic(update_three, place, operations)
        )
        shown = max(more - three, 0.0) / extra if extra > 0 else 0.0
        found.append(Row(columns * ITEM, max(one - each, 0.0), each, shown))
    return tuple(found)


def _arithmetic(mix: Callable[..., object], place: Place, operations: Mapping[Operation, float]) -> float:
    """Seconds that a mix computes for each element, on one thread where nothing waits for memory."""
    counts = Probe(mix, (1,), place).operations()
    return sum(count * operations.get(operation, 0.0) for operation, count in counts.items())


def _rows_listed(effort: Effort, columns: int) -> int:
    return max(effort.size // (columns * ITEM) // 8, 1)


def _on_rows(
    place: Place, effort: Effort, pool: Pool, threads: int, mix: Callable[..., object], columns: int
) -> Callable[[], float]:
    """Updates of other rows each time, so that none is in a cache."""
    n_rows, count = effort.size // (columns * ITEM), _rows_listed(effort, columns)
    sets = [rows_apart(n_rows, count, seed) for seed in range(4)]
    probe = Probe(mix, (n_rows, columns), place, listed=sets[0], pool=pool)

    def run() -> float:
        sets.append(sets.pop(0))
        probe.list_rows(sets[0])
        config.set_num_threads(threads)
        return probe.seconds()

    return run


# ---- what a step costs beside


def _overheads(place: Place) -> tuple[float, float, float]:
    """Seconds for each launch, each tensor in it, and each step."""
    one, many = (Probe(update, (16,), place, tensors=n) for n in (1, 257))
    times = quartiles({"one": repeated(one, 50), "many": repeated(many, 50), "step": one.preparing}, 15)
    tensor = max((times["many"] - times["one"]) / 256, 0.0)
    return max(times["one"] - tensor, 0.0), tensor, times["step"]


def _sorting(place: Place, effort: Effort, pool: Pool) -> tuple[float, float]:
    """Seconds for each row of a gradient, to look at its number, and more if they have to be sorted."""
    count = min(max(effort.size // 1024, 64), 1 << 14)
    ordered = np.arange(count, dtype=np.int64)
    shuffled = np.random.default_rng(0).permutation(ordered)
    probes = {
        name: Probe(update, (count, 1), place, listed=rows, pool=Pool(place))
        for name, rows in (("index", ordered), ("sort", shuffled))
    }
    times = quartiles({name: probe.preparing for name, probe in probes.items()}, effort.rounds)
    index = times["index"] / count
    return index, max(times["sort"] / count - index, 0.0)


# ---- arithmetic


def _gains(place: Place, effort: Effort, pool: Pool, counts: Sequence[int]) -> dict[int, float]:
    """How many times faster than one thread so many compute."""
    divide = next(chain for chain in CHAINS if chain.op == "div")
    probe = Probe(chained(divide.step, effort.lengths[1]), (effort.size // 16 // ITEM,), place, pool=pool)
    times = quartiles({n: _with(n, probe) for n in counts}, effort.rounds)
    return {n: times[1] / times[n] for n in counts}

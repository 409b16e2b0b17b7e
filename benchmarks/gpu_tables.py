"""Measure tables whose rows lie on a GPU beside indexing by CuPy; `python benchmarks/gpu_tables.py --help`.

Updates and lookups of distinct ids among a million. Every result is compared with a table on the host first, bit for
bit. `GB/s` counts the bytes of rows, gradients and results, each once as it is read or written; `of copy` is to a copy
within the device's memory in the same run. `--selftest` rehearses it on the emulator, in small; times mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np
from gpu import copy_rate, machine_of
from gpu_machine import Machine

import symopt as so
from symopt.embedding import Segment, Table

HEAD = f"{'':<34}{'in a row ms':>12}{'host ms':>9}{'M rows/s':>10}{'GB/s':>7}{'of copy':>9}"


def one() -> list[Segment]:
    """Adagrad on 32 columns."""
    return [Segment(32, "adagrad", learning_rate=0.1)]


def ages() -> list[Segment]:
    """Adam on 32 columns, each row with its own number of steps."""
    return [Segment(32, "adam", learning_rate=0.1)]


def three() -> list[Segment]:
    """A bias, Adam on 32 columns, FTRL on 16."""
    return [
        Segment(1, "sgd", learning_rate=0.1),
        Segment(32, "adam", learning_rate=0.1),
        Segment(16, "ftrl", learning_rate=0.1),
    ]


SEGMENTS: dict[str, Callable[[], list[Segment]]] = {"adagrad": one, "adam": ages, "three segments": three}
STATES = {"adagrad": 32, "adam": 64, "three segments": 64 + 32}  # numbers of a row beside its weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=25, help="steps timed one by one")
    parser.add_argument("--selftest", action="store_true", help="in small, on the emulator")
    options = parser.parse_args()
    machine = machine_of(options.selftest)
    if machine is None:
        return 0
    rate = copy_rate(machine, options.selftest, options.reps)
    n_rows, listed = (500, 100) if options.selftest else (1_000_000, 100_000)
    wrong = [name for name in SEGMENTS if not run(machine, name, n_rows, listed, options.reps, rate)]
    print(f"\n{len(SEGMENTS)} kinds of rows, {len(wrong)} wrong")
    return 1 if wrong else 0


def run(machine: Machine, name: str, n_rows: int, listed: int, reps: int, rate: float) -> bool:
    """Time a table's update and lookup, and indexing of the same bytes; whether its bits are the host's."""
    rng = np.random.default_rng(0)
    ids = np.unique(rng.integers(-(2**62), 2**62, n_rows))
    table, host = Table(SEGMENTS[name](), ctx=so.gpu(0), reserve=n_rows), Table(SEGMENTS[name]())
    dim = table.dim
    table.lookup(ids, missing="initialize")
    batches = [rng.choice(ids, listed, replace=False) for _ in range(4)]
    grads = machine.random((listed, dim))
    for batch in batches[:2]:
        host.apply_gradients(batch, machine.get(grads))
        table.apply_gradients(batch, grads)
    same = np.array_equal(machine.get(table.lookup(batches[1])), host.lookup(batches[1]))
    out = machine.xp.empty((listed, dim), np.float32)
    weight, state = (machine.random((len(ids), width)) for width in (dim, STATES[name]))
    places = [machine.xp.asarray(np.searchsorted(ids, batch)) for batch in batches]
    new = machine.random((listed, STATES[name]))

    def gather_and_scatter(t: int) -> None:
        at = places[t % 4]
        weight[at] = weight[at] + grads
        state[at] = state[at] + new

    n_bytes = 4 * listed * (3 * dim + 2 * STATES[name])
    print(f"\n== {name}: {listed} of {n_rows} rows of {dim} columns{'' if same else '   WRONG'}\n{HEAD}")
    for what, size, step in (
        ("update", n_bytes, lambda t: table.apply_gradients(batches[t % 4], grads)),
        ("indexing, the same bytes", n_bytes, gather_and_scatter),
        ("lookup", 8 * listed * dim, lambda t: table.lookup(batches[t % 4], out=out)),
        ("cupy.take", 8 * listed * dim, lambda t: machine.xp.take(weight, places[t % 4], axis=0, out=out)),
    ):
        times = machine.timed(step, reps)
        speed = size / times.in_a_row / 1e6
        print(
            f"{what:<34}{times.in_a_row:>12.4f}{times.host:>9.4f}{listed / times.in_a_row / 1e3:>10.1f}"
            f"{speed:>7.0f}{speed / rate:>9.1%}",
            flush=True,
        )
    return same


if __name__ == "__main__":
    sys.exit(main())

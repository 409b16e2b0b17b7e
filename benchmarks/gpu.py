"""Measure symopt on a GPU beside torch and a plain copy; `python benchmarks/gpu.py --help`.

Every entry is checked against float64 first: one that is wrong is printed WRONG, and the exit code is 1. All ratios
are to things measured in the same run. `--selftest` rehearses everything on the emulator, in small; times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gpu_cases import CASES
from gpu_check import OURS, Case, Contender, check
from gpu_machine import Emulated, Gpu, Machine, versions
from gpu_startup import startup

from symopt.backends.cuda.cupydevice import cupy_device
from symopt.errors import SymoptError

Row = dict[str, Any]
TITLES = (
    ("one step", 10),
    ("in a row", 10),
    ("host", 9),
    ("GB/s", 7),
    ("of copy", 9),
    ("time/ours", 11),
    ("spread", 8),
)
HEAD = " " * 28 + "".join(title.rjust(width) for title, width in TITLES) + "   error"


def main() -> int:
    options = parse()
    machine = machine_of(options.selftest)
    if machine is None:
        return 0
    started = time.perf_counter()
    info: dict[str, Any] = versions(machine)
    print(json.dumps(info, indent=1))
    info["copy GB/s"] = copy_rate(machine, options.selftest, options.reps)
    rows: list[Row] = []
    for name in options.cases or CASES:
        left = options.budget - (time.perf_counter() - started)
        if left < 0:
            print(f"{name}: not run, the time of --budget is spent")
        else:
            rows += run_case(machine, name, options, info["copy GB/s"])
    if not options.cases:
        info["first bind"] = startup(options.selftest)
    if options.json:
        options.json.write_text(json.dumps({"info": info, "rows": rows}, indent=1))
    wrong = [f"{row['case']}: {row['name']}" for row in rows if row["faults"]]
    print(f"\n{len(rows)} entries, {len(wrong)} wrong, {time.perf_counter() - started:.0f} s")
    return 1 if wrong else 0


def parse() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, help="these only, and no first bind")
    parser.add_argument("--reps", type=int, default=25, help="steps timed one by one")
    parser.add_argument("--budget", type=float, default=440, help="seconds after which no case is begun")
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    parser.add_argument("--selftest", action="store_true", help="in small, on the emulator")
    return parser.parse_args()


def machine_of(selftest: bool) -> Machine | None:
    if selftest:
        return Emulated()
    try:
        cupy_device(0)
    except SymoptError as error:
        print(f"nothing measured: {error}")
        return None
    return Gpu()


def copy_rate(machine: Machine, quick: bool, reps: int) -> float:
    """GB/s of a copy within the device's memory, bytes read and written."""
    source = machine.random(1 << (16 if quick else 29))
    target = machine.xp.empty_like(source)

    def copy(t: int) -> None:
        machine.xp.copyto(target, source)

    times = machine.timed(copy, reps)
    rate = 2 * source.nbytes / times.in_a_row / 1e6
    print(
        f"copy of {source.nbytes >> 20} MiB: {times.in_a_row:.3f} ms, {rate:.0f} GB/s (spread {times.spread:.1%})"
    )
    return rate


def run_case(machine: Machine, name: str, options: Any, rate: float) -> list[Row]:
    """Check and time all contenders of a case; a line each. One that fails must not cost the others their time."""
    machine.free()
    print(f"\n== {name}")
    try:
        case = CASES[name](machine, options.selftest)
    except Exception as error:
        return [failed(name, "the arrays", error)]
    predicted = case.nbytes / rate / 1e6
    print(f"{case.nbytes / 1e9:.3f} GB a step, predicted {predicted:.4f} ms\n{HEAD}")
    rows: list[Row] = []
    ours = 0.0
    for contender, how in case.contenders.items():
        try:
            row: Row = {"case": name, "name": contender, "bytes": case.nbytes, "predicted_ms": predicted}
            row |= measured(machine, case, how, options.reps)
        except Exception as error:
            row = failed(name, contender, error)
        else:
            ours = row["in_a_row_ms"] if contender == OURS else ours
            row["of_copy"] = predicted / row["in_a_row_ms"]
            row["time_to_ours"] = row["in_a_row_ms"] / ours if ours else None
            print(line(row), flush=True)
        rows.append(row)
    return rows


def failed(case: str, name: str, error: Exception) -> Row:
    fault = f"{type(error).__name__}: {error}"
    print(f"{name:<28}WRONG: {fault[:500]}", flush=True)
    return {"case": case, "name": name, "faults": [fault]}


def measured(machine: Machine, case: Case, how: Contender, reps: int) -> Row:
    """Steps rotate through the sets of arrays, each bound on its own."""
    machine.free()
    steps = [how.make(machine, arrays) for arrays in case.sets]
    error, faults = check(machine, case, how, steps[0]) if how.formula else (None, [])
    times = machine.timed(lambda t: steps[t % len(steps)](t), reps)
    return {
        "one_step_ms": times.alone,
        "in_a_row_ms": times.in_a_row,
        "host_ms": times.host,
        "spread": times.spread,
        "error": error,
        "faults": faults,
    }


def line(row: Row) -> str:
    error = "not checked" if row["error"] is None else f"{row['error']:.1e}"
    verdict = f"WRONG: {'; '.join(row['faults'])}" if row["faults"] else ""
    to_ours = f"{row['time_to_ours']:.2f}x" if row["time_to_ours"] else ""
    return (
        f"{row['name']:<28}{row['one_step_ms']:>10.4f}{row['in_a_row_ms']:>10.4f}{row['host_ms']:>9.4f}"
        f"{row['bytes'] / row['in_a_row_ms'] / 1e6:>7.0f}{row['of_copy']:>9.1%}{to_ours:>11}"
        f"{row['spread']:>8.1%}   {error} {verdict}"
    )


if __name__ == "__main__":
    sys.exit(main())

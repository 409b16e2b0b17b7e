"""`symopt bench`: how fast steps are on this machine, beside NumPy's."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import NamedTuple

from .. import config
from ..cost.model import cost
from ..errors import near
from .commands import UsageError
from .contests import CONTESTS, Contest, measure
from .options import positive
from .output import print_json, print_text
from .progress import Progress

EXAMPLE = """\
symopt bench
symopt bench rows latency --json"""
ROUNDS = 11


class Line(NamedTuple):
    """Seconds of a step; `ratio`: how many times faster than NumPy; `bytes` that a step reads and writes;
    `of_limit`: its speed as a part of what memory allows, None if the machine was not calibrated."""

    case: str
    about: str
    seconds: float
    numpy_seconds: float
    ratio: float
    bytes: int
    bytes_a_second: float
    of_limit: float | None


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        f"{parser.description}\n\nThe median of steps with symopt and of the same with NumPy, in turn, on the same\n"
        "arrays. The largest case needs half a gigabyte; with --quick all are small, and\nsay little."
    )
    parser.add_argument("case", nargs="*", metavar="CASE", help=f"default: all of {', '.join(CONTESTS)}")
    parser.add_argument("--rounds", type=positive, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="small arrays")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Namespace) -> int:
    cases = list(dict.fromkeys(arguments.case)) or list(CONTESTS)
    for case in cases:
        if case not in CONTESTS:
            raise UsageError(f"no case is called {case!r}{near(case, CONTESTS)}: use {', '.join(CONTESTS)}")
    lines = []
    with Progress("", len(cases) * (arguments.rounds + 1), arguments) as progress:
        for case in cases:
            progress.advance(0, case)
            contest = CONTESTS[case](arguments.quick)
            lines.append(_line(case, contest, arguments.rounds, progress))
    if arguments.json:
        print_json({"threads": config.num_threads(), "cases": lines})
    else:
        print_text(_table(lines))
    return 0


def _line(case: str, contest: Contest, rounds: int, progress: Progress) -> Line:
    times = measure(contest, rounds, progress.advance)
    found = cost(contest.executor._planned())
    limits = [launch.limit for launch in found.launches if launch.limit is not None]
    return Line(
        case=case,
        about=contest.about,
        seconds=times.symopt,
        numpy_seconds=times.numpy,
        ratio=times.numpy / times.symopt,
        bytes=found.bytes,
        bytes_a_second=found.bytes / times.symopt,
        of_limit=sum(limits) / times.symopt if len(limits) == len(found.launches) else None,
    )


def _table(lines: list[Line]) -> str:
    heads = ("", "symopt", "NumPy", "faster", "memory", "of limit")
    cells = [
        (
            line.about,
            _time(line.seconds),
            _time(line.numpy_seconds),
            f"{line.ratio:.1f}x",
            f"{line.bytes_a_second / 1e9:.1f} GB/s",
            "?" if line.of_limit is None else f"{line.of_limit:.0%}",
        )
        for line in lines
    ]
    widths = [max(len(row[k]) for row in (heads, *cells)) for k in range(len(heads))]
    rows = [
        [cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths))]
        for row in (heads, *cells)
    ]
    notes = [f"{config.num_threads()} threads; medians"]
    if any(line.of_limit is None for line in lines):
        notes.append("of limit: needs `symopt calibrate`")
    return "\n".join([*("  ".join(row).rstrip() for row in rows), *notes])


def _time(seconds: float) -> str:
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"

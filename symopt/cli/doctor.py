"""`symopt doctor`: what works here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from .. import config
from .output import print_json, print_text, wants_color
from .progress import Progress
from .trials import BROKEN, MISSING, TRIALS, WORKS, Result

EXAMPLE = """\
symopt doctor
symopt doctor --json"""
NEEDED = "native engine"  # without it, the exit status is 1
SECONDS = 300  # a trial may take: a first compilation for a GPU is slow
COLORS = {WORKS: "\x1b[32m", MISSING: "\x1b[33m", BROKEN: "\x1b[31m"}
PLAIN = "\x1b[0m"
# A process of its own with this one's path of modules, however that came about.
CHILD = "import sys; sys.path[:] = {path!r}; from symopt.cli.trials import *; print(json.dumps(attempt({name!r})))"


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        f"{parser.description}\n\nEngines run steps whose results must be those of the reference engine, bit for bit.\n"
        "The exit status is 0 if the native engine works."
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with more facts")


def run(arguments: Namespace) -> int:
    with (
        Progress("trials", len(TRIALS), arguments) as progress,
        ThreadPoolExecutor(config.num_threads()) as pool,
    ):
        found = []
        for result in pool.map(try_apart, TRIALS):
            found.append(result)
            progress.advance()
    works = any(result.name == NEEDED and result.state == WORKS for result in found)
    if arguments.json:
        print_json({"works": works, "trials": found})
    else:
        _print(found, wants_color(arguments, sys.stdout))
    return 0 if works else 1


def try_apart(name: str) -> Result:
    """A trial in a process of its own: one that crashes or hangs is broken too."""
    code = CHILD.format(path=sys.path, name=name)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Result(name, BROKEN, f"no result in {SECONDS} seconds")
    if done.returncode < 0:
        return Result(name, BROKEN, f"ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        return Result(name, BROKEN, (done.stderr.strip().splitlines() or ["no message"])[-1])
    return Result(*json.loads(done.stdout.splitlines()[-1]))


def _print(found: Iterable[Result], colored: bool) -> None:
    width = max(len(result.name) for result in found)
    for result in found:
        state = f"{result.state:<7}"
        prefix = f"{COLORS[result.state]}{state}{PLAIN}" if colored else state
        print_text(f"  {result.name:<{width}}  {' '.join(result.detail.split())}", prefix)

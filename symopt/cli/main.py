"""`symopt`: from a command line to an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence

from ..errors import SymoptError
from .commands import Command, UsageError, parse
from .output import STDOUT, complain, writing

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = (
    1,
    2,
    130,
    141,
)  # the last two: 128 and the signal, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name, and return its exit status. None: this process's own.

    >>> main(["diff", "sgd_update", "sgd_update"])
    sgd_update and sgd_update are the same
    0
    """
    _let_all_be_printed()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except SystemExit as ended:  # argparse has said what is wrong
        return ended.code if isinstance(ended.code, int) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()
        return BROKEN_PIPE


def _run(argv: Sequence[str]) -> int:
    command, arguments = parse(argv)
    if getattr(arguments, "traceback", False):
        return _finished(command, arguments)
    try:
        return _finished(command, arguments)
    except BrokenPipeError:
        raise
    except UsageError as error:
        complain(f"{error} (symopt {arguments.command} --help)")
        return USAGE
    except (SymoptError, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.filename == STDOUT:
            _give_up_stdout()
        complain(_said(error))
        return getattr(command, "TROUBLE", FAILED)


def _finished(command: Command, arguments: Namespace) -> int:
    """The status of a command all of whose output is out."""
    status = command.run(arguments)
    with writing():
        sys.stdout.flush()
    return status


def _said(error: Exception) -> str:
    """An error for people: of the system's, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or f"{type(error).__name__}"


def _let_all_be_printed() -> None:
    """Formulas have letters that not every terminal's encoding has, and names of files bytes that are no letters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_stdout() -> None:
    """Nobody reads it: what is left in its buffer must not fail once more when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):  # a stream in memory has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

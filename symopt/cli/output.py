"""How results leave a command: text without control characters, JSON, errors, files that appear whole."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import IO, Any

from .. import config
from ..escaping import escaped
from ..files import whole_file

STREAM = "-"  # the name of standard input and output where a file's is asked for
STDOUT = "standard output"  # what errors call it


def printable(text: str, keep: str = "\n\t") -> str:
    """Lines of text without other control characters."""
    return escaped(text, keep)


def print_text(text: str, prefix: str = "", end: str = "\n") -> None:
    """Print lines, control characters escaped. `prefix` stands before them as it is."""
    with writing():
        print(prefix + printable(text.rstrip("\n")), end=end)


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """What fails inside fails at standard output: OSError that says so."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, STDOUT) from None


def print_rich(found: str, arguments: Namespace) -> None:
    """Print a text; on a terminal, and with `rich` installed, as its method `__rich__` has it."""
    if hasattr(found, "__rich__") and wants_color(arguments, sys.stdout):
        with contextlib.suppress(ImportError):
            from rich.console import Console

            width = (
                None if sys.stdout.isatty() else max((len(x) for x in found.splitlines()), default=80) + 20
            )
            console = Console(
                file=sys.stdout, force_terminal=True, width=width, markup=False, highlight=False
            )
            with writing():
                console.print(found)
            return
    print_text(found)


def print_json(value: Any) -> None:
    """Print plain data as JSON, in ASCII; infinities and NaN as the strings "inf", "-inf" and "nan"."""
    with writing():
        print(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """Named tuples, tuples, mappings, NumPy's numbers and floats as what JSON has."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [plain(x) for x in value]
    return plain(value.item()) if hasattr(value, "item") else str(value)


def complain(message: str) -> None:
    """One message on standard error. Its further lines are set in, so that none can be taken for another message."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print("symopt: error: " + printable(message).replace("\n", "\n  "), file=sys.stderr)


def wants_color(arguments: Namespace, stream: IO[str]) -> bool:
    """--color, or where that says nothing, whether the stream is a terminal whose user does not object."""
    choice = getattr(arguments, "color", "auto")
    if choice != "auto":
        return bool(choice == "always")
    return stream.isatty() and not config.no_color()


@contextlib.contextmanager
def output_file(path: str) -> Iterator[IO[bytes]]:
    """A file to write, as `files.whole_file` gives one; "-" is standard output."""
    if path == STREAM:
        with writing():
            sys.stdout.flush()
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with whole_file(path) as file:
        yield file

"""What command lines say of variables and attributes: options of the form NAME=VALUE, and other types of arguments."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from typing import Any

from ..context import Context
from ..errors import DeviceError
from .commands import UsageError

FILE = "a graph as Symbol.save and MXNet write it; - is standard input"


def add_pairs(parser: Any, option: str, parse: Callable[[str], Any], value: str, help: str) -> None:
    """An option that can be given once for each of several names; see `once`. `value`: what is shown for NAME=VALUE."""

    def parsed(text: str) -> tuple[str, Any]:
        name, sign, value = text.rpartition("=")  # the last one, since names may have one too
        if not sign or not name:
            raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
        return name, parse(value)

    parser.add_argument(option, action="append", default=[], type=parsed, metavar=value, help=help)


def once(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The values of an option by name. UsageError for a name that has two different ones."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise UsageError(f"{option} is given twice for {name!r}")
    return found


def add_types(parser: ArgumentParser) -> None:
    """The options that say what a graph's variables are."""
    about = "each option for one variable, or for all whose names fit a pattern as w*"
    group = parser.add_argument_group("variables", about)
    add_pairs(group, "--shape", shape, "NAME=4096,4096", "() is a number; what follows can be left out")
    add_pairs(group, "--dtype", str, "NAME=float16", "default: float32")
    add_pairs(group, "--stype", str, "NAME=row_sparse", "default: dense")
    add_pairs(group, "--rows", count, "NAME=20000", "rows that a row_sparse gradient lists; default: all")


def shape(text: str) -> tuple[int, ...]:
    """A shape, as 4096,4096 or 4096x4096 or (3,); () is that of a number.

    >>> shape("4,5"), shape("(3,)"), shape("()")
    ((4, 5), (3,), ())
    """
    inner = text.strip().removeprefix("(").removesuffix(")").removesuffix(",")
    sizes = [part.strip() for part in inner.replace("x", ",").split(",")] if text.strip() != "()" else []
    if not all(map(_is_count, sizes)):
        raise ArgumentTypeError(f"{text!r} is no shape: write 4096,4096, or () for a number")
    return tuple(map(int, sizes))


def count(text: str) -> int:
    """A number of rows or steps, 0 too."""
    if not _is_count(text):
        raise ArgumentTypeError(f"{text!r} is no number of anything")
    return int(text)


def positive(text: str) -> int:
    """An integer above zero."""
    if not _is_count(text) or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} must be an integer above 0")
    return int(text)


def device(text: str) -> Context:
    """A device by its name."""
    try:
        return Context.as_context(text)
    except DeviceError as error:
        raise ArgumentTypeError(str(error)) from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number") from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19  # so that it fits 64 bits

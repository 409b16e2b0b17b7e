"""Graphs from files, and what command lines say of their variables."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import FormatError
from ..expr import PICK, Node, children, toposort
from ..planned import Planned
from ..serial import load, load_json
from ..symbol import Symbol
from .commands import UsageError
from .output import STREAM, printable

FILE = "a graph as symbol.save and MXNet write it; - is standard input"


def read_graph(path: str) -> Symbol:
    """The graph in a file. FormatError, UnknownOpError or OSError, which name the file."""
    try:
        return load_json(_read_stdin()) if path == STREAM else load(path)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"this is no text: {error}") from None


def read_shown(path: str) -> Symbol:
    """The graph in a file with names that can be shown: control characters in names and attributes are escapes."""
    return shown(read_graph(path))


def shown(symbol: Symbol) -> Symbol:
    """The same graph, with names and attributes that print on one line; see `printable`."""
    order = toposort(symbol._outputs, children)
    if all(_is_plain(node) for node in order):
        return symbol
    made: dict[int, Node] = {}
    for node in order:
        attrs = {_name(key): _value(value, made) for key, value in node.attrs.items()}
        made[id(node)] = Node(node.op, tuple(made[id(x)] for x in node.inputs), attrs, _name(node.name), node.where)
    return Symbol(tuple(made[id(root)] for root in symbol._outputs))


def _is_plain(node: Node) -> bool:
    if node.op == PICK:
        return True
    texts = [*node.attrs, *(x for x in node.attrs.values() if isinstance(x, str))]
    return node.name.isprintable() and all(text.isprintable() for text in texts)


def _name(text: str) -> str:
    return printable(text, keep="")


def _value(value: Any, made: Mapping[int, Node]) -> Any:
    if isinstance(value, tuple) and value and isinstance(value[0], Node):
        return tuple(made[id(node)] for node in value)
    return _name(value) if isinstance(value, str) else value


# ---- what command lines say of variables


def add_types(parser: ArgumentParser, rows: bool = False) -> None:
    """The options that say what a graph's variables are."""
    group = parser.add_argument_group("variables; each option can be given several times")
    add = group.add_argument
    add("--shape", action="append", default=[], type=pair(parse_shape), metavar="NAME=4096,4096", help="what follows from others can be left out")  # fmt: skip
    add("--dtype", action="append", default=[], type=pair(str), metavar="NAME=float16", help="default: float32")
    add("--stype", action="append", default=[], type=pair(str), metavar="NAME=row_sparse", help="default: dense")
    if rows:
        add("--rows", action="append", default=[], type=pair(_count), metavar="NAME=20000", help="how many rows a row_sparse gradient lists; default: all")  # fmt: skip


def plan(symbol: Symbol, arguments: Namespace) -> Planned:
    """The graph with the types that the command line gives. UnknownArgumentError for a name that it does not have."""
    given = {key: once(f"--{key}", getattr(arguments, key, ())) for key in ("shape", "dtype", "stype", "rows")}
    return symbol._planned(given["shape"], given["dtype"], given["stype"], given["rows"])


def once(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The values of an option by name. UsageError for a name that has two different ones."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise UsageError(f"{option} is given twice for {name!r}")
    return found


def pair(parse: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """A type of arguments: NAME=VALUE, cut at the last = since names may have one too."""

    def parsed(text: str) -> tuple[str, Any]:
        name, sign, value = text.rpartition("=")
        if not sign or not name:
            raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
        return _name(name), parse(value)

    return parsed


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape: `4096,4096`, `4096x4096`, `(3,)`, `7`; `()` is a number.

    >>> parse_shape("4,5"), parse_shape("(3,)"), parse_shape("()")
    ((4, 5), (3,), ())
    """
    inner = text.strip().removeprefix("(").removesuffix(")").replace("x", ",")
    parts = [part.strip() for part in inner.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or (not parts and text.strip() != "()"):
        raise ArgumentTypeError(f"{text!r} is no shape: write 4096,4096 or () for a number")
    return tuple(map(int, parts))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)


def positive(text: str) -> int:
    """A type of arguments: an integer above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} must be an integer above 0")
    return int(text)

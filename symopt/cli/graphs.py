"""Graphs from files, with the types that a command line gives their variables."""

from __future__ import annotations

import fnmatch
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import FormatError, UnknownArgumentError, near
from ..expr import PICK, Node, children, toposort
from ..planned import Planned, plan_graph
from ..serial import load, load_json
from ..symbol import Symbol
from .options import once
from .output import STREAM, printable


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
        made[id(node)] = Node(
            node.op, tuple(made[id(x)] for x in node.inputs), attrs, _name(node.name), node.where
        )
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


def plan(symbol: Symbol, arguments: Namespace, program: bool = True) -> Planned:
    """The graph with the types that the command line gives. UnknownArgumentError for a name that it does not have."""
    known = symbol.list_inputs()
    types = [
        spread(f"--{key}", getattr(arguments, key), known) for key in ("shape", "dtype", "stype", "rows")
    ]
    return plan_graph(symbol._outputs, *types, program=program)


def spread(option: str, pairs: Iterable[tuple[str, Any]], known: Sequence[str]) -> dict[str, Any]:
    """The values of an option by variable. A name that no variable has is a pattern if it has a * or ?; a variable's
    own name counts more. UnknownArgumentError if no variable is meant."""
    given = once(option, pairs)
    found: dict[str, Any] = {}
    for name, value in given.items():
        meant = [name] if name in known else _matching(name, known)
        if not meant:
            raise UnknownArgumentError(f"{option}: the graph has no variable {name!r}{near(name, known)}")
        found.update({one: value for one in meant if one == name or one not in given})
    return found


def _matching(pattern: str, known: Iterable[str]) -> list[str]:
    if "*" not in pattern and "?" not in pattern:
        return []
    return [name for name in known if fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))]

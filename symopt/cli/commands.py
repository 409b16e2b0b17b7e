"""Which commands there are, and the parser of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, Protocol, cast

import symopt

from ..errors import SymoptError, near
from .output import complain

# What each does, as --help says it. The module symopt.cli.<name> does it.
COMMANDS = {
    "ops": "list all ops, or describe one",
    "show": "a graph as text",
    "draw": "a graph as a picture, or as a page for a browser",
    "cost": "what a step moves and computes, and how long it takes",
    "calibrate": "measure how fast this machine moves memory",
    "diff": "what differs between two graphs, or two ops",
    "run": "run a graph on the arrays in a file",
    "lint": "look for mistakes in a graph",
    "plan": "how many machines a table takes, and how long its steps",
    "bench": "how fast steps are on this machine",
    "doctor": "what works here, found out by doing it",
}
COLORS = ("auto", "always", "never")
EXIT = """\
exit status:
  0 all is well; 1 a file or a graph is not; 2 the command line is not; 130 interrupted.
  diff and lint: 0 nothing found; 1 something found; 2 trouble."""


class UsageError(SymoptError, ValueError):
    """Arguments that do not fit together."""


class Command(Protocol):
    """The module of a command. Where 1 says something else it has TROUBLE, the exit status of an error."""

    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def parse(argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command that a command line asks for and its arguments. SystemExit as argparse raises it."""
    top = _top_parser()
    common = top.parse_args(argv)
    name, rest = common.command, common.rest
    del common.rest
    if name is None:
        top.print_help(sys.stderr)
        raise SystemExit(2)
    if name not in COMMANDS:
        top.error(f"no command is called {name!r}{near(name, COMMANDS)}")
    return load(name), command_parser(name).parse_args(rest, common)


def load(name: str) -> Command:
    """The module of a command."""
    return cast(Command, import_module(f"{__package__}.{name}"))


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of what stands after a command's name."""
    command = load(name)
    about = COMMANDS[name][0].upper() + COMMANDS[name][1:] + "."
    made = _parser(f"symopt {name}", about, f"example:\n{_indented(command.EXAMPLE)}")
    command.add_arguments(made)
    _add_common(made)
    return made


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"{name:<{width}}  {about}" for name, about in COMMANDS.items())
    about = "Optimizer update ops as graphs: look at them, compare them, run them."
    more = f"commands, each with a --help of its own:\n{_indented(listed)}\n\n{EXIT}"
    top = _parser("symopt", about, more)
    top.usage = "symopt COMMAND [...]"
    top.add_argument("--version", action="version", version=f"symopt {symopt.__version__}")
    top.add_argument("command", nargs="?", metavar="COMMAND", help=argparse.SUPPRESS)
    top.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help=argparse.SUPPRESS)
    _add_common(top)
    return top


class _Parser(argparse.ArgumentParser):
    """Complains as all of symopt does."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        complain(message)
        raise SystemExit(2)


def _parser(name: str, about: str, more: str) -> argparse.ArgumentParser:
    options: dict[str, Any] = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
    return _Parser(prog=name, description=about, epilog=more, **options)


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Options that may stand before the command and after it. They have no default, which would undo what the parser
    before has found."""
    group = parser.add_argument_group("options of every command")
    group.add_argument("--color", choices=COLORS, default=argparse.SUPPRESS, help="default: on a terminal")
    where = "show where in symopt an error arose"
    group.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS, help=where)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())

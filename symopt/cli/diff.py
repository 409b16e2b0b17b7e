"""`symopt diff`: what differs between two graphs in files, or between two update ops."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import UnknownOpError
from ..forms import find_op, get_op
from ..rules import Difference
from ..view.diff import graph_difference
from .commands import UsageError
from .graphs import read_shown
from .options import add_pairs, once, positive
from .output import STREAM, print_json, print_text

EXAMPLE = """\
symopt diff before.json after.json
symopt diff adam_update keras_adam_update"""
TROUBLE = 2


def add_arguments(parser: ArgumentParser) -> None:
    for which in ("first", "second"):
        parser.add_argument(
            which, metavar=which.upper(), help="a graph in a file, - for standard input; or an op's name"
        )
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="of ops: steps on random gradients; default: 100"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of ops: of the gradients; default: 0")
    add_pairs(parser, "--set", str, "NAME=VALUE", "of ops: an attribute of both, by its name in the first")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Namespace) -> int:
    first, second = arguments.first, arguments.second
    if first == second == STREAM:
        raise UsageError("only one graph can be standard input")
    are_files = [name == STREAM or Path(name).exists() for name in (first, second)]
    are_ops = [find_op(name) is not None for name in (first, second)]
    if not any(are_files) and any(are_ops):
        return _diff_ops(first, second, arguments)
    if all(is_file or is_op for is_file, is_op in zip(are_files, are_ops)) and not all(are_files):
        raise UsageError(f"{first} and {second}: compare two graphs or two ops, not one with the other")
    if arguments.set or arguments.seed is not None or arguments.steps is not None:
        raise UsageError("--steps, --seed and --set are for ops")
    found = graph_difference(read_shown(first)._outputs, read_shown(second)._outputs)
    if arguments.json:
        print_json({"is_same": found.is_same, **asdict(found)})
    else:
        print_text(str(found))
    return 0 if found.is_same else 1


def _diff_ops(first: str, second: str, arguments: Namespace) -> int:
    from .. import rules

    for name in (first, second):
        if not get_op(name).is_update:
            raise UnknownOpError(f"{name} is no update op")
    options = {key: value for key in ("steps", "seed") if (value := getattr(arguments, key)) is not None}
    found = rules.diff(first, second, **options, **once("--set", arguments.set))
    is_same = _are_same(found)
    if arguments.json:
        print_json({"is_same": is_same, "formulas_agree": found.is_same, **_fields(found)})
    else:
        print_text(f"{first} and {second} are the same" if is_same else str(found))
    return 0 if is_same else 1


def _are_same(found: Difference) -> bool:
    """Whether ops agree in formula, inputs, attributes and defaults, by name."""
    alone = (found.only_first_inputs, found.only_second_inputs, found.only_first, found.only_second)
    same_inputs = all(ours == theirs for ours, theirs in found.inputs)
    return found.is_same and same_inputs and not found.attributes and not any(alone)


def _fields(found: Difference) -> dict[str, Any]:
    return {name: value for name, value in vars(found).items() if name != "is_same"}

"""`symopt run`: steps of a graph on the arrays of a file, into another file."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping

import numpy as np

from ..dtypes import canonical, to_numpy
from ..errors import DTypeError, GraphError, MissingArgumentError, UnknownArgumentError, near
from ..executor import Executor
from ..expr import Node
from ..listing import list_variables
from ..sparse import RowSparseArray
from ..symbol import Symbol
from .archive import Archive, Value, check_names, read_archive, write_archive
from .commands import UsageError
from .graphs import read_graph, spread
from .options import FILE, add_pairs, number, positive
from .output import STREAM, output_file
from .progress import Progress

EXAMPLE = """\
symopt run step.json before.npz -o after.npz --steps 100"""
SHOWN = 8  # names of variables without an array
ENGINES = ("auto", "native", "reference", "emulator")
ABOUT = """\
INPUTS.npz holds an array for each variable, by its name, as numpy.savez writes
it. A row_sparse array g is three of them: g.data, g.indices and g.shape. A
bfloat16 array is 2-byte void (V2), which is what numpy.savez makes of it.
OUT.npz holds every variable after the last step, and every output by its name,
in the same form. Pickles are refused."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = f"{parser.description}\n\n{ABOUT}"
    parser.add_argument("file", metavar="FILE.json", help=FILE)
    parser.add_argument("inputs", metavar="INPUTS.npz", help="- is standard input")
    parser.add_argument("-o", "--output", metavar="OUT.npz", required=True, help="- is standard output")
    parser.add_argument("--steps", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="default: auto")
    add_pairs(parser, "--set", number, "NAME=VALUE", "a number for a variable, in place of what INPUTS has")
    add_pairs(parser, "--dtype", _dtype, "NAME=DTYPE", "convert an input; uint16 to bfloat16 keeps the bits")


def run(arguments: Namespace) -> int:
    if arguments.file == arguments.inputs == STREAM:
        raise UsageError("only one of FILE.json and INPUTS.npz can be standard input")
    symbol = read_graph(arguments.file)
    with read_archive(arguments.inputs) as archive:
        given = _inputs(symbol, archive, arguments)
    outputs = _output_names(symbol)
    check_names({**given, **dict.fromkeys(outputs)})
    executor = _bound(symbol, given, arguments.engine)
    with output_file(arguments.output) as file:  # before the steps: if it cannot be written, they are in vain
        with Progress("steps", arguments.steps, arguments) as progress:
            for _ in range(arguments.steps):
                executor.forward()
                progress.advance()
        executor.synchronize()
        results = {**executor.arg_dict, **executor.aux_dict, **dict(zip(outputs, executor.outputs))}
        write_archive(file, results)
    return 0


def _inputs(symbol: Symbol, archive: Archive, arguments: Namespace) -> dict[str, Value]:
    """A value for each variable. Errors for variables without, and for what no variable asks for."""
    known = symbol.list_inputs()
    numbers = spread("--set", arguments.set, known)
    dtypes = spread("--dtype", arguments.dtype, known)
    members = {name: archive.parts(name) for name in known}
    unused = archive.names.keys() - {part for parts in members.values() for part in parts}
    missing = [name for name in known if not members[name] and name not in numbers]
    if missing:
        more = f"; nor for {', '.join(missing[1:SHOWN])}" if missing[1:] else ""
        rest = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
        raise MissingArgumentError(
            f"{archive.path} has no array for the variable {missing[0]!r}{near(missing[0], unused)}{more}{rest}"
        )
    if unused:
        name = min(unused)
        raise UnknownArgumentError(
            f"{archive.path} has an array {name!r}, and the graph no such variable{near(name, known)}"
        )
    return {
        name: numbers[name] if name in numbers else _converted(name, archive.value(name), dtypes)
        for name in known
    }


def _converted(name: str, value: Value, dtypes: Mapping[str, str]) -> Value:
    """An input in the dtype that the command line wants; integers of shape () are numbers."""
    if isinstance(value, RowSparseArray):
        data = _converted(name, value.data, dtypes)
        return RowSparseArray(data, value.indices, value.shape, value.canonical)
    if name not in dtypes:
        return float(value) if value.ndim == 0 and value.dtype.kind in "iu" else value
    if dtypes[name] == "bfloat16" and value.dtype == np.uint16:
        return value.view(to_numpy("bfloat16"))
    kind = value.dtype.kind
    if (
        kind not in "biuf"
        and value.dtype != to_numpy("bfloat16")
        and (kind, dtypes[name][:7]) != ("c", "complex")
    ):
        raise DTypeError(f"{name!r} holds {value.dtype}, which does not become {dtypes[name]}")
    with np.errstate(over="ignore"):
        return value.astype(to_numpy(dtypes[name]))


def _output_names(symbol: Symbol) -> list[str]:
    """The names of the outputs. GraphError if one is also the name of another array."""
    names = symbol.list_outputs()
    made: dict[str, Node] = {node.name: node for node in list_variables(symbol._outputs).inputs}
    for name, node in zip(names, symbol._outputs):
        if made.setdefault(name, node) is not node:
            raise GraphError(f"two arrays of the graph are called {name!r}: a file can hold one of them")
    return names


def _bound(symbol: Symbol, given: Mapping[str, Value], engine: str) -> Executor:
    states = set(symbol.list_auxiliary_states())
    return symbol.bind(
        args={name: value for name, value in given.items() if name not in states},
        aux_states={name: value for name, value in given.items() if name in states},
        engine=engine,
    )


def _dtype(text: str) -> str:
    try:
        return canonical(text)
    except DTypeError as error:
        raise ArgumentTypeError(str(error)) from None

"""`symopt show`: a graph as text."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..view.tables import node_table
from .commands import UsageError
from .graphs import plan, read_shown
from .options import FILE, add_types
from .output import print_rich, print_text

EXAMPLE = """\
symopt show step.json
symopt show step.json --table --shape w=4096,4096 --dtype w=float16"""
FORMS = {
    "tree": "what is made of what; this is what is shown if nothing else is asked for",
    "table": "a row for each node, with shapes and bytes as far as they follow from those given",
    "debug": "every node with inputs and attributes, as MXNet's debug_str",
    "maths": "what the graph computes, as lines of mathematics",
    "latex": "the same in LaTeX",
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.json", help=FILE)
    forms = parser.add_mutually_exclusive_group()
    for form, about in FORMS.items():
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, help=about)
    parser.add_argument("--full", action="store_true", help="of trees and tables: do not fold what is alike")
    add_types(parser)


def run(arguments: Namespace) -> int:
    has_types = any((arguments.shape, arguments.dtype, arguments.stype, arguments.rows))
    form = arguments.form or ("table" if has_types else "tree")
    if has_types and form != "table":
        raise UsageError("--shape, --dtype, --stype and --rows are for --table")
    if arguments.full and form not in ("tree", "table"):
        raise UsageError("--full is for --tree and --table")
    symbol = read_shown(arguments.file)
    if form == "tree":
        print_rich(symbol.tree(arguments.full), arguments)
    elif form == "table":
        print_rich(node_table(plan(symbol, arguments), arguments.full), arguments)
    elif form == "debug":
        print_text(symbol.debug_str())
    else:
        print_text(symbol.formula() if form == "maths" else symbol.latex())
    return 0

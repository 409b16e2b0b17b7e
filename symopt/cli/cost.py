"""`symopt cost`: what a step moves and computes, and how long it takes, from shapes alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from ..context import Context
from ..cost.model import cost
from ..cost.text import cost_text
from .graphs import plan, read_shown
from .options import FILE, add_types, device
from .output import print_json, print_rich

EXAMPLE = """\
symopt cost step.json --shape w=4096,4096
symopt cost table.json --shape w=1000000,64 --stype g=row_sparse --rows g=20000"""


def add_arguments(parser: ArgumentParser) -> None:
    about = "Seconds need `symopt calibrate`, once on each machine. Nothing is allocated."
    parser.description = f"{parser.description}\n\n{about}"
    parser.add_argument("file", metavar="FILE.json", help=FILE)
    parser.add_argument(
        "--device", type=device, default=Context("cpu"), metavar="gpu(0)", help="default: cpu"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_types(parser)


def run(arguments: Namespace) -> int:
    planned = replace(plan(read_shown(arguments.file), arguments), ctx=arguments.device)
    found = cost(planned)
    if arguments.json:
        print_json(found.as_dict())
    else:
        print_rich(cost_text(found), arguments)
    return 0

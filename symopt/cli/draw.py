"""`symopt draw`: a graph as a picture, or as a page for a browser."""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import PurePath

from ..errors import near
from ..planned import Planned
from ..view.dot import FORMATS, render, to_dot
from ..view.levels import view_of, views_of
from ..view.model import LEVELS
from ..view.page import page
from .commands import UsageError
from .graphs import plan, read_shown
from .options import FILE, add_types
from .output import STREAM, output_file

EXAMPLE = """\
symopt draw step.json -o step.html --shape w=4096,4096
symopt draw step.json -o step.svg --level program --shape w=4096,4096"""
PAGE, DOT = "html", "dot"
ENDINGS = (PAGE, *FORMATS, DOT)
ABOUT = """\
A page of HTML has all levels, and needs nothing but a browser. svg, png and pdf
need graphviz; dot is the text that it reads. Levels below "symbol", the nodes
of the graph, need shapes: "primitive" shows formulas, "program" kernels and
arrays."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = f"{parser.description}\n\n{ABOUT}"
    parser.add_argument("file", metavar="FILE.json", help=FILE)
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT.html", help="- is standard output; then say --format"
    )
    parser.add_argument("--format", choices=ENDINGS, help="default: as OUT ends")
    parser.add_argument("--level", choices=LEVELS, help="default: symbol")
    parser.add_argument("--full", action="store_true", help="of large pictures: do not fold what is alike")
    add_types(parser)


def run(arguments: Namespace) -> int:
    form, level = _form(arguments), arguments.level or LEVELS[0]
    planned = plan(read_shown(arguments.file), arguments, program=form == PAGE or level != LEVELS[0])
    content = _content(planned, form, arguments)
    with output_file(arguments.output) as file:
        file.write(content)
    return 0


def _content(planned: Planned, form: str, arguments: Namespace) -> bytes:
    if arguments.level not in (None, LEVELS[0]):
        planned.needed()  # whose error says which shapes are missing
    if form == PAGE:
        title = "standard input" if arguments.file == STREAM else PurePath(arguments.file).name
        return page(views_of(planned), title, arguments.level).encode()
    dot = to_dot(view_of(planned, arguments.level or LEVELS[0]), arguments.full)
    return dot.encode() if form == DOT else _picture(dot, form)


def _picture(dot: str, form: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"picture.{form}")
        render(dot, path)
        with open(path, "rb") as file:
            return file.read()


def _form(arguments: Namespace) -> str:
    """What to make: --format, or the ending of the output's name."""
    if arguments.format:
        return str(arguments.format)
    ending = PurePath(arguments.output).suffix[1:].lower()
    ending = {"htm": PAGE, "gv": DOT}.get(ending, ending)
    if ending not in ENDINGS:
        names = ", ".join(f".{one}" for one in ENDINGS)
        raise UsageError(f"{arguments.output!r} must end in {names}{near(ending, ENDINGS)}, or say --format")
    return ending

"""`symopt draw`: a graph as a picture, or as a page for a browser."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import PurePath

from ..view.model import LEVELS
from .commands import UsageError
from .graphs import plan, read_shown
from .options import FILE, add_types

EXAMPLE = """\
symopt draw step.json -o step.html
symopt draw step.json -o step.svg --level program --shape w=4096,4096"""

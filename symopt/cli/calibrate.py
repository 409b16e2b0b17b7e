"""`symopt calibrate`: measure a machine, so that costs come with seconds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import config
from ..context import Context
from ..cost.calibrate import calibrate
from .options import device, positive
from .output import print_text

EXAMPLE = """\
symopt calibrate"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = (
        f"{parser.description}\n\nTakes half a minute and half a gigabyte. Do it when nothing else runs."
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="at most so many; default: as steps use"
    )
    parser.add_argument(
        "--device", type=device, default=Context("cpu"), metavar="gpu(0)", help="default: cpu"
    )


def run(arguments: Namespace) -> int:
    before = config.given_threads()
    if arguments.threads is not None:
        config.set_num_threads(arguments.threads)
    try:
        found = calibrate(arguments.device)
    finally:
        config.set_num_threads(before)
    print_text(str(found))
    return 0

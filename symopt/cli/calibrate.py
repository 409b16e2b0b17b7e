"""`symopt calibrate`: measure a machine, so that costs come with seconds."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from .. import config
from ..context import Context
from ..cost.bandwidth import Calibration, Speed
from ..cost.measure import calibrate
from .options import device, positive
from .output import print_json, print_text
from .progress import waiting

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
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Namespace) -> int:
    before = config.threads_set()
    config.set_num_threads(arguments.threads or before)
    try:
        with waiting("measuring", arguments):
            found = calibrate(arguments.device)
    finally:
        config.set_num_threads(before)
    if arguments.json:
        print_json(
            {"device": found.device, "threads": {n: _rates(speed) for n, speed in found.speeds.items()}}
        )
    else:
        print_text("\n".join(_text(found)))
    return 0


def _text(found: Calibration) -> Iterator[str]:
    yield found.device
    for threads, speed in sorted(found.speeds.items()):
        rates = ", ".join(
            f"{rate / 1e9:.1f} GB/s {name.replace('_', ' ')}" for name, rate in _rates(speed).items()
        )
        yield f"{threads} thread{'' if threads == 1 else 's'}: {rates}"


def _rates(speed: Speed) -> dict[str, float]:
    """Bytes a second of large arrays; one that is updated is read and written."""
    return {"read": 1 / speed.read, "read_and_written": 2 / speed.updated, "written": 1 / speed.written}

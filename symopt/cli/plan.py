"""`symopt plan`: what a table takes on many machines."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import fields, replace
from typing import Any

from ..attrs import REQUIRED
from ..embedding.segment import DTYPES, Segment
from ..scale import Hosts, Job, distinct, measure_rows, plan
from ..scale.job import SENDERS
from ..training.update import find_op
from .commands import UsageError
from .options import add_pairs, count, number, once, positive
from .output import print_json, print_text
from .progress import waiting
from .units import many, seconds, size, speed

EXAMPLE = """\
symopt plan --rows 1e12 --dim 64 --rule group_adagrad
symopt plan --rows 1e12 --segment 1:ftrl --segment 63:adagrad --workers 64 --sender worker --network 200Gbit/s --json"""
ABOUT = """\
Nothing is allocated: it is arithmetic, on the layout that rows of such a table
have. docs/scale.md has the formulas, and what they leave out."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = f"{parser.description}\n\n{ABOUT}"
    _add_table(parser)
    _add_training(parser)
    _add_machine(parser)
    group = parser.add_argument_group(
        "how many, in place of how many are needed"
    ).add_mutually_exclusive_group()
    group.add_argument("--hosts", type=many, metavar="N")
    group.add_argument("--shards", type=many, metavar="N")
    group.add_argument(
        "--step-time", type=seconds, metavar="100ms", help="as many as steps of this time need"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, in bytes and seconds")


def _add_table(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("table")
    group.add_argument("--rows", type=many, required=True, metavar="1e12", help="how many")
    group.add_argument("--dim", type=many, metavar="64", help="columns of a row, with --rule")
    group.add_argument("--rule", metavar="NAME", help="an update op, as `symopt ops` lists them")
    several = "in place of --dim and --rule: one for each segment of a row"
    group.add_argument(
        "--segment", type=_segment, action="append", default=[], metavar="64:NAME", help=several
    )
    group.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help=f"of weights; default: {DTYPES[0]}")
    add_pairs(group, "--set", number, "NAME=VALUE", "an attribute of the rules that have it")
    growing = "the table is not told how many rows will come, so it has them twice while it grows"
    group.add_argument("--growing", action="store_true", help=growing)


def _add_training(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("training")

    def add(name: str, kind: Any, value: str, about: str, default: Any = None) -> None:
        shown = about if default is None else f"{about}; default: {default}"
        group.add_argument(f"--{name}", type=kind, metavar=value, default=default, help=shown)

    add("workers", many, "N", "how many share a step", 1)
    add("unique", many, "20k", "different rows of a worker and step", None)
    add("batch", many, "100k", "ids of a worker and step, with repeats", None)
    add(
        "zipf", number, "1.05", "exponent of the ids' distribution: how many of a batch differ is drawn", None
    )
    add("compute", seconds, "50ms", "a worker's own work in a step", 0.0)
    add("staleness", count, "N", "steps that rows may lag behind", 0)
    add("window", positive, "N", "steps that may be on their way at once", 4)
    add("checkpoint-every", many, "N", "steps", 1000)
    group.add_argument(
        "--wire",
        choices=("float16", "bfloat16", "float32", "float64"),
        help="dtype of gradients on their way; default: --dtype",
    )
    group.add_argument("--sender", choices=SENDERS, default="driver", help="who makes calls; default: driver")
    group.add_argument(
        "--together", action="store_true", help="one call for what all workers send to a shard"
    )
    group.add_argument("--by-host", action="store_true", help="one call for all shards of a host")


def _add_machine(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    usual = {field.name: field.default for field in fields(Hosts)}

    def add(name: str, kind: Any, value: str, about: str, part: str) -> None:
        group.add_argument(
            f"--{name}", type=kind, default=usual[part], metavar=value, dest=f"host_{part}", help=about
        )

    add("host-memory", size, "768GiB", "default: 768GiB", "memory")
    add("used", number, "0.75", "part of the memory that rows may take; default: 0.75", "used")
    add("cores", positive, "16", "default: 16", "cores")
    add("shards-per-host", positive, "1", "processes with rows; default: 1", "shards")
    add("network", speed, "25GB/s", "each way; default: 25GB/s", "network")
    add("disk", speed, "2GB/s", "default: 2GB/s", "disk")
    add("call", seconds, "0.35ms", "of a process, for each message; default: 0.35ms", "call")
    add("round-trip", seconds, "1.5ms", "until an answer; default: 1.5ms", "round_trip")
    add("start", seconds, "1.5s", "of a new process; default: 1.5s", "start")
    add("row-read", seconds, "0.1us", "of a core for a row looked up; default: 0.1us", "row_read")
    add("row-update", seconds, "0.3us", "of a core for a row updated; default: 0.3us", "row_update")
    add("row-pack", seconds, "0.1us", "of a worker for a row sent or got; default: 0.1us", "row_pack")
    add("jitter", number, "0.25", "standard deviation of the logarithm of times; default: 0.25", "jitter")
    measure = (
        "measure --row-read, --row-update and --row-pack on this machine: a few seconds, half a gigabyte"
    )
    group.add_argument("--measure", action="store_true", help=measure)


def run(arguments: Namespace) -> int:
    segments = _segments(arguments)
    job = Job(
        arguments.rows,
        segments,
        unique=_unique(arguments),
        reserved=not arguments.growing,
        **{
            name: getattr(arguments, name)
            for name in (
                "workers", "batch", "compute", "staleness", "window", "checkpoint_every", "wire", "sender",
                "together", "by_host",
            )
        },
    )  # fmt: skip
    machine = _machine(arguments, segments)
    found = plan(job, machine, hosts=arguments.hosts, shards=arguments.shards, step_time=arguments.step_time)
    if arguments.json:
        print_json(found.as_dict() | {"machine": vars(machine)})
    else:
        print_text(str(found))
    return 0


def _segments(arguments: Namespace) -> list[Segment]:
    given = list(arguments.segment)
    if bool(given) == (arguments.dim is not None or arguments.rule is not None):
        raise UsageError("give --dim and --rule, or --segment once for each segment")
    if not given:
        if arguments.dim is None or arguments.rule is None:
            raise UsageError(f"--{'dim' if arguments.dim is None else 'rule'} is missing")
        given = [(arguments.dim, arguments.rule)]
    values = once("--set", arguments.set)
    used: set[str] = set()
    made = []
    for dim, rule in given:
        op = find_op(rule)
        own = {name: value for name, value in values.items() if name in op.attrs}
        used |= own.keys()
        if "lr" in op.attrs and op.attrs["lr"].default is REQUIRED:
            own.setdefault("lr", 0.0)  # which takes no memory and no time
        made.append(Segment(dim, op, dtype=arguments.dtype, **own))
    unknown = [name for name in values if name not in used]
    if unknown:
        raise UsageError(f"--set: no rule here has an attribute {unknown[0]!r}")
    return made


def _unique(arguments: Namespace) -> int:
    """Different rows of a worker and step."""
    if arguments.zipf is None:
        default = min(20_000, arguments.rows, arguments.batch or arguments.rows)
        return default if arguments.unique is None else int(arguments.unique)
    if arguments.unique is not None or arguments.batch is None:
        raise UsageError("--zipf needs --batch, and says what --unique would")
    return distinct(arguments.batch, arguments.zipf, arguments.rows)


def _machine(arguments: Namespace, segments: list[Segment]) -> Hosts:
    given = vars(arguments)
    parts: dict[str, Any] = {
        f.name: given[f"host_{f.name}"] for f in fields(Hosts) if f"host_{f.name}" in given
    }
    machine = Hosts(**parts)
    if not arguments.measure:
        return machine
    with waiting("measuring", arguments):
        found = measure_rows(segments)
    return replace(machine, row_read=found.read, row_update=found.update, row_pack=found.pack)


def _segment(text: str) -> tuple[int, str]:
    dim, sign, rule = text.partition(":")
    if not sign or not rule:
        raise ArgumentTypeError(f"{text!r} is not of the form 64:NAME")
    return many(dim), rule

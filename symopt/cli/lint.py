"""`symopt lint`: what is legal in a graph and usually wrong."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from ..lint import RULES, Finding, lint
from .commands import UsageError
from .graphs import plan, read_shown
from .options import FILE, add_types
from .output import print_json, print_text

EXAMPLE = """\
symopt lint step.json
symopt lint step.json --dtype w=float16 --ignore SO4,SO302 --json"""
TROUBLE = 2
ABOUT = """\
Shapes, dtypes, storage and rows let more rules decide; none is needed. The exit
status is 0 if nothing is found, 1 if something is, 2 if there is trouble. Each
code has a page in docs/lint."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.description = f"{parser.description}\n\n{ABOUT}"
    parser.add_argument("file", metavar="FILE.json", nargs="?", help=FILE)
    codes = "codes, or what they begin with, with commas between"
    parser.add_argument("--select", type=_codes, metavar="SO1,...", help=f"only these: {codes}")
    parser.add_argument("--ignore", type=_codes, default=(), metavar="SO4,...", help="not these")
    parser.add_argument("--rules", action="store_true", help="list the rules instead")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_types(parser)


def run(arguments: Namespace) -> int:
    if arguments.rules:
        _print_rules(arguments.json)
        return 0
    if arguments.file is None:
        raise UsageError("FILE.json is missing")
    planned = plan(read_shown(arguments.file), arguments, program=False)
    found = lint(planned, select=arguments.select, ignore=arguments.ignore)
    if arguments.json:
        print_json([_fields(finding) for finding in found])
    else:
        for finding in found:
            print_text(str(finding))
        print_text(_count(len(found), "finding"))
    return 1 if found else 0


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code.strip() for code in text.split(",") if code.strip())


def _print_rules(as_json: bool) -> None:
    if as_json:
        print_json([{"code": r.code, "severity": r.severity, "reason": r.reason} for r in RULES])
    else:
        for rule in RULES:
            print_text(f"{rule.code}  {rule.severity:<7}  {rule.reason}")


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "node": finding.node,
        "message": finding.message,
        "where": str(finding.where) if finding.where else None,
        "count": finding.count,
        "facts": finding.facts,
    }


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"

"""Conformance with the living systems: `python tests/conformance`, or `make conformance`.

Makes their environments, has them execute graphs, compares, and writes docs/conformance.md. `--only NAME ...` does so
for some of them and prints what it found. The exit code is 1 if anything differs without a known reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import report
from check import Row, check_classes, check_keras, check_mxnet
from class_cases import class_cases
from drive import call
from environments import ENVIRONMENTS, NoEnvironmentError, make
from file_checks import check_files
from graph_cases import graph_cases
from keras3_classes import differences
from keras_cases import keras_cases
from ordinary_cases import ordinary_cases
from own_files import own_verdicts
from signatures import signature_differences
from torch_tests import torch_section
from update_cases import update_cases
from updater_cases import check_updaters, updater_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "conformance.md"
VERSIONS = {"mxnet1": 10901, "mxnet2": 20000}


class Found(NamedTuple):
    """The text of a system's section, its rows, and whether all is well."""

    title: str
    text: str
    rows: list[Row]
    is_well: bool
    own: dict[str, str]


def check_one_mxnet(name: str, interpreter: Path, work: Path) -> Found:
    reason = call(interpreter, "in_mxnet.py", "ops", str(work / "ops.json"), seconds=300)
    if reason:
        raise NoEnvironmentError(f"MXNet cannot be asked for its ops: {reason}")
    told = json.loads((work / "ops.json").read_text())
    known = {op: dict(pairs) for op, pairs in told["ops"].items()}
    updates, graphs, ordinary = (
        check_mxnet(name, interpreter, work, list(cases(known, VERSIONS[name])))
        for cases in (update_cases, graph_cases, ordinary_cases)
    )
    more = list(signature_differences(known, VERSIONS[name]))
    title = f"MXNet {told['version']}"
    count, wrong = check_files(interpreter, work, None if name == "mxnet1" else True)
    classes = check_updaters(interpreter, work, list(updater_cases(is_whole=name != "mxnet1")))
    text = report.mxnet_section(title, name, updates, graphs, ordinary, more)
    text += report.files_part(count, wrong) + report.updaters_part(name, classes)
    own = own_verdicts(interpreter, work)
    rows = [*updates, *graphs, *ordinary, *classes]
    return Found(title, text, rows, is_well(rows) and not wrong, own)


def check_all_keras(name: str, interpreter: Path, work: Path) -> Found:
    reason = call(interpreter, "in_keras.py", "versions", str(work / "versions.json"), seconds=300)
    if reason:
        raise NoEnvironmentError(f"Keras cannot be asked for its version: {reason}")
    versions = json.loads((work / "versions.json").read_text())["versions"]
    made = list(keras_cases())
    rows = check_keras(interpreter, work, [case for case in made if not isinstance(case, str)])
    classes = check_classes(interpreter, work, list(class_cases()))
    title = (
        f"tf_keras {versions['tf_keras']} and Keras {versions['keras']}, TensorFlow {versions['tensorflow']}"
    )
    missing = [case for case in made if isinstance(case, str)]
    count, different = differences(interpreter, work)
    text = report.keras_section(title, rows, missing, classes) + report.keras3_part(count, different)
    return Found(title, text, rows, is_well([*rows, *classes]) and not different, {})


def check_torch(name: str, interpreter: Path, work: Path) -> Found:
    text, passed = torch_section(interpreter, ROOT)
    return Found("torch", text, [], passed, {})


def is_well(rows: list[Row]) -> bool:
    return not any(row.differences for row in rows)


CHECKS: dict[str, Callable[[str, Path, Path], Found]] = {
    "mxnet1": check_one_mxnet,
    "mxnet2": check_one_mxnet,
    "keras": check_all_keras,
    "torch": check_torch,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--folder", type=Path, default=ROOT / ".conformance", help="of the environments")
    parser.add_argument("--python", default="python3.11", help="to make environments with")
    options = parser.parse_args()
    found: dict[str, Found] = {}
    for environment in ENVIRONMENTS:
        if environment.name not in options.only:
            continue
        work = options.folder / "work" / environment.name
        work.mkdir(parents=True, exist_ok=True)
        try:
            interpreter = make(environment, options.folder, options.python)
            found[environment.name] = CHECKS[environment.name](environment.name, interpreter, work)
            well = found[environment.name].is_well
            print(f"{environment.name}: {'agrees' if well else 'DIFFERS'}", flush=True)
        except NoEnvironmentError as error:
            print(f"{environment.name}: not compared. {error}", flush=True)
    return finish(found)


def finish(found: dict[str, Found]) -> int:
    text = page(found)
    if len(found) == len(CHECKS):
        PAGE.write_text(text)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    else:
        print(text)
        missing = ", ".join(name for name in CHECKS if name not in found)
        print(f"{PAGE.relative_to(ROOT)} is left as it is: {missing} not compared")
    return int(len(found) < len(CHECKS) or not all(one.is_well for one in found.values()))


def page(found: dict[str, Found]) -> str:
    owners = [one for one in found.values() if one.own]
    own = {name: [one.own[name] for one in owners] for name in (owners[0].own if owners else ())}
    sections = [report.HEAD, *(one.text for one in found.values())]
    sections += [report.own_section([one.title for one in owners], own)] if own else []
    return "\n".join([*sections, report.defects_section([row for one in found.values() for row in one.rows])])


if __name__ == "__main__":
    sys.exit(main())

"""Cases executed on either side, compared, and gathered into rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import class_cases
from class_cases import ClassCase
from compare import error, tolerance
from defects import explain
from drive import run_all
from graphs import Case, run_here, write
from keras_cases import KerasCase, as_ours
from keras_cases import write as write_keras

from symopt import sym


class Compared(Protocol):
    """What is told of a case."""

    @property
    def row(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def exact(self) -> bool: ...


class Outcome(NamedTuple):
    """A case and its worst error, None if all are explained by defects; the keys of those, and other differences."""

    case: Compared
    how: str
    error: float | None
    defects: frozenset[str]
    differences: tuple[str, ...]


class Row(NamedTuple):
    """The outcomes of one op or graph."""

    name: str
    outcomes: list[Outcome]

    @property
    def how(self) -> str:
        return ", ".join(sorted({o.how for o in self.outcomes}))

    @property
    def defects(self) -> list[str]:
        return sorted(set().union(*(o.defects for o in self.outcomes)))

    @property
    def differences(self) -> list[str]:
        return [d for o in self.outcomes for d in o.differences]

    def worst(self, dtype: str, exact: bool = True) -> float | None:
        """The largest error that no defect explains; None if there is none to tell of."""
        same = [o for o in self.outcomes if o.case.dtype == dtype and o.case.exact == exact]
        return max((o.error for o in same if o.error is not None), default=None)


def check_mxnet(system: str, interpreter: Path, folder: Path, cases: Sequence[Case]) -> list[Row]:
    """Every case bound by MXNet; those that it refuses, op by op."""
    for case in cases:
        write(case, folder)
    told = run_all(interpreter, "in_mxnet.py", folder, [case.name for case in cases])
    refused = [c._replace(mode="walk") for c in cases if "error" in told[c.name] and c.mode == "bind"]
    for case in refused:
        write(case, folder)
    walked = run_all(interpreter, "in_mxnet.py", folder, [case.name for case in refused])
    again = {case.name: case for case in refused}
    return rows(
        compare(system, again.get(case.name, case), walked.get(case.name, told[case.name])) for case in cases
    )


def check_keras(interpreter: Path, folder: Path, cases: Sequence[KerasCase]) -> list[Row]:
    """Every case stepped by the optimizers of tf_keras and Keras 3."""
    for made in cases:
        write_keras(made, folder)
    told: dict[str, dict[str, Any]] = {}
    for backend in ("tensorflow", "jax"):
        names = [made.case.name for made in cases if made.backend == backend]
        told |= run_all(interpreter, "in_keras.py", folder, names, backend)
    outcomes = []
    for made in cases:
        there = told[made.case.name]
        if "error" not in there:
            there = {"results": as_ours(made, there["results"])}
        outcomes.append(compare("", made.case, there))
    return rows(outcomes)


def check_classes(interpreter: Path, folder: Path, cases: Sequence[ClassCase]) -> list[Row]:
    """Every scenario run by the classes of tf_keras, and by ours."""
    for made in cases:
        class_cases.write(made, folder)
    told = run_all(interpreter, "in_keras.py", folder, [made.name for made in cases])
    return rows(compare_class(made, told[made.name]) for made in cases)


def compare_class(made: ClassCase, told: dict[str, Any]) -> Outcome:
    """What is different between a class of ours and Keras's."""
    place = f"{made.row}, {made.setting}"
    if told.get("error"):
        return Outcome(made, "refused", None, frozenset(), (f"{place}: {told['error']}",))
    ours, said = class_cases.run_here(made)
    theirs = told["results"]
    for key, x in class_cases.taken_over(
        made, theirs
    ).items():  # which the other side's whole run must be like
        same = key.replace("taken", "out", 1)
        ours |= {f"{key} here": x, f"{key} there": ours[same]}
        theirs |= {f"{key} here": theirs[same], f"{key} there": theirs.pop(key)}
    differences = [
        f"{place}: {what} {said[what]} here, {told[what]} there"
        for what in ("names", "slots", "config", "serialized")
        if not class_cases.same_config(said[what], told[what])
    ]
    differences += [f"{place}, {name}: only on one side" for name in sorted(ours.keys() ^ theirs.keys())]
    errors = {name: error(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()}
    allowed = tolerance(made.dtype, not made.exact)
    differences += [f"{place}, {name}: {found:.0e}" for name, found in errors.items() if found > allowed]
    return Outcome(made, "stepped", max(errors.values(), default=None), frozenset(), tuple(differences))


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    found: dict[str, Row] = {}
    for outcome in outcomes:
        found.setdefault(outcome.case.row, Row(outcome.case.row, [])).outcomes.append(outcome)
    return list(found.values())


def compare(system: str, case: Case, told: dict[str, Any]) -> Outcome:
    """What is different between symopt's results and those of a system."""
    place = f"{system} {case.row}, {case.setting}, {case.dtype}".strip()
    how = {"bind": "bound", "": "stepped"}.get(case.mode, "op by op")
    theirs = told["results"]
    if told.get("error"):
        return Outcome(case, "refused", None, frozenset(), (f"{place}: {told['error']}",))
    ours = run_here(case)
    defects: set[str] = set()
    differences = list(_file_differences(place, case, told))
    outputs = {name for name in ours if name.startswith("out.")}
    differences += [f"{place}, {name}: not there" for name in sorted(outputs - theirs.keys())]
    changing = outputs | {f"var.{name}" for name in case.graphs[0].list_auxiliary_states()}
    worst: float | None = None
    for name in sorted(ours.keys() & theirs.keys()):
        found = error(ours[name], theirs[name])
        kinds = ours[name].dtype.name, theirs[name].dtype.name
        allowed = tolerance(kinds[0], not case.exact)
        if defect := explain(f"{place}, {name}", found, allowed):
            defects.add(defect)
            continue
        if name in changing:
            worst = max(worst or 0.0, found)
        if found > allowed:
            differences.append(f"{place}, {name}: {found:.0e}")
        if kinds[0] != kinds[1]:
            defect = explain(f"{place}, {name} type", 1.0, 0.0)
            defects |= {defect} if defect else set()
            differences += [] if defect else [f"{place}, {name}: {kinds[0]} here, {kinds[1]} there"]
    return Outcome(case, how, worst, frozenset(defects), tuple(differences))


def _file_differences(place: str, case: Case, told: dict[str, Any]) -> Iterable[str]:
    """Whether MXNet reads the names that symopt wrote, and writes a file that symopt reads as the same graph."""
    graph = case.graphs[0]
    if "text" not in told:
        return
    for what, ours in (
        ("arguments", graph.list_arguments()),
        ("states", graph.list_auxiliary_states()),
        ("outputs", graph.list_outputs()),
    ):
        if told[what] != ours:
            yield f"{place}: {what} {ours} here, {told[what]} there"
    if _as_graph(told["text"]) != _as_graph(graph.tojson()):
        yield f"{place}: its file does not come back as the same graph"


def _as_graph(text: str) -> Any:
    """What symopt saves after loading a file, without the order of attributes."""
    return json.loads(sym.load_json(text).tojson())

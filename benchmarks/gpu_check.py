"""Whether a contender computes what it should: three steps on a case's first set, then slices against float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from gpu_formulas import Formula, Values
from gpu_machine import Machine, Step

OURS = "symopt"
LIMIT = 5e-6  # relative norm of the error, for what is stored in float32
STEPS = 3
READ_ONLY = ("g", "scale")


class View(NamedTuple):
    """Part of an array on the machine; a contender changes it, so it is read before and after."""

    array: Any
    index: Any


Pick = Mapping[str, Any]  # what one formula is applied to, by name: views, and constants of the host


@dataclass
class Contender:
    """`make` binds a set of arrays and gives its step. No formula: nothing to check. `limits`: of values that are
    stored in fewer bits than float32, by name."""

    make: Callable[[Machine, dict[str, Any]], Step]
    formula: Formula | None
    limits: dict[str, float] = field(default_factory=dict)


@dataclass
class Case:
    """Arrays, what can be done with them, and how many bytes that has to move.

    `sets`: arrays of the same kind; steps rotate through them where one set could stay in the cache. `picks` gives
    what is compared; `untouched` what must keep every bit.
    """

    nbytes: int
    sets: list[dict[str, Any]]
    contenders: dict[str, Contender]
    picks: Callable[[dict[str, Any]], list[Pick]]
    untouched: Callable[[dict[str, Any]], list[View]] = lambda arrays: []


def check(machine: Machine, case: Case, contender: Contender, step: Step) -> tuple[float, list[str]]:
    """The largest error, and what is wrong: nothing if all is right."""
    assert contender.formula is not None
    arrays = case.sets[0]
    picks, kept = case.picks(arrays), case.untouched(arrays)
    expected = [_read(machine, pick) for pick in picks]
    before = [machine.get(view.array[view.index]) for view in kept]
    for t in range(1, STEPS + 1):
        step(t)
        for values in expected:
            contender.formula(values, t)
    machine.synchronize()
    worst, faults = 0.0, []
    for pick, values in zip(picks, expected):
        found = _read(machine, pick)
        for name in pick:
            if name not in READ_ONLY:
                error = _error(found[name], values[name])
                worst = max(worst, error)
                if not error <= contender.limits.get(name, LIMIT):
                    faults.append(f"{name} is off by {error:.1e}")
    for view, bits in zip(kept, before):
        if machine.get(view.array[view.index]).tobytes() != bits.tobytes():
            faults.append("rows without a gradient changed")
    return worst, faults


def _read(machine: Machine, pick: Pick) -> Values:
    return {
        name: machine.get(x.array[x.index]).astype(np.float64) if isinstance(x, View) else x
        for name, x in pick.items()
    }


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    """Relative norm; infinite where it is not a number."""
    difference = float(np.linalg.norm(found - expected))
    size = float(np.linalg.norm(expected))
    error = difference / size if size else difference
    return error if np.isfinite(error) else float("inf")

"""Files that say what MXNet has no words for: what it does when it is given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from compare import error, tolerance
from drive import run_all
from graphs import Arrays, Case, random, run_here, write
from update_cases import SHAPE

from symopt import sym
from symopt.symbol import Symbol

Builder = Callable[[Symbol, Symbol, Symbol], Symbol]


def own_verdicts(interpreter: Path, folder: Path) -> dict[str, str]:
    """By file: "refused", "the process dies", or what it computes."""
    cases = list(own_cases())
    for case in cases:
        write(case, folder)
    told = run_all(interpreter, "in_mxnet.py", folder, [case.name for case in cases])
    return {case.row: _verdict(case, told[case.name]) for case in cases}


def _verdict(case: Case, told: dict[str, Any]) -> str:
    if told.get("died"):
        return "the process dies"
    if "error" in told:
        return "refused"
    ours = run_here(case)
    is_same = all(error(ours[n], x) <= tolerance(case.dtype) for n, x in told["results"].items())
    return "executed" if is_same else "executed, with other results"


def own_cases() -> Iterator[Case]:
    for name, build in OWN.items():
        graph = build(sym.var("w"), sym.var("g"), sym.var("m"))
        inputs = [*graph.list_arguments(), *graph.list_auxiliary_states()]
        first: Arrays = {n: abs(random(name + n, (1,) if n == "lr" else SHAPE, "float32")) for n in inputs}
        yield Case(name, "", "float32", [graph], first, [{}], {})


OWN: dict[str, Builder] = {
    "an array divided by its norm with `/` (`elemwise_div` of two shapes)": lambda w, g, m: sym.sgd_update(
        w, g / sym.norm(g), lr=0.125
    ),
    "the same with `broadcast_div`": lambda w, g, m: sym.sgd_update(
        w, sym.broadcast_div(g, sym.norm(g)), lr=0.125
    ),
    "`lazy_update` of an op that has none in MXNet": lambda w, g, m: sym.signsgd_update(
        w, g, lr=0.125, lazy_update=False
    ),
    "`state_dtype`": lambda w, g, m: sym.sgd_mom_update(w, g, m, lr=0.125, state_dtype="float32"),
    "`rounding`": lambda w, g, m: sym.sgd_update(w, g, lr=0.125, rounding="stochastic", seed=1),
    "`kahan`": lambda w, g, m: sym.sgd_update(w, g, m, lr=0.125, kahan=True),
    "a required attribute that is a Symbol (`__scalars__`)": lambda w, g, m: sym.sgd_update(
        w, g, lr=sym.var("lr", shape=(1,))
    ),
    "another attribute that is a Symbol": lambda w, g, m: sym.sgd_update(
        w, g, lr=0.125, wd=sym.var("lr", shape=(1,))
    ),
    "MXNet 2's `adam_update`, clipped and decayed": lambda w, g, m: sym.adam_update(
        w, g, m, sym.var("v"), lr=0.125, clip_gradient=0.25, wd=0.5
    ),
    "the old value of a state, read after the op that updates it": lambda w, g, m: sym.Group(
        [sym.sgd_mom_update(w, g, m, lr=0.125, momentum=0.5), m * 2]
    ),
    "the new value of a state among the outputs": lambda w, g, m: sym.sgd_mom_update(
        w, g, m, lr=0.125, momentum=0.5
    ).state("mom"),
    "the new value of a state read by an ordinary op": lambda w, g, m: (
        sym.sgd_mom_update(w, g, m, lr=0.125, momentum=0.5).state("mom") * 2
    ),
}

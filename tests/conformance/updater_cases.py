"""MXNet's optimizer classes and ours, stepped by an Updater each; in the middle each takes over the other's states.

What must agree: weights after every step, states, the count; and the rest of the steps from the other's states.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from check import Outcome, Row, rows
from compare import error, tolerance
from defects import explain
from drive import run_all
from graphs import Arrays, random

import symopt as so
from symopt.optimizer.mxnet1 import to_mxnet1
from symopt.optimizer.plan import leaves

STEPS, SWAP = 6, 3
SHAPES = {"a": (4, 3), "b": (5, 2)}  # GroupAdaGrad takes no others
# Numbers that are the same in float32, by class: the rate is not one of its own.
MOMENTS = {"beta1": 0.75, "beta2": 0.875, "epsilon": 2**-10}
CLASSES: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({}, {"momentum": 0.75}),
    "NAG": ({"momentum": 0.0}, {"momentum": 0.75}),
    "Signum": ({}, {"momentum": 0.0}, {"wd_lh": 0.0625}),
    "FTML": ({"beta1": 0.75, "beta2": 0.875, "epsilon": 2**-10},),
    "LARS": ({"momentum": 0.75, "eta": 0.125},),
    "LAMB": ({**MOMENTS}, {**MOMENTS, "bias_correction": False, "lower_bound": 0.5, "upper_bound": 2.0}),
    "LANS": ({**MOMENTS},),
    "Adam": ({**MOMENTS},),
    "AdamW": ({**MOMENTS}, {**MOMENTS, "correct_bias": False}),
    "AdaBelief": ({**MOMENTS},),
    "AdaGrad": ({"epsilon": 2**-10},),
    "GroupAdaGrad": ({"epsilon": 2**-10},),
    "RMSProp": ({"rho": 0.75, "epsilon": 2**-10},
                {"rho": 0.75, "momentum": 0.5, "epsilon": 2**-10, "centered": True}),
    "AdaDelta": ({"rho": 0.75, "epsilon": 2**-10},),
    "Ftrl": ({"lamda1": 0.0625, "beta": 0.5},),
    "Adamax": ({"beta1": 0.75, "beta2": 0.875},),
    "Nadam": ({**MOMENTS},),
    "DCASGD": ({}, {"momentum": 0.75}),
}  # fmt: skip
# MXNet 1: classes whose formulas are MXNet 2's (of some for epsilons near 0 only) and names of their arguments. Left
# out are Nadam, whose states lack its product of momenta, and DCASGD with momentum, which fails there.
TINY = {"epsilon": 2**-60}
OLD: dict[str, tuple[dict[str, Any], ...]] = {
    **{c: CLASSES[c] for c in ("SGD", "NAG", "Signum", "FTML", "LARS", "LAMB", "Adam", "Ftrl", "Adamax", "AdaDelta")},
    "DCASGD": ({},),
    "AdaGrad": (TINY,),
    "GroupAdaGrad": (TINY,),
    "RMSProp": tuple({**options, **TINY} for options in CLASSES["RMSProp"]),
}  # fmt: skip
OLD_NAMES = {
    "RMSProp": {"rho": "gamma1", "momentum": "gamma2"},
    "AdaGrad": {"epsilon": "eps"},
    "GroupAdaGrad": {"epsilon": "eps"},
    "AdaDelta": {"learning_rate": ""},  # it has none
}
OLD_SETTINGS = ("plain", "in 16 bits")
UNFUSED = ("AdaDelta", "Adamax", "Nadam", "DCASGD")  # which refuse use_fused_step
ROW_WORDS = ("momentum", "centered", "correct_bias", "bias_correction", "wd_lh")
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped and decayed": {"clip_gradient": 0.5, "rescale_grad": 0.5, "wd": 0.0625},
    "fused": {"wd": 0.0625, "use_fused_step": True},
    "in 16 bits": {"multi_precision": True},
    "defaults": {},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "FactorScheduler": {"step": 2, "factor": 0.5, "base_lr": 0.25},
    "MultiFactorScheduler": {"step": [2, 4], "factor": 0.5, "base_lr": 0.25},
    "PolyScheduler": {"max_update": 7, "base_lr": 0.25, "pwr": 2},
    "CosineScheduler": {"max_update": 7, "base_lr": 0.25, "warmup_steps": 2},
}


class UpdaterCase(NamedTuple):
    """One scenario: `record` is what the other side is told."""

    row: str
    setting: str
    dtype: str
    exact: bool
    record: dict[str, Any]

    @property
    def name(self) -> str:
        return f"updater-{self.row}-{self.setting}".replace(" ", "_")


def updater_cases(is_whole: bool) -> Iterator[UpdaterCase]:
    """`is_whole`: states go to MXNet with their optimizer, as MXNet 2 reads them."""
    settings = {name: SETTINGS[name] for name in (SETTINGS if is_whole else OLD_SETTINGS)}
    for cls, variants in (CLASSES if is_whole else OLD).items():
        for options in variants:
            for setting, more in settings.items():
                if setting != "fused" or cls not in UNFUSED:
                    yield case(cls, options, setting, more, is_whole)
    for cls in ("SGD", "Adam"):
        for name, arguments in SCHEDULES.items():
            rate = {"learning_rate": arguments["base_lr"]}  # else it would be the class's default
            yield case(cls, CLASSES[cls][-1], name, rate, is_whole, schedule=[name, arguments])
        factors = {"lr_mult": {"b": 0.5}, "wd_mult": {"a": 2.0, "b": 0.0}}
        yield case(cls, CLASSES[cls][-1], "factors", {"wd": 0.0625}, is_whole, **factors)


def case(
    cls: str, options: dict[str, Any], setting: str, more: dict[str, Any], is_whole: bool, **others: Any
) -> UpdaterCase:
    row = " ".join([cls, *(word for word in ROW_WORDS if options.get(word, 1.0) not in (1.0, 0.0))])
    config = {"learning_rate": 0.125, **options, **more} if setting != "defaults" else {}
    if cls == "GroupAdaGrad":  # which refuses it
        config.pop("wd", None)
    if cls == "AdaDelta":
        config["learning_rate"] = 1.0
    names = {} if is_whole else OLD_NAMES.get(cls, {})
    there = {new: value for name, value in config.items() if (new := names.get(name, name))}
    # MXNet's Nadam has one product for all parameters: with one it is the paper's, and ours.
    trained = ["a"] if cls == "Nadam" else list(SHAPES)
    record = {"class": cls, "config": config, "there": there, "steps": STEPS, "swap": SWAP, "names": trained,
              "schedule": None, "lr_mult": {}, "wd_mult": {}, "is_whole": is_whole, **others}  # fmt: skip
    dtype = "float16" if "bits" in setting else "float32"
    return UpdaterCase(row, setting, dtype, setting != "defaults" and cls not in ("Nadam", "FTML"), record)


def arrays_of(made: UpdaterCase) -> Arrays:
    found: Arrays = {}
    for name in made.record["names"]:
        key = f"{made.row} {made.setting} {name}"
        found[f"w.{name}"] = random(key, SHAPES[name], made.dtype)
        found |= {f"g.{name}@{k}": random(f"{key} {k}", SHAPES[name], made.dtype) for k in range(STEPS)}
    return found


def make(made: UpdaterCase) -> so.optimizer.Optimizer:
    record = made.record
    given = dict(record["config"])
    if record["schedule"]:
        name, arguments = record["schedule"]
        given["lr_scheduler"] = getattr(so.lr_scheduler, name)(**arguments)
    optimizer = so.optimizer.create(record["class"], param_idx2name=dict(enumerate(record["names"])), **given)
    optimizer.set_lr_mult(record["lr_mult"])
    optimizer.set_wd_mult(record["wd_mult"])
    return optimizer


def step(
    updater: so.optimizer.Updater, weights: list[Any], made: UpdaterCase, arrays: Arrays, k: int
) -> None:
    grads = [arrays[f"g.{name}@{k}"] for name in made.record["names"]]
    updater(list(range(len(weights))), grads, weights)


def run_here(made: UpdaterCase, arrays: Arrays, folder: Path) -> tuple[Arrays, int]:
    """The steps here; what the other side takes over in the middle goes into files."""
    names = made.record["names"]
    found: Arrays = {}
    updater = so.optimizer.get_updater(make(made))
    weights = [arrays[f"w.{name}"].copy() for name in names]
    for k in range(STEPS):
        if k == SWAP:
            given = updater.get_states(made.record["is_whole"], np_shape=made.record["is_whole"])
            (folder / f"{made.name}.ours.states").write_bytes(given)
            arrays |= {f"w.{name}@swap": w.copy() for name, w in zip(names, weights)}
        step(updater, weights, made, arrays, k)
        found |= {f"out.{name}@{k}": w.copy() for name, w in zip(names, weights)}
    for index, state in updater.states.items():
        same = state if made.record["is_whole"] else to_mxnet1(updater.optimizer, state)
        found |= {f"state.{index}.{k}": x for k, x in enumerate(leaves(same))}
    np.savez(folder / f"{made.name}.npz", **arrays)
    (folder / f"{made.name}.json").write_text(json.dumps(made.record))
    return found, updater.optimizer.num_update


def go_on(made: UpdaterCase, arrays: Arrays, theirs: Arrays, folder: Path) -> Arrays:
    """The rest of the steps, from MXNet's weights and states."""
    updater = so.optimizer.get_updater(so.optimizer.create("test"))
    updater.set_states((folder / f"{made.name}.theirs.states").read_bytes())
    names = made.record["names"]
    weights = [theirs[f"out.{name}@{SWAP - 1}"].copy() for name in names]
    found: Arrays = {}
    for k in range(SWAP, STEPS):
        step(updater, weights, made, arrays, k)
        found |= {f"swapped.{name}@{k}": w.copy() for name, w in zip(names, weights)}
    return found


def check_updaters(interpreter: Path, folder: Path, cases: list[UpdaterCase]) -> list[Row]:
    """Every case on both sides, compared."""
    given = {made.name: arrays_of(made) for made in cases}
    ours = {made.name: run_here(made, given[made.name], folder) for made in cases}
    told = run_all(interpreter, "in_mxnet_classes.py", folder, [made.name for made in cases])
    return rows(compare(made, given[made.name], *ours[made.name], told[made.name], folder) for made in cases)


def compare(
    made: UpdaterCase, arrays: Arrays, ours: Arrays, count: int, told: dict[str, Any], folder: Path
) -> Outcome:
    place, theirs = f"{made.row}, {made.setting}", told["results"]
    if told.get("error"):
        return Outcome(made, "refused", None, frozenset(), (f"{place}: {told['error']}",))
    swapped = go_on(made, arrays, theirs, folder)
    differences = [f"{place}: {count} updates here, {told['count']} there"] * (count != told["count"])
    pairs = {name: (ours.get(name), x) for name, x in theirs.items() if not name.startswith("swapped")}
    for name, x in swapped.items():
        same = name.replace("swapped", "out")
        pairs |= {f"{name} here": (x, theirs[same]), f"{name} there": (ours[same], theirs[name])}
    differences += [f"{place}, {name}: only here" for name in ours.keys() - theirs.keys()]
    worst = 0.0
    defects: set[str] = set()
    for name, (here, there) in pairs.items():
        if here is None:
            differences.append(f"{place}, {name}: only there")
            continue
        found, allowed = error(here, there), tolerance(there.dtype.name, not made.exact)
        if defect := explain(f"updater {place}, {name}", found, allowed):
            defects.add(defect)
            continue
        worst = max(worst, found)
        if found > allowed:
            differences.append(f"{place}, {name}: {found:.0e}")
    return Outcome(made, "stepped", worst, frozenset(defects), tuple(differences))

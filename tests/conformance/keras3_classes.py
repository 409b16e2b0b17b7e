"""Keras 3's classes here and in Keras itself: whole optimizers on several variables, with all their options.

In the middle each side takes over the other's variables, in order, and makes the rest of the steps from there.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from compare import error
from drive import run_all

import symopt as so
from symopt.keras3 import optimizers

STEPS, SWAP = 6, 3  # in the middle of accumulating
SHAPES: dict[str, tuple[int, ...]] = {"kernel": (4, 3), "bias": (3,)}
LR = 0.0625
OWN: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({}, {"momentum": 0.75}, {"momentum": 0.75, "nesterov": True}),
    "RMSprop": ({}, {"momentum": 0.5, "centered": True}),
    "Adam": ({}, {"amsgrad": True}),
    "AdamW": ({"amsgrad": True},),
    "Adamax": ({},),
    "Nadam": ({},),
    "Adagrad": ({"initial_accumulator_value": 0.5},),
    "Adadelta": ({"rho": 0.75},),
    "Adafactor": ({}, {"clip_threshold": 0.5}),
    "Ftrl": ({}, {"learning_rate_power": -0.75, "l1_regularization_strength": 0.125, "beta": 0.5}),
    "Lion": ({},),
    "Lamb": ({},),
    "ScheduleFreeAdamW": ({}, {"warmup_steps": 3}),
    "Muon": ({"rms_rate": None}, {"rms_rate": None, "nesterov": False, "adam_lr_ratio": 0.5}),
}
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"weight_decay": 0.25, "clipnorm": 0.5},
    {"global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2},
    {
        "gradient_accumulation_steps": 2,
        "weight_decay": 0.25,
        "clipvalue": 0.25,
        "use_ema": True,
        "ema_momentum": 0.5,
    },
    {"loss_scale_factor": 8.0},
    {"scale": 8.0},
)
# Keras rounds constants of these to float32, whatever the dtype of the weights.
LOOSE = {"Nadam": 1e-6, "Adafactor": 1e-6, "Muon": 1e-6}
TOLERANCE = 1e-9


class ClassCase(NamedTuple):
    """A class, its configuration, and the initial scale of a LossScaleOptimizer around it; 0: none."""

    cls: str
    config: dict[str, Any]
    scale: float
    name: str


def class_cases() -> Iterator[ClassCase]:
    for cls, variants in OWN.items():
        for k, own in enumerate(variants):
            for j, options in enumerate(OPTIONS):
                config = {"learning_rate": LR, **own, **options}
                scale = config.pop("scale", 0.0)
                if scale and cls in ("Nadam", "Adafactor"):
                    continue  # built inside a LossScaleOptimizer, Keras's lose what they made themselves
                yield ClassCase(cls, config, scale, f"{cls}-{k}-{j}")


def arrays_of(case: ClassCase) -> dict[str, Any]:
    """Variables and gradients; one gradient is not finite where steps may be left out."""
    rng = np.random.default_rng(len(case.name))
    made: dict[str, Any] = {f"w.{name}": rng.standard_normal(shape) for name, shape in SHAPES.items()}
    for step in range(STEPS):
        for name, shape in SHAPES.items():
            made[f"g.{name}@{step}"] = rng.standard_normal(shape)
    if case.scale:
        made["g.bias@2"][1] = np.inf
    return made


def start(case: ClassCase, weights: Mapping[str, Any]) -> tuple[Any, dict[str, so.Variable]]:
    optimizer = getattr(optimizers, case.cls)(**case.config)
    if case.scale:
        optimizer = optimizers.LossScaleOptimizer(optimizer, case.scale, dynamic_growth_steps=2)
    trained = {name: so.Variable(w.copy(), name=name) for name, w in weights.items()}
    optimizer.build(list(trained.values()))
    return optimizer, trained


def apply(optimizer: Any, trained: Mapping[str, so.Variable], arrays: Mapping[str, Any], step: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.apply([arrays[f"g.{name}@{step}"] for name in trained], list(trained.values()))


def ours(case: ClassCase, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """All variables after every step; before the step SWAP, as `given`, too."""
    optimizer, trained = start(case, {name: arrays[f"w.{name}"] for name in SHAPES})
    found: dict[str, Any] = {}
    for step in range(STEPS):
        if step == SWAP:
            found |= {f"given.{name}": w.numpy() for name, w in trained.items()}
            found |= {f"given.{k}": w for k, w in enumerate(optimizer.get_weights())}
        apply(optimizer, trained, arrays, step)
        found |= {f"w.{name}@{step}": w.numpy() for name, w in trained.items()}
        found |= {f"{k}@{step}": np.asarray(v.numpy()) for k, v in enumerate(optimizer.variables)}
    return found


def taken_over(case: ClassCase, arrays: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The variables after the steps from SWAP on, made from Keras's."""
    optimizer, trained = start(case, {name: theirs[f"w.{name}@{SWAP - 1}"] for name in SHAPES})
    optimizer.set_weights([theirs[f"{k}@{SWAP - 1}"] for k in range(len(optimizer.variables))])
    found: dict[str, Any] = {}
    for step in range(SWAP, STEPS):
        apply(optimizer, trained, arrays, step)
        found |= {f"w.{name}@{step}": w.numpy() for name, w in trained.items()}
    return found


def differences(interpreter: Path, folder: Path) -> tuple[int, list[str]]:
    """How many optimizers were stepped, and what is not the same."""
    cases = list(class_cases())
    arrays = {case.name: arrays_of(case) for case in cases}
    mine = {case.name: ours(case, arrays[case.name]) for case in cases}
    for case in cases:
        given = {key: x for key, x in mine[case.name].items() if key.startswith("given")}
        np.savez(folder / f"{case.name}.npz", **arrays[case.name], **given)
        record = {"class": case.cls, "config": case.config, "steps": STEPS, "swap": SWAP, "scale": case.scale}
        (folder / f"{case.name}.json").write_text(json.dumps(record))
    told = run_all(interpreter, "in_keras_classes.py", folder, [case.name for case in cases])
    found: list[str] = []
    for case in cases:
        if told[case.name].get("error"):
            found.append(f"{case.name}: {told[case.name]['error']}")
        else:
            found += compared(case, arrays[case.name], mine[case.name], told[case.name]["results"])
    return len(cases), found


def compared(
    case: ClassCase, arrays: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[str]:
    """Keys whose arrays differ."""
    whole = {key: x for key, x in theirs.items() if not key.startswith("taken")}
    own = {key: x for key, x in mine.items() if not key.startswith("given")}
    yield from _different(case, "beside it", own, whole)
    weights = {key: x for key, x in own.items() if key[0] == "w" and int(key.rpartition("@")[2]) >= SWAP}
    there = {key.replace("taken", "w"): x for key, x in theirs.items() if key.startswith("taken")}
    yield from _different(case, "from Keras's variables", taken_over(case, arrays, theirs), weights)
    yield from _different(case, "from symopt's variables", weights, there)


def _different(
    case: ClassCase, how: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[str]:
    allowed, place = LOOSE.get(case.cls, TOLERANCE), f"{case.name} {case.config}, {how}"
    for key in sorted(mine.keys() | theirs.keys()):
        if key not in mine or key not in theirs or mine[key].shape != theirs[key].shape:
            yield f"{place}: {key} is not on both sides"
        elif (worst := error(mine[key].astype(float), theirs[key].astype(float))) > allowed:
            yield f"{place}: {key} differs by {worst:.0e}"

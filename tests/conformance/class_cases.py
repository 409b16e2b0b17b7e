"""Cases of Keras's classes: the same scenario for the class in tf_keras and for ours, and everything that either tells.

A scenario is a class, its configuration, and for some steps what is set before. Compared are the variables after
every step, all weights, their names and order, names of slots, the count, and the configuration. In some of them each
side takes over the other's weights in the middle, and makes the rest of the steps from there.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from graphs import Arrays, random

import symopt as so
from symopt.keras import optimizers
from symopt.sparse import IndexedSlices

STEPS = 5
SHAPES = {"a": (6, 3), "b": (4,)}
REPEATED = ([4, 0, 4], [1, 1, 5], [2, 2], [0, 1, 4], [3])
EXACT = {"learning_rate": 0.125, "beta_1": 0.75, "beta_2": 0.875, "rho": 0.75, "epsilon": 2**-10}
CLASSES: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": ({}, {"momentum": 0.75}, {"momentum": 0.75, "nesterov": True}),
    "Adagrad": ({"initial_accumulator_value": 0.5},),
    "Adadelta": ({},),
    "Adam": ({}, {"amsgrad": True}),
    "Adamax": ({},),
    "Nadam": ({},),
    "RMSprop": ({}, {"momentum": 0.75}, {"centered": True}, {"momentum": 0.75, "centered": True}),
    "Ftrl": ({"l1_regularization_strength": 0.0625, "l2_regularization_strength": 0.125, "beta": 0.5,
              "l2_shrinkage_regularization_strength": 0.25}, {"learning_rate_power": -0.75}),
}  # fmt: skip
ARGUMENTS = {
    "SGD": "learning_rate", "Adagrad": "learning_rate epsilon", "Adadelta": "learning_rate rho epsilon",
    "RMSprop": "learning_rate rho epsilon", "Ftrl": "learning_rate",
}  # fmt: skip
MOMENTS = "learning_rate beta_1 beta_2 epsilon"  # of the others
SCHEDULES = {
    "ExponentialDecay": {
        "initial_learning_rate": 0.5,
        "decay_steps": 2,
        "decay_rate": 0.5,
        "staircase": True,
    },
    "InverseTimeDecay": {"initial_learning_rate": 0.5, "decay_steps": 2, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [0, 2], "values": [0.5, 0.25, 0.125]},
    "PolynomialDecay": {"initial_learning_rate": 0.5, "decay_steps": 3, "power": 2.0, "cycle": True},
    "CosineDecay": {
        "initial_learning_rate": 0.125,
        "decay_steps": 3,
        "warmup_target": 0.5,
        "warmup_steps": 2,
    },
    "CosineDecayRestarts": {"initial_learning_rate": 0.5, "first_decay_steps": 2, "m_mul": 0.5},
}
# What is added to the configuration, in each setting.
SETTINGS: dict[str, dict[str, Any]] = {
    "dense": {},
    "repeated rows": {},
    "clipped": {"clipvalue": 0.75, "clipnorm": 0.5},
    "clipped repeated rows": {"clipvalue": 0.75, "clipnorm": 0.5},
    "clipped together": {"global_clipnorm": 0.5},
    "decay": {"decay": 0.25},
    "set": {},
    "no gradient at first": {},
    "exchanged": {},
    "defaults": {},
}


class ClassCase(NamedTuple):
    """One scenario, with the gradients of its steps."""

    row: str
    setting: str
    dtype: str
    exact: bool
    record: dict[str, Any]
    arrays: Arrays

    @property
    def name(self) -> str:
        return f"{self.row}-{self.setting}-{self.dtype}".replace(" ", "_")


def class_cases() -> Iterator[ClassCase]:
    """Every class with every option in every setting; schedules with two of them."""
    for cls, variants in CLASSES.items():
        own = {name: EXACT[name] for name in ARGUMENTS.get(cls, MOMENTS).split()}
        for options in variants:
            row = " ".join(
                [cls, *(n for n in options if n in ("momentum", "nesterov", "amsgrad", "centered"))]
            )
            row += " power" if "learning_rate_power" in options else ""
            for setting, more in SETTINGS.items():
                if not (cls == "Nadam" and setting == "decay"):
                    config = options if setting == "defaults" else {**own, **options, **more}
                    yield case(row, cls, setting, config)
            if cls in ("Adamax", "SGD"):
                for name, arguments in SCHEDULES.items():
                    rate = {"learning_rate": {"class_name": name, "config": arguments}}
                    yield case(row, cls, name, {**own, **options, **rate})


def case(row: str, cls: str, setting: str, config: dict[str, Any]) -> ClassCase:
    dtype = "float64"
    arrays: Arrays = {}
    for name, shape in SHAPES.items():
        key = f"{row} {setting} {name}"
        arrays[f"w.{name}"] = random(key, shape, dtype)
        for step in range(STEPS):
            if setting == "no gradient at first" and name == "b" and step < 2:
                continue
            if "rows" in setting and name == "a":
                rows = np.array(REPEATED[step])
                arrays[f"g.{name}@{step}.indices"] = rows
                arrays[f"g.{name}@{step}.data"] = random(f"{key} {step}", (len(rows), *shape[1:]), dtype)
            else:
                arrays[f"g.{name}@{step}"] = random(f"{key} {step}", shape, dtype)
    record = {"api": "keras class", "class": cls, "config": config, "steps": STEPS, "variables": list(SHAPES)}
    record["set"] = {"2": {"learning_rate": 0.25}} if setting == "set" else {}
    record["restore"] = 3 if setting in ("exchanged", "decay", *SCHEDULES) else -1
    # Rates of schedules, defaults and Nadam's base are float32 in Keras.
    exact = setting != "defaults" and setting not in SCHEDULES and cls != "Nadam"
    return ClassCase(row, setting, dtype, exact, record, arrays)


def write(made: ClassCase, folder: Path) -> None:
    """The files of a case; with what Keras's optimizer takes over in the middle."""
    given: Arrays = {}
    if made.record["restore"] >= 0:
        optimizer, variables = start(made)
        for step in range(made.record["restore"]):
            apply(optimizer, variables, made, step)
        given = {f"given.{v.name}": v.numpy() for v in variables}
        given |= weights_of(optimizer, "given")
    np.savez(folder / f"{made.name}.npz", **made.arrays, **given)
    (folder / f"{made.name}.json").write_text(json.dumps(made.record))


def start(made: ClassCase) -> tuple[Any, list[so.Variable]]:
    optimizer = getattr(optimizers, made.record["class"]).from_config(made.record["config"])
    return optimizer, [so.Variable(made.arrays[f"w.{n}"].copy(), n) for n in made.record["variables"]]


def apply(optimizer: Any, variables: list[so.Variable], made: ClassCase, step: int) -> Arrays:
    """The variables after a step, by name."""
    for name, value in made.record["set"].get(str(step), {}).items():
        setattr(optimizer, name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a variable without gradient
        optimizer.apply_gradients([(gradient(made.arrays, v, step), v) for v in variables])
    return {f"{v.name}@{step}": v.numpy() for v in variables}


def weights_of(optimizer: Any, key: str) -> Arrays:
    return {f"{key}.{k}": np.asarray(w) for k, w in enumerate(optimizer.get_weights())}


def run_here(made: ClassCase) -> tuple[Arrays, dict[str, Any]]:
    """Arrays by name, and what is told beside."""
    optimizer, variables = start(made)
    results: Arrays = {}
    for step in range(made.record["steps"]):
        if step == made.record["restore"]:
            results |= weights_of(optimizer, "given")
        results |= {f"out.{key}": x for key, x in apply(optimizer, variables, made, step).items()}
    results |= weights_of(optimizer, "weight")
    config = optimizer.get_config()
    if "schedule_decay" in config:  # Keras calls it decay
        config["decay"] = config.pop("schedule_decay")
    return results, {
        "names": [w.name for w in optimizer.weights],
        "slots": optimizer.get_slot_names(),
        "config": config,
        "serialized": {k: v for k, v in optimizers.serialize(optimizer).items() if k != "config"},
    }


def taken_over(made: ClassCase, theirs: Mapping[str, Any]) -> Arrays:
    """The steps from `restore` on, from Keras's weights and variables."""
    first, names = made.record["restore"], made.record["variables"]
    if first < 0:
        return {}
    optimizer, _ = start(made)
    variables = [so.Variable(theirs[f"out.{name}@{first - 1}"].copy(), name) for name in names]
    optimizer.build(variables)
    optimizer.set_weights([theirs[f"given.{k}"] for k in range(len(optimizer.get_weights()))])
    steps = [apply(optimizer, variables, made, step) for step in range(first, made.record["steps"])]
    return {f"taken.{key}": x for arrays in steps for key, x in arrays.items()}


def gradient(arrays: Mapping[str, Any], variable: so.Variable, step: int) -> Any:
    key = f"g.{variable.name}@{step}"
    if f"{key}.data" in arrays:
        return IndexedSlices(arrays[f"{key}.data"], arrays[f"{key}.indices"], variable.shape)
    return arrays.get(key)


def same_config(ours: Any, theirs: Any) -> bool:
    """Whether configurations are the same, but for numbers that Keras has rounded to float32."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(same_config(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return bool(np.isclose(ours, theirs, rtol=1e-7))
    return bool(ours == theirs)

"""Runs in an environment of Keras 3, on JAX: whole optimizers on several variables, with all their options.

    python in_keras_classes.py run FOLDER LIST

A case is CASE.json (`class`, `config`, `steps`, `scale`: a LossScaleOptimizer around it) and CASE.npz with variables
`w.NAME` and gradients `g.NAME@STEP`, those that there are. Into CASE.out.npz go, after every step, the variables and
the optimizer's own in order; and as `taken.NAME@STEP` the variables after the steps from `swap` on, made from
symopt's: variables `given.NAME`, and `given.K` of the optimizer.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="jax", JAX_ENABLE_X64="1", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np


def steps(case: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """All steps; and those from `swap` on by another optimizer, which takes over symopt's variables."""
    names = [name[2:] for name in arrays if name[:2] == "w."]
    optimizer, trained = started(case, {name: arrays[f"w.{name}"] for name in names})
    found: dict[str, Any] = {}
    for step in range(case["steps"]):
        found |= stepped(optimizer, trained, arrays, step, "w")
        found |= {f"{k}@{step}": np.array(v) for k, v in enumerate(optimizer.variables)}
    other, trained = started(case, {name: arrays[f"given.{name}"] for name in names})
    other.load_own_variables({str(k): arrays[f"given.{k}"] for k in range(len(other.variables))})
    for step in range(case["swap"], case["steps"]):
        found |= stepped(other, trained, arrays, step, "taken")
    return found


def started(case: dict[str, Any], weights: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The optimizer, and its variables by name."""
    optimizer = getattr(keras.optimizers, case["class"])(**case["config"])
    if case["scale"]:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, case["scale"], dynamic_growth_steps=2)
    trained = {name: keras.Variable(w, name=name, dtype=w.dtype.name) for name, w in weights.items()}
    optimizer.build(list(trained.values()))
    return optimizer, trained


def stepped(
    optimizer: Any, trained: dict[str, Any], arrays: dict[str, Any], step: int, key: str
) -> dict[str, Any]:
    """The variables after a step, by name."""
    apply(optimizer, [arrays.get(f"g.{name}@{step}") for name in trained], list(trained.values()))
    return {f"{key}.{name}@{step}": np.array(w) for name, w in trained.items()}


def apply(optimizer: Any, grads: list[Any], trained: list[Any]) -> None:
    """One step. On JAX a LossScaleOptimizer has to be stateless."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer.apply(grads, trained)
        return
    own = [v.value for v in optimizer.variables]
    weights, own = optimizer.stateless_apply(own, grads, [w.value for w in trained])
    for variable, value in zip([*trained, *optimizer.variables], [*weights, *own]):
        variable.assign(value)


def run(folder: Path, name: str) -> dict[str, Any]:
    case = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        try:
            results, told = steps(case, dict(arrays)), {}
        except Exception as error:  # whatever Keras says is told, and the next case goes on
            results, told = {}, {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
    np.savez(folder / f"{name}.out.npz", **results)
    return told


if __name__ == "__main__":
    work = Path(sys.argv[2])
    for case_name in Path(sys.argv[3]).read_text().split():
        print(case_name, flush=True)
        (work / f"{case_name}.out.json").write_text(json.dumps(run(work, case_name)))

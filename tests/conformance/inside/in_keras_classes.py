"""Runs in an environment of Keras 3, on JAX: whole optimizers on several variables, with all their options.

    python in_keras_classes.py run FOLDER LIST

A case is CASE.json (`class`, `config`, `steps`, `scale`: a LossScaleOptimizer around it) and CASE.npz with variables
`w.NAME` and gradients `g.NAME@STEP`, those that there are. Into CASE.out.npz go, after every step, the variables and
the optimizer's own in order.
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
    optimizer = getattr(keras.optimizers, case["class"])(**case["config"])
    if case["scale"]:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, case["scale"], dynamic_growth_steps=2)
    trained = {
        name[2:]: keras.Variable(w, name=name[2:], dtype=w.dtype.name)
        for name, w in arrays.items()
        if name[0] == "w"
    }
    optimizer.build(list(trained.values()))
    found: dict[str, Any] = {}
    for step in range(case["steps"]):
        apply(optimizer, [arrays.get(f"g.{name}@{step}") for name in trained], list(trained.values()))
        found |= {f"w.{name}@{step}": np.array(w) for name, w in trained.items()}
        found |= {f"{k}@{step}": np.array(v) for k, v in enumerate(optimizer.variables)}
    return found


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

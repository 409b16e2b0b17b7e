"""Runs in an environment of TensorFlow: steps of Keras's optimizers, tf_keras's legacy ones and Keras 3's.

    python in_keras.py versions VERSIONS.json
    python in_keras.py run FOLDER LIST BACKEND

A case is CASE.json (`api`, `class`, `config`, `steps`) and CASE.npz with the weight `w` and a gradient for each step:
`g@0`, or the rows `g@0.data` at `g@0.indices`. Into CASE.out.npz go the weight after each step and the slots.
With `api` "keras class" there are several `variables`, and what the optimizer tells of itself comes back too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

BACKEND = sys.argv[4] if len(sys.argv) > 4 else "tensorflow"  # of Keras 3; fixed when it is imported
os.environ.update(
    KERAS_BACKEND=BACKEND, JAX_ENABLE_X64="1", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES=""
)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras  # noqa: E402


def gradient(arrays: Any, step: int, shape: Any, of: str = "g") -> Any:
    key = f"{of}@{step}"
    if key in arrays:
        return arrays[key] if BACKEND == "jax" else tf.constant(arrays[key])
    return tf.IndexedSlices(arrays[f"{key}.data"], arrays[f"{key}.indices"], dense_shape=shape)


def legacy(case: dict[str, Any], arrays: Any) -> dict[str, Any]:
    optimizer = getattr(tf_keras.optimizers.legacy, case["class"])(**case["config"])
    weight = tf.Variable(arrays["w"], name="w")
    results = {}
    for step in range(case["steps"]):
        optimizer.apply_gradients([(gradient(arrays, step, weight.shape), weight)])
        results[f"out.0@{step}"] = weight.numpy()
    slots = {name: optimizer.get_slot(weight, name).numpy() for name in optimizer.get_slot_names()}
    return results | {f"slot.{name}": value for name, value in slots.items()}


def keras3(case: dict[str, Any], arrays: Any) -> dict[str, Any]:
    optimizer = getattr(keras.optimizers, case["class"])(**case["config"])
    weight = keras.Variable(arrays["w"], name="w", dtype=arrays["w"].dtype.name)
    results = {}
    for step in range(case["steps"]):
        optimizer.apply_gradients([(gradient(arrays, step, weight.shape), weight)])
        results[f"out.0@{step}"] = np.array(weight)
    slots = {v.path.split("/")[-1]: np.array(v) for v in optimizer.variables}
    return results | {f"slot.{name.removeprefix('w_')}": value for name, value in slots.items()}


def legacy_class(case: dict[str, Any], arrays: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All steps; and those from `restore` on by another optimizer, which takes over symopt's weights."""
    optimizer, restore = made_of(case), case["restore"]
    variables = [tf.Variable(arrays[f"w.{name}"], name=name) for name in case["variables"]]
    results: dict[str, Any] = {}
    for step in range(case["steps"]):
        if step == restore:
            results |= {f"given.{k}": np.asarray(w) for k, w in enumerate(optimizer.get_weights())}
        results |= legacy_step(optimizer, variables, case, arrays, step, "out")
    results |= {f"weight.{k}": np.asarray(w) for k, w in enumerate(optimizer.get_weights())}
    if restore >= 0:
        other = made_of(case)
        variables = [tf.Variable(arrays[f"given.{name}"], name=name) for name in case["variables"]]
        with tf.name_scope(other._name):  # as in apply_gradients
            other._create_all_weights(variables)
        other.set_weights([arrays[f"given.{k}"] for k in range(len(other.get_weights()))])
        for step in range(restore, case["steps"]):
            results |= legacy_step(other, variables, case, arrays, step, "taken")
    described = tf_keras.optimizers.serialize(optimizer)
    return results, {
        "names": [w.name for w in optimizer.weights],
        "slots": optimizer.get_slot_names(),
        "config": described.pop("config"),
        "serialized": described,
    }


def made_of(case: dict[str, Any]) -> Any:
    config = dict(case["config"])
    if isinstance(config.get("learning_rate"), dict):  # which Adagrad.from_config forgets
        config["learning_rate"] = tf_keras.optimizers.schedules.deserialize(config["learning_rate"])
    return getattr(tf_keras.optimizers.legacy, case["class"])(**config)


def legacy_step(
    optimizer: Any, variables: list[Any], case: dict[str, Any], arrays: Any, step: int, key: str
) -> dict[str, Any]:
    """The variables after a step, by name."""
    for name, value in case["set"].get(str(step), {}).items():
        setattr(optimizer, name, value)
    pairs = []
    for name, v in zip(case["variables"], variables):
        has_one = any(f"g.{name}@{step}{part}" in arrays for part in ("", ".data"))
        pairs.append((gradient(arrays, step, v.shape, f"g.{name}") if has_one else None, v))
    optimizer.apply_gradients(pairs)
    return {f"{key}.{name}@{step}": v.numpy() for name, v in zip(case["variables"], variables)}


def versions(path: str) -> None:
    found = {"tensorflow": tf.__version__, "tf_keras": tf_keras.__version__, "keras": keras.__version__}
    is_class = {n: isinstance(x, type) for n, x in vars(keras.optimizers).items()}
    classes = {"keras3": sorted(n for n, is_one in is_class.items() if is_one)}
    is_class = {n: isinstance(x, type) for n, x in vars(tf_keras.optimizers.legacy).items()}
    classes["keras"] = sorted(n for n, is_one in is_class.items() if is_one)
    Path(path).write_text(json.dumps({"versions": found, "classes": classes}))


def run(folder: Path, name: str) -> dict[str, Any]:
    case = json.loads((folder / f"{name}.json").read_text())
    with np.load(folder / f"{name}.npz") as arrays:
        try:
            told: dict[str, Any] = {}
            if case["api"] == "keras class":
                results, told = legacy_class(case, dict(arrays))
            else:
                results = {"keras": legacy, "keras3": keras3}[case["api"]](case, dict(arrays))
        except Exception as error:  # whatever Keras says is told, and the next case goes on
            results, told = {}, {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
    np.savez(folder / f"{name}.out.npz", **results)
    return told


if __name__ == "__main__":
    if sys.argv[1] == "versions":
        versions(sys.argv[2])
    else:
        work = Path(sys.argv[2])
        for case_name in Path(sys.argv[3]).read_text().split():
            print(case_name, flush=True)
            (work / f"{case_name}.out.json").write_text(json.dumps(run(work, case_name)))

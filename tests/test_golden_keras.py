"""Vectors made by running tf.keras.optimizers.legacy: `so.keras.optimizers` does the same, slot by slot."""

import json
from typing import Any

import numpy as np
import pytest
from keras_goldens import params, read, recorded

import symopt as so
from symopt.keras import optimizers


def make(case: dict[str, Any]) -> Any:
    """The optimizer of a case."""
    config = dict(case["config"])
    return getattr(optimizers, case["class"]).from_config(config)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("case", params("optimizer", "legacy"))
@pytest.mark.filterwarnings("ignore:The `lr` argument", "ignore:Gradients do not exist")
def test_equals_keras(case: dict[str, Any], engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers.Nadam, "_schedule_base", float(np.float32(0.96)))  # Keras rounds it so
    optimizer = make(case)
    optimizer.engine = "auto" if engine == "native" else engine
    weights = [so.Variable(read(case, k, "in.weight"), name=f"v{k}:0") for k in range(case["n_vars"])]
    for step in range(1, case["steps"] + 1):
        for event in case.get("events", []):
            if event["before_step"] == step:
                for name, value in event["set"].items():
                    setattr(optimizer, name, value)
        grads = [read(case, k, f"in.grad.{step}") for k in range(case["n_vars"])]
        count = optimizer.apply_gradients(zip(grads, weights))
        assert count == step
        for key, (k, slot, expected) in recorded(case, step).items():
            value = weights[k or 0] if slot == "w" else find(optimizer, weights, k, slot)
            got = np.asarray(value).astype(float).reshape(expected.shape)
            np.testing.assert_allclose(got, expected, **case["tolerance"], err_msg=key)
    restored = type(optimizer).from_config(json.loads(json.dumps(optimizer.get_config())))
    assert restored.get_config() == optimizer.get_config()


def find(optimizer: Any, weights: list[Any], k: int | None, slot: str) -> Any:
    """A slot of variable k, or what the optimizer itself keeps."""
    if k is not None and slot in optimizer.get_slot_names():
        return optimizer.get_slot(weights[k], slot)
    return next(w for w in optimizer.weights if w.name == f"{optimizer.name}/{slot}:0")

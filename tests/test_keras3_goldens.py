"""Vectors made by running Keras 3: every class, on both engines, in everything that was recorded."""

from typing import Any

import numpy as np
import pytest
from keras_goldens import VECTORS, params, read, recorded

import symopt as so
from symopt.keras3 import optimizers, schedules

NAMES = {"v": "velocity"}  # Keras calls the list so, the variable not


def optimizer_of(case: dict[str, Any]) -> Any:
    """The class with the configuration of a case."""
    config = dict(case["config"])
    if "inner_optimizer" in config:
        config["inner_optimizer"] = optimizer_of(
            {"class": config["inner_optimizer"]["class_name"], "config": config["inner_optimizer"]["config"]}
        )
    if isinstance(config.get("learning_rate"), dict):
        config["learning_rate"] = schedules.deserialize(config["learning_rate"])
    return getattr(optimizers, case["class"])(**config)


def innermost(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)


def value(optimizer: Any, k: int | None, name: str) -> Any:
    """A slot of variable k, or a number of the optimizer; None for what is not kept."""
    if k is not None and name in (slots := innermost(optimizer)._steps.kept[k].slots):
        return slots[name].numpy()
    scalars = {v.name: v for v in optimizer.variables if v.shape == ()}
    return scalars[name].numpy() if name in scalars else None


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("case", params("optimizer", "v3"))
def test_equals_keras_3(case: dict[str, Any], engine: str) -> None:
    optimizer = optimizer_of(case)
    innermost(optimizer)._steps.engine = engine
    names = case.get("var_names", [f"w{k}" for k in range(case["n_vars"])])
    variables = [so.Variable(read(case, k, "in.weight"), name=name) for k, name in enumerate(names)]
    if "exclude_from_weight_decay" in case:
        optimizer.exclude_from_weight_decay(var_names=case["exclude_from_weight_decay"])
    optimizer.build(variables)
    seen = set()
    for step in range(1, case["steps"] + 1):
        for event in case.get("events", []):
            if event["before_step"] == step:
                for name, number in event["set"].items():
                    setattr(optimizer, name, number)
        grads = [read(case, k, f"in.grad.{step}") for k in range(case["n_vars"])]
        optimizer.apply(grads, variables)
        for key, (k, name, expected) in recorded(case, step).items():
            slot = NAMES.get(name, name)
            got = variables[k or 0].numpy() if name == "w" else value(optimizer, k, slot)
            if got is None:
                seen.add(name)
                continue
            got = np.asarray(got).astype(float).reshape(expected.shape)
            np.testing.assert_allclose(got, expected, **case["tolerance"], err_msg=key)
    # Adafactor's second moment of a matrix is made of rows and columns: only those are kept.
    assert seen <= ({"v"} if case["class"] == "Adafactor" and variables[0].ndim > 1 else set())
    assert optimizer.get_config() == type(optimizer).from_config(optimizer.get_config()).get_config()


@pytest.mark.parametrize("case", params("schedule", "v3"))
def test_schedules(case: dict[str, Any]) -> None:
    steps, values = (VECTORS[f"{case['case']}/{name}"] for name in ("step", "value"))
    schedule = getattr(schedules, case["class"])(**case["config"])
    np.testing.assert_allclose(schedule(steps), values, **case["tolerance"])

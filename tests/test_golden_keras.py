"""Vectors made by running tf.keras (up to TF 2.10) and Keras 3: every optimizer composed of update ops."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from keras_driver import Driver
from keras_schedules import rate

from symopt.sparse import RowSparseArray

FOLDER = Path(__file__).parent / "golden"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "keras.json").read_text())["cases"]
VECTORS = np.load(FOLDER / "keras.npz")
KEYS: dict[str, list[str]] = {case["case"]: [] for case in CASES}
for _key in VECTORS.files:
    KEYS[_key.split("/")[0]].append(_key.split("/")[1])
DTYPES: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16}  # stored as float32


def params(kind: str) -> list[Any]:
    """The cases of a kind; those that record a defect of the library are listed with what it is, and skipped."""
    return [
        pytest.param(
            case,
            id=case["case"],
            marks=[pytest.mark.skip(reason=case["advisory"])] if "advisory" in case else [],
        )
        for case in CASES
        if case["kind"] == kind
    ]


def read(case: dict[str, Any], k: int, name: str) -> Any:
    """An array of variable k, row_sparse where Keras had it so; None if there is none."""
    prefix = f"{case['case']}/v{k}." if case["n_vars"] > 1 else f"{case['case']}/"
    dtype = DTYPES.get(case["dtype"], case["dtype"])
    if prefix + name in VECTORS:
        return VECTORS[prefix + name].astype(dtype)
    if f"{prefix}{name}.values" not in VECTORS:
        return None
    values = VECTORS[f"{prefix}{name}.values"].astype(dtype)
    shape = VECTORS[f"{prefix}in.weight"].shape
    return RowSparseArray(values, VECTORS[f"{prefix}{name}.indices"], shape)


def results(driver: Driver, case: dict[str, Any], step: int) -> dict[str, Any]:
    """What the file has of a step, by key, as the driver has it."""
    found: dict[str, Any] = {}
    for key in KEYS[case["case"]]:
        variable, _, name = key.partition(".") if case["n_vars"] > 1 and key[0] == "v" else ("v0", "", key)
        kind, _, rest = name.partition(".")
        slot, _, at = rest.rpartition(".")
        if kind == "in" or at != str(step):
            continue
        if slot == "v" and slot not in driver.rule(0).slots:
            continue  # Keras keeps what Adafactor makes of row and col; the op does not
        if kind == "slot" and slot in driver.shared():
            found[key] = driver.shared()[slot]
        else:
            found[key] = driver.value(int(variable[1:]), "w" if kind == "out" else slot)
    return found


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("case", params("optimizer"))
def test_equals_keras(case: dict[str, Any], engine: str) -> None:
    driver = Driver(case, [read(case, k, "in.weight") for k in range(case["n_vars"])], engine)
    for step in range(1, case["steps"] + 1):
        for event in case.get("events", []):
            if event["before_step"] == step:
                driver.config |= event["set"]
        driver.step([read(case, k, f"in.grad.{step}") for k in range(case["n_vars"])])
        found = results(driver, case, step)
        assert f"{'v0.' if case['n_vars'] > 1 else ''}out.weight.{step}" in found
        for key, value in found.items():
            expected = VECTORS[f"{case['case']}/{key}"].astype(float)
            got = np.asarray(value).astype(float).reshape(expected.shape)
            np.testing.assert_allclose(got, expected, **case["tolerance"], err_msg=key)


@pytest.mark.parametrize("case", params("schedule"))
def test_schedules(case: dict[str, Any]) -> None:
    """The rates that the driver feeds to the ops."""
    steps, values = (VECTORS[f"{case['case']}/{name}"] for name in ("step", "value"))
    schedule = {"class_name": case["class"], "config": case["config"]}
    np.testing.assert_allclose([rate(schedule, int(s)) for s in steps], values, **case["tolerance"])

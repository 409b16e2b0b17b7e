"""Keras's learning rate schedules: what they give, what they refuse, and that they are plain data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_schedules import rate

from symopt.errors import AttributeValueError
from symopt.keras import schedules

FOLDER = Path(__file__).parent / "golden"
CASES = [c for c in json.loads((FOLDER / "keras.json").read_text())["cases"] if c["kind"] == "schedule"]
VECTORS = np.load(FOLDER / "keras.npz")


def make(case: dict[str, Any]) -> Any:
    return getattr(schedules, case["class"])(**case["config"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_equals_keras(case: dict[str, Any]) -> None:
    steps, values = (VECTORS[f"{case['case']}/{name}"] for name in ("step", "value"))
    schedule = make(case)
    np.testing.assert_allclose(schedule(steps), values, **case["tolerance"])
    np.testing.assert_array_equal([schedule(int(s)) for s in steps], schedule(steps))
    reference = [rate({"class_name": case["class"], "config": case["config"]}, s) for s in range(200)]
    np.testing.assert_allclose(schedule(np.arange(200)), reference, rtol=1e-12, atol=1e-15)

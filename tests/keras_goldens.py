"""The vectors made by running tf.keras and Keras 3: cases, and the arrays of a case."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from symopt.sparse import RowSparseArray

FOLDER = Path(__file__).parent / "golden"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "keras.json").read_text())["cases"]
VECTORS = np.load(FOLDER / "keras.npz")
KEYS: dict[str, list[str]] = {case["case"]: [] for case in CASES}
for _key in VECTORS.files:
    KEYS[_key.split("/")[0]].append(_key.split("/")[1])
DTYPES: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16}  # stored as float32


def params(kind: str, api: str) -> list[Any]:
    """The cases of a kind; those that record a defect of the library are listed with what it is, and skipped."""
    return [
        pytest.param(
            case,
            id=case["case"],
            marks=[pytest.mark.skip(reason=case["advisory"])] if "advisory" in case else [],
        )
        for case in CASES
        if case["kind"] == kind and case["api"] == api
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


def recorded(case: dict[str, Any], step: int) -> dict[str, tuple[int | None, str, np.ndarray]]:
    """What was recorded after a step, by key: of which variable (None: of the optimizer), "w" or slot, the value."""
    found = {}
    for key in KEYS[case["case"]]:
        has_variable = case["n_vars"] > 1 and key[0] == "v"
        variable, _, name = key.partition(".") if has_variable else ("v0", "", key)
        kind, _, rest = name.partition(".")
        slot, _, at = rest.rpartition(".")
        if kind != "in" and at == str(step):
            k = int(variable[1:]) if has_variable or case["n_vars"] == 1 else None
            value = VECTORS[f"{case['case']}/{key}"].astype(float)
            found[key] = (k, "w" if kind == "out" else slot, value)
    return found

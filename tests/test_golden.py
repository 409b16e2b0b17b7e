"""Vectors made by running MXNet 2: every case through a bound symbol on both engines, and through so.nd."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

FOLDER = Path(__file__).parent / "golden"
CASES: list[dict[str, Any]] = json.loads((FOLDER / "mxnet2.json").read_text())["cases"]
VECTORS = np.load(FOLDER / "mxnet2.npz")
SPARSE_ONLY = ("_sparse_adagrad_update", "_contrib_group_adagrad_update")  # in MXNet: always lazy


def read(case: str, name: str) -> Any:
    """An array of a case, row_sparse where MXNet had it so; None if the case has no such array."""
    key = f"{case}/{name}"
    if key in VECTORS:
        return VECTORS[key].copy()
    if f"{key}.data" not in VECTORS:
        return None
    data, indices, shape = (VECTORS[f"{key}.{part}"].copy() for part in ("data", "indices", "shape"))
    return RowSparseArray(data, indices, tuple(shape))


def dense(array: Any) -> np.ndarray:
    return array.todense() if isinstance(array, RowSparseArray) else np.asarray(array)


def is_lazy(case: dict[str, Any]) -> bool:
    """Which update MXNet chose from the storage of the inputs; symopt is told."""
    stypes = case["stypes"]
    if case["op"] in SPARSE_ONLY:
        return True
    states = {stypes[name] for name in case["mutated"]}
    if case["op"] == "ftrl_update":
        return set(stypes.values()) == {"row_sparse"}
    if stypes["weight"] == "row_sparse" and "default" in states:
        return False
    return bool(case["attrs"].get("lazy_update", True))


def attributes(case: dict[str, Any], step: int) -> dict[str, Any]:
    attrs = {**case["attrs"], **(case["step_attrs"][step] if case["step_attrs"] else {})}
    if case["stypes"].get("grad") == "row_sparse":
        attrs["lazy_update"] = is_lazy(case)
    return attrs


def in_place(array: Any) -> Any:
    """A row_sparse weight or state holds all its rows in these cases, or none: then it is zero."""
    if isinstance(array, RowSparseArray) and len(array.indices) != array.shape[0]:
        return array.todense()
    return array


def with_symbol(case: dict[str, Any], engine: str) -> tuple[list[Any], dict[str, Any]]:
    names = case["inputs"]
    arrays = {n: read(case["case"], f"in.{n}") for n in names}
    arrays.update({n: in_place(arrays[n]) for n in ("weight", *case["mutated"])})
    weights = []
    for step in range(case["steps"]):
        if step:
            fresh = {n: read(case["case"], f"in.{n}@{step}") for n in names}
            arrays.update({n: x for n, x in fresh.items() if x is not None})
        variables = {n: sym.var(n) for n in names}
        out = {"out": variables["weight"]} if case["in_place"] else {}
        node = getattr(sym, case["op"])(*variables.values(), **attributes(case, step), **out)
        executor = node.bind(so.cpu(), args=arrays, aux_states=arrays, engine=engine)
        weights.append(dense(executor.forward()[0]).copy())
    return weights, arrays


def with_nd(case: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    arrays = {n: read(case["case"], f"in.{n}") for n in case["inputs"]}
    arrays.update({n: in_place(arrays[n]) for n in ("weight", *case["mutated"])})
    weights = []
    for step in range(case["steps"]):
        if step:
            fresh = {n: read(case["case"], f"in.{n}@{step}") for n in case["inputs"]}
            arrays.update({n: x for n, x in fresh.items() if x is not None})
        out = arrays["weight"] if case["in_place"] else None
        result = getattr(so.nd, case["op"])(*arrays.values(), out=out, **attributes(case, step))
        weights.append(dense(result).copy())
    return weights, arrays


@pytest.mark.parametrize("way", ["reference", "native", "nd"])
@pytest.mark.parametrize("case", CASES, ids=[c["case"] for c in CASES])
def test_equals_mxnet(case: dict[str, Any], way: str) -> None:
    weights, arrays = with_nd(case) if way == "nd" else with_symbol(case, way)
    tolerance = {**case["tolerance"], "equal_nan": True}
    last = case["steps"] - 1
    for step, weight in enumerate(weights):
        expected = dense(read(case["case"], "out.0" if step == last else f"out.0@{step}"))
        np.testing.assert_allclose(weight.astype(float), expected.astype(float), **tolerance)
    for name in case["mutated"]:
        expected = dense(read(case["case"], f"state.{name}"))
        np.testing.assert_allclose(dense(arrays[name]).astype(float), expected.astype(float), **tolerance)

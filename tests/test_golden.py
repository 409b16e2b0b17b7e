"""Vectors made by running MXNet 1.9.1 and 2.0: every case through a bound symbol on both engines, and through so.nd."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

Case = dict[str, Any]
Arrays = dict[str, Any]

FOLDER = Path(__file__).parent / "golden"
VECTORS = {name: np.load(FOLDER / f"{name}.npz") for name in ("mxnet1", "mxnet2")}
CASES: list[Case] = [
    {"id": f"{system}-{case['case']}", "system": system, "mutated": [], "stypes": {}, "step_attrs": None, **case}
    for system in VECTORS
    for case in json.loads((FOLDER / f"{system}.json").read_text())["cases"]
]  # fmt: skip

# Where MXNet has no lazy kernel it reads sparse gradients as dense, which is the default of such ops here.
LAZY_KERNELS = ("sgd_update", "sgd_mom_update", "adam_update", "ftrl_update")
SPARSE_ONLY = ("_sparse_adagrad_update", "_contrib_group_adagrad_update")  # in MXNet: always lazy
# Results that MXNet gives as float32, whatever the arrays are; here they have the arrays' dtype, or a wider one.
FLOAT32_RESULT = ("all_finite", "multi_all_finite", "multi_sum_sq")


def op_name(case: Case) -> str:
    """MXNet 2's own name, or of an op of MXNet 1 the name without its prefix after `mxnet1_`."""
    name: str = case["op"]
    for prefix in ("_contrib_", "_sparse_", "_"):
        name = name.removeprefix(prefix) if case["system"] == "mxnet1" else name
    return f"mxnet1_{name}" if case["system"] == "mxnet1" else name


def read(case: Case, name: str) -> Any:
    """An array of a case, row_sparse where MXNet had it so; None if the case has no such array."""
    vectors, key = VECTORS[case["system"]], f"{case['case']}/{name}"
    if key in vectors:
        return vectors[key].copy()
    if f"{key}.data" not in vectors:
        return None
    data, indices, shape = (vectors[f"{key}.{part}"].copy() for part in ("data", "indices", "shape"))
    return RowSparseArray(data, indices, tuple(shape))


def dense(array: Any) -> np.ndarray:
    return array.todense() if isinstance(array, RowSparseArray) else np.asarray(array)


def is_lazy(case: Case) -> bool:
    """Which update MXNet chose from the storage of the inputs; symopt is told."""
    stypes = [case["stypes"].get(name, "default") for name in ("weight", *case["mutated"])]
    if case["op"] in SPARSE_ONLY:
        return True
    if case["op"] == "ftrl_update":
        return set(stypes) == {"row_sparse"}
    if stypes[0] == "row_sparse" and "default" in stypes:
        return False
    return bool(case["attrs"].get("lazy_update", True))


def attributes(case: Case, step: int) -> dict[str, Any]:
    attrs = {**case["attrs"], **(case["step_attrs"][step] if case["step_attrs"] else {})}
    if case["op"] in (*LAZY_KERNELS, *SPARSE_ONLY) and case["stypes"].get("grad") == "row_sparse":
        attrs["lazy_update"] = is_lazy(case)
    return attrs


def in_place(array: Any) -> Any:
    """A row_sparse weight or state holds all its rows in these cases, or none: then it is zero."""
    if isinstance(array, RowSparseArray) and len(array.indices) != array.shape[0]:
        return array.todense()
    return array


def first_inputs(case: Case) -> Arrays:
    arrays = {name: read(case, f"in.{name}") for name in case["inputs"]}
    arrays.update({name: in_place(arrays[name]) for name in (*case["in_place"], *case["mutated"])})
    return arrays


def with_symbol(case: Case, arrays: Arrays, step: int, engine: str) -> list[Any]:
    variables = {name: sym.var(name) for name in arrays}
    out = {"out": [variables[name] for name in case["in_place"]]} if case["in_place"] else {}
    node = getattr(sym, op_name(case))(*variables.values(), **attributes(case, step), **out)
    assert node.list_auxiliary_states() == [name for name in arrays if name in case["mutated"]]
    executor = node.bind(so.cpu(), args=arrays, aux_states=arrays, engine=engine)
    return list(executor.forward())


def with_nd(case: Case, arrays: Arrays, step: int) -> list[Any]:
    out = [arrays[name] for name in case["in_place"]]
    result = getattr(so.nd, op_name(case))(
        *arrays.values(), out=out if len(out) > 1 else out[0] if out else None, **attributes(case, step)
    )
    return result if isinstance(result, list) else [result]


def results(case: Case, way: str) -> Arrays:
    """All that a case gives, by the names that the vectors have for it: out.0@step, out.0, state.mom."""
    arrays = first_inputs(case)
    found: Arrays = {}
    for step in range(case["steps"]):
        fresh = {name: read(case, f"in.{name}@{step}") for name in arrays} if step else {}
        arrays.update({name: array for name, array in fresh.items() if array is not None})
        before = {name: dense(array).copy() for name, array in arrays.items()}
        outputs = with_nd(case, arrays, step) if way == "nd" else with_symbol(case, arrays, step, way)
        last = step == case["steps"] - 1
        found |= {f"out.{k}" + f"@{step}" * (not last): dense(x).copy() for k, x in enumerate(outputs)}
        for name in set(arrays) - {*case["in_place"], *case["mutated"]}:
            np.testing.assert_array_equal(dense(arrays[name]), before[name], f"{name} was written")
    return found | {f"state.{name}": dense(arrays[name]) for name in case["mutated"]}


def wrong_states(case: Case) -> set[str]:
    """States that MXNet computes wrongly.

    MXNet 1's NAG makes the momentum from the weight that it has just overwritten; phase 2 of LAMB on a master copy
    never writes that.
    """
    nag = case["system"] == "mxnet1" and case["op"] in ("nag_mom_update", "mp_nag_mom_update")
    if nag and case["in_place"] and case["attrs"].get("wd"):
        return {"state.mom"} if case["steps"] == 1 else {f"state.{name}" for name in case["mutated"]}
    return {"state.weight32"} if case["op"] == "mp_lamb_update_phase2" else set()


def tolerance(case: Case, name: str, dtype: Any) -> dict[str, Any]:
    """The case's own; but beside 16-bit weights, float32 states are exact to float32, except that MXNet rounds the
    gradient of LAMB and LANS to 16 bits."""
    exact = (
        name.startswith("state.")
        and dtype == np.float32
        and not {"lamb", "lans"} & set(case["op"].split("_"))
    )
    return {"rtol": 2e-5, "atol": 2e-6} if exact else dict(case["tolerance"])


@pytest.mark.parametrize("way", ["reference", "native", "nd"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_equals_mxnet(case: Case, way: str) -> None:
    found = results(case, way)
    wrong = wrong_states(case)
    if wrong and case["steps"] > 1:  # later steps start from the wrong states
        found = {name: value for name, value in found.items() if name == "out.0@0" or name in wrong}
    for name, value in found.items():
        theirs = read(case, name)
        if theirs is None:  # a new state that is no output in MXNet
            assert not case["in_place"] and case["op"] == "reset_arrays"
            continue
        there = dense(theirs)
        assert value.shape == there.shape
        assert value.dtype == there.dtype or case["op"] in FLOAT32_RESULT
        near = tolerance(case, name, there.dtype)
        value, there = value.astype(float), there.astype(float)
        if name in wrong:
            assert not np.allclose(value, there, **near), f"MXNet's {name} is right after all"
        else:
            np.testing.assert_allclose(value, there, **near, equal_nan=True, err_msg=name)

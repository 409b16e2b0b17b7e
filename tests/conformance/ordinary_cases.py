"""Cases of ops that update nothing, one op each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphs import Case, random
from update_cases import DTYPES, SHAPE, Known, find

from symopt import sym
from symopt.opdef import OpDef, all_ops

NUMBERS = {
    "scalar": 0.75,
    "a_min": -0.75,
    "a_max": 1.25,
    "scale": 0.5,
    "eta": 0.5,
    "eps": 2**-10,
    "rescale_grad": 0.5,
}


def ordinary_cases(known: Known, version: int) -> Iterator[Case]:
    """Every op that updates nothing, on numbers of either sign and on positive ones."""
    for op in all_ops():
        name = op.mxnet or op.name
        if op.is_update or name not in known or find(name, version) is not op:
            continue
        for setting, attrs in _settings(op, known[name]).items():
            for dtype in DTYPES if name != "multi_lars" else ("float32",):
                yield _case(op, name, setting, attrs, dtype)


def _settings(op: OpDef, known: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    numbers: dict[str, Any] = {n: NUMBERS[n] for n in op.numeric if n in known}
    if "dtype" in op.attrs:
        return {t: {"dtype": t} for t in DTYPES}
    if "axis" in op.attrs:
        rows: dict[str, Any] = {"axis": 1}
        return {"everything": {}, "rows": rows, "rows kept": {**rows, "keepdims": True}}
    if op.count in op.attrs:
        numbers[op.count] = 2
    return {"signed": numbers, "positive": numbers}


def _case(op: OpDef, name: str, setting: str, attrs: dict[str, Any], dtype: str) -> Case:
    names = [f"x{k}" for k in range(2 if op.is_variadic else len(op.inputs))]
    graph = getattr(sym, op.name)(*map(sym.var, names), name="u", **attrs)
    shape = (4,) if name == "multi_lars" else SHAPE
    arrays = {n: random(f"{name}{n}", shape, dtype) for n in names}
    if setting != "signed":
        arrays = {n: abs(x) for n, x in arrays.items()}
    return Case(name, setting, dtype, [graph], arrays, [{}], {})

"""What MXNet 1.9.1 and 2.0 refuse: symopt refuses it too, or can do it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import SymoptError
from symopt.jsonread import find_op
from symopt.sparse import RowSparseArray

FOLDER = Path(__file__).parent / "golden"
ERRORS = {
    f"{system}-{error['what']}": (system, error)
    for system in ("mxnet1", "mxnet2")
    for error in json.loads((FOLDER / f"{system}.json").read_text())["errors"]
}

# Refused by MXNet for want of a kernel, or by a limit of its own.
POSSIBLE_HERE = {
    "ftml beta1 out of range", "dense grad in sparse adagrad", "wd in sparse adagrad", "dense grad in group adagrad",
    "sparse kernel not in place", "mixed state stypes adam", "row_sparse weight with missing rows",
    "multi without out=", "mp lamb phase1 needs float16",
}  # fmt: skip


def array(shape: tuple[int, ...] = (4, 3), dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


def rows(count: int) -> RowSparseArray:
    return RowSparseArray(array((count, 3)), np.arange(count), (4, 3))


# The inputs of a case where they are not ones of one shape and dtype.
INPUTS: dict[str, dict[str, Any]] = {
    "shape mismatch": {"grad": array((3, 4))},
    "broadcastable shape": {"grad": array((1, 3))},
    "dtype mismatch": {"grad": array(dtype="float64")},
    "integer dtype": {"weight": array(dtype="int32"), "grad": array(dtype="int32")},
    "too few inputs": {"grad": None},
    "wd in sparse adagrad": {"grad": rows(2)},
    "group adagrad history rows differ": {"grad": rows(2), "history": array((3, 1))},
    "sparse kernel not in place": {"grad": rows(2)},
    "row_sparse weight with missing rows": {"weight": rows(2), "grad": rows(2)},
    "mixed state stypes adam": {"weight": rows(4), "grad": rows(2), "mean": rows(4)},
    "adam std, row_sparse zero states": {"weight": rows(4), "grad": rows(2), "mean": rows(0), "var": rows(0)},
    "empty row_sparse grad, group adagrad": {"grad": rows(0)},
    "mp op with float16 master": {
        "weight": array(dtype="float16"), "grad": array(dtype="float16"), "weight32": array(dtype="float16"),
    },
}  # fmt: skip


def call(system: str, error: dict[str, Any]) -> Any:
    """The op on ones, or on what INPUTS has for the case, with attributes as strings."""
    op = find_op(error["op"], 10901 if system == "mxnet1" else 20000)
    if op.is_variadic:
        return getattr(so.nd, op.name)(
            *[array() for _ in range(2 * int(error["attrs"]["num_weights"]))], **error["attrs"]
        )
    inputs = {i.name: array((4, 1)) if i.kind == "row_state" else array() for i in op.inputs}
    given = {k: v for k, v in (inputs | INPUTS.get(error["what"], {})).items() if v is not None}
    return getattr(so.nd, op.name)(**given, **error["attrs"])


@pytest.mark.parametrize("key", ERRORS)
def test_refusals(key: str) -> None:
    system, error = ERRORS[key]
    if error["raises"] and error["what"] not in POSSIBLE_HERE:
        with pytest.raises(SymoptError):
            call(system, error)
    else:
        assert np.isfinite(call(system, error)).all()

"""KVStore against what MXNet 1.9.1's does with the same calls: `mxnet_kvstore.py` made golden/kvstore.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.sparse import RowSparseArray

CASES = json.loads((Path(__file__).parent / "golden" / "kvstore.json").read_text())["cases"]


def array(told: Any) -> Any:
    if isinstance(told, list):
        return [array(each) for each in told]
    if "dense" in told:
        made = np.array(told["dense"], np.float32)
        return so.sparse.row_sparse_array(made) if "as" in told else made
    rows = np.array(told["rows"], np.float32).reshape(-1, *told["shape"][1:])
    return RowSparseArray(rows, np.array(told["ids"], np.int64), told["shape"])


def ids(told: list[Any]) -> Any:
    return (
        [np.array(each) for each in told] if told and isinstance(told[0], list) else np.array(told, np.int64)
    )


def twice(key: Any, given: Any, stored: Any) -> None:
    if isinstance(stored, RowSparseArray):
        stored.data[given.indices] += given.data * 2
    else:
        stored += given * 2


def call(store: so.distributed.KVStore, method: str, told: dict[str, Any]) -> Any:
    """Make the call; what it wrote to."""
    if method == "set_optimizer":
        return store.set_optimizer(so.optimizer.create(told["name"], **told["options"]))
    if method == "_set_updater":
        return store.set_updater(twice)
    given = told | {name: array(told[name]) for name in ("value", "out") if name in told}
    if "row_ids" in given:
        given["row_ids"] = ids(given["row_ids"])
    getattr(store, method)(**given)
    return given.get("out", given["value"] if method == "pushpull" else None)


def check(found: Any, told: Any, rtol: float) -> None:
    if isinstance(told, list):
        assert len(found) == len(told)
        for one, other in zip(found, told, strict=True):
            check(one, other, rtol)
    elif "dense" in told:
        np.testing.assert_allclose(found, told["dense"], rtol=rtol)
    else:
        assert isinstance(found, RowSparseArray)
        np.testing.assert_array_equal(found.indices, told["ids"])
        np.testing.assert_allclose(found.data, np.reshape(told["rows"], found.data.shape), rtol=rtol)


@pytest.mark.parametrize("n_shards", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_calls_do_what_mxnets_do(case: dict[str, Any], n_shards: int) -> None:
    rtol = 0.0  # sums of few small numbers are exact; updates are to the last digits
    with so.distributed.Cluster(n_shards) as cluster:
        store = so.distributed.create(cluster=cluster)
        for method, told, written in case["calls"]:
            if written == "refused":
                with pytest.raises(so.SymoptError):
                    call(store, method, told)
                continue
            rtol = 1e-6 if method == "set_optimizer" else rtol
            found = call(store, method, told)
            if written is not None:
                check(found, written, rtol)
        if rtol:
            assert all(store.keys.values())

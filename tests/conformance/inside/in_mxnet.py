"""Runs in an environment of MXNet: what ops it has, and what it makes of graphs in files.

    python in_mxnet.py ops OPS.json
    python in_mxnet.py run FOLDER CASE...

A case is CASE.json, with the text of a graph for each step, and CASE.npz, with the first value of every variable
(`w`) and the values replaced before later steps (`g@1`). What comes out is CASE.out.npz and CASE.out.json. The name
of each case is printed before it begins: MXNet may die in it, and whoever started this goes on with the next.
"""

from __future__ import annotations

import ctypes
import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet._ctypes.ndarray import _imperative_invoke  # noqa: E402

Arrays = dict[str, Any]


def list_ops(path: str) -> None:
    """Names and types of everything that each update op takes, as MXNet itself tells them."""
    found = {}
    for name in mx.operator.get_all_registered_operators():
        described = mx.operator.get_operator_arguments(name)
        found[name] = list(zip(described.names, described.types))
    Path(path).write_text(json.dumps({"version": mx.__version__, "ops": found}))


def read_arrays(path: Path) -> Arrays:
    """Arrays as MXNet's; row_sparse ones are stored as name.data and name.indices, of the shape name.shape."""
    stored, arrays = np.load(path), {}
    for key in stored.files:
        if key.endswith(".data"):
            name = key[: -len(".data")]
            data, indices, shape = (stored[f"{name}.{part}"] for part in ("data", "indices", "shape"))
            parts = (mx.nd.array(data, dtype=data.dtype), mx.nd.array(indices, dtype="int64"))
            arrays[name] = mx.nd.sparse.row_sparse_array(parts, shape=tuple(shape), dtype=data.dtype)
        elif not key.endswith((".indices", ".shape")):
            arrays[key] = mx.nd.array(stored[key], dtype=stored[key].dtype)
    return arrays


class Bound:
    """A graph executed as MXNet executes symbols. Executors of MXNet 2 hold copies: what is in them counts."""

    def __init__(self, text: str, arrays: Arrays) -> None:
        self.symbol = load(text)
        args = {n: arrays[n] for n in self.symbol.list_arguments()}
        states = {n: arrays[n] for n in self.symbol.list_auxiliary_states()}
        bind = getattr(self.symbol, "bind", None) or self.symbol._bind
        self.executor = bind(mx.cpu(), args=args, aux_states=states, grad_req="null")

    def step(self, arrays: Arrays) -> list[Any]:
        held = {**self.executor.arg_dict, **self.executor.aux_dict}
        for name, array in held.items():
            if array is not arrays[name]:
                array[:] = arrays[name]
        outputs = [x.copy() for x in self.executor.forward()]
        mx.nd.waitall()
        arrays.update(held)
        return outputs


class Walked:
    """A graph executed op by op with MXNet's imperative calls: the same kernels. New weights overwrite old ones, or
    where the file says so, copies of them, since sparse kernels work in place only."""

    def __init__(self, text: str, case: dict[str, Any]) -> None:
        self.graph = json.loads(text)
        self.weights, self.in_place = case["weights"], case["mode"] == "walk in place"

    def step(self, arrays: Arrays) -> list[Any]:
        values: list[list[Any]] = []
        for node in self.graph["nodes"]:
            if node["op"] == "null":
                values.append([arrays[node["name"]]])
                continue
            inputs = [values[i][k] for i, k, *_ in node["inputs"]]
            out = None
            if positions := self.weights.get(node["name"], []):
                for p in positions:
                    inputs[p] = inputs[p] if self.in_place else inputs[p].copy()
                out = [inputs[p] for p in positions]
            values.append(invoke(node["op"], inputs, node.get("attrs", {}), out))
        mx.nd.waitall()
        return [values[i][k].copy() for i, k, *_ in self.graph["heads"]]


def load(text: str) -> Any:
    return (mx.sym.load_json if hasattr(mx.sym, "load_json") else mx.sym.fromjson)(text)


def invoke(op: str, inputs: list[Any], attrs: dict[str, str], out: list[Any] | None) -> list[Any]:
    """One call of an op by its registered name, with attributes as the texts of the file."""
    handle = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.NNGetOpHandle(op.encode(), ctypes.byref(handle)))
    given = {k: v for k, v in attrs.items() if not k.startswith("__")}
    result = _imperative_invoke(handle.value, inputs, list(given), list(given.values()), out, False, False)
    return list(result) if isinstance(result, (list, tuple)) else [] if result is None else [result]


def run(folder: Path, name: str) -> dict[str, Any]:
    """Results of a case into its files; what MXNet refused is told as `error`."""
    case = json.loads((folder / f"{name}.json").read_text())
    told: dict[str, Any] = {}
    results: dict[str, Any] = {}
    arrays = read_arrays(folder / f"{name}.npz")
    fresh = {key: arrays.pop(key) for key in list(arrays) if "@" in key}
    runner: Any = None
    try:
        symbol = load(case["graphs"][0])
        told |= {"arguments": symbol.list_arguments(), "states": symbol.list_auxiliary_states(),
                 "outputs": symbol.list_outputs(), "text": symbol.tojson()}  # fmt: skip
        for step, text in enumerate(case["graphs"]):
            arrays.update({k.split("@")[0]: v for k, v in fresh.items() if k.endswith(f"@{step}")})
            if step == 0 or text != case["graphs"][step - 1]:
                runner = Bound(text, arrays) if case["mode"] == "bind" else Walked(text, case)
            outputs = runner.step(arrays)
            results.update({f"out.{k}@{step}": x.asnumpy() for k, x in enumerate(outputs)})
            arrays.update({variable: outputs[int(k)] for k, variable in case["stores"].items()})
        results.update({f"var.{n}": x.asnumpy() for n, x in arrays.items()})
    except (mx.base.MXNetError, ValueError, RuntimeError, TypeError, AttributeError, KeyError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told["error"] = next((x for x in lines if "Error" in x or "Check failed" in x), (lines or ["?"])[-1])
    np.savez(folder / f"{name}.out.npz", **results)
    return told


if __name__ == "__main__":
    if sys.argv[1] == "ops":
        list_ops(sys.argv[2])
    else:
        work = Path(sys.argv[2])
        for case_name in Path(sys.argv[3]).read_text().split():
            print(case_name, flush=True)
            (work / f"{case_name}.out.json").write_text(json.dumps(run(work, case_name)))

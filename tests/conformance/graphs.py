"""Cases: graphs of symopt's with their arrays, written as files for MXNet, and run here."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import symopt as so
from symopt.forms import concrete
from symopt.jsonread import find_op
from symopt.sparse import RowSparseArray
from symopt.symbol import Symbol

Arrays = dict[str, Any]


class Case(NamedTuple):
    """A graph for each step, the arrays it starts with, and those that are replaced at each step.

    `row` and `setting` say where in the table it belongs. `stores`: which variable each head is the new value of.
    `full_rows`: arrays that MXNet gets as row_sparse ones that list every row. `exact`: all numbers are the same in
    float32. `mode`: "bind", "walk" (op by op, the old weights kept) or "walk in place".
    """

    row: str
    setting: str
    dtype: str
    graphs: list[Symbol]
    first: Arrays
    fresh: list[Arrays]
    stores: dict[int, str]
    exact: bool = True
    full_rows: frozenset[str] = frozenset()
    mode: str = "bind"

    @property
    def name(self) -> str:
        text = f"{self.row} {self.setting} {self.dtype}"
        return "".join(c if c.isalnum() or c in "_-" else "-" for c in text)


def random(key: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    """Numbers between 0.5 and 2 of either sign: nothing near zero, where a sign or a clip could go either way."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return np.asarray(rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def write(case: Case, folder: Path) -> None:
    """The files of a case."""
    arrays = case.first | case.fresh[0]
    for step in range(1, len(case.fresh)):
        arrays |= {f"{name}@{step}": array for name, array in case.fresh[step].items()}
    stored: Arrays = {}
    for name, array in arrays.items():
        if name in case.full_rows:
            array = RowSparseArray(array, np.arange(len(array)), array.shape)
        if isinstance(array, RowSparseArray):
            parts = {"data": array.data, "indices": array.indices, "shape": np.array(array.shape)}
            stored |= {f"{name}.{part}": x for part, x in parts.items()}
        else:
            stored[name] = array
    np.savez(folder / f"{case.name}.npz", **stored)
    texts = [graph.tojson() for graph in case.graphs]
    record = {
        "graphs": texts,
        "stores": case.stores,
        "mode": case.mode,
        "weights": weight_positions(texts[0]),
    }
    (folder / f"{case.name}.json").write_text(json.dumps(record))


def weight_positions(text: str) -> dict[str, list[int]]:
    """By the name of each node that gives new weights: which of its inputs they are the new values of."""
    graph = json.loads(text)
    version = graph["attrs"]["mxnet_version"][1]
    found = {}
    for node in graph["nodes"]:
        op = None if node["op"] == "null" else find_op(node["op"], version)
        if op is not None and op.is_update and op.gives == "weight":
            op = concrete(op, {}, len(node["inputs"]))
            found[node["name"]] = [part.inputs[0] for part in op.parts] or [0]
    return found


def run_here(case: Case) -> Arrays:
    """Every head of every step (`out.0@2`), and every variable in the end (`var.mean`)."""
    arrays = {n: x if isinstance(x, RowSparseArray) else x.copy() for n, x in case.first.items()}
    results: Arrays = {}
    for step, graph in enumerate(case.graphs):
        arrays |= case.fresh[step]
        executor = graph.bind(so.cpu(), args=arrays, aux_states=arrays)
        results |= {f"out.{k}@{step}": np.array(x) for k, x in enumerate(executor.forward())}
    return results | {f"var.{n}": x for n, x in arrays.items() if not isinstance(x, RowSparseArray)}

"""A formula as a function of numbers: what an op does to one element, asked at chosen points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SymoptError
from ..expr import Extent, Node, toposort
from ..opdef import OpDef
from ..prims import CAST, PRIMS, REDUCTIONS
from ..trace import trace

Numbers = npt.NDArray[np.float64]
Settings = tuple[tuple[str, Any], ...]


class Probe:
    """Evaluates a formula in float64 where every array has one element: a sum over it is the element itself."""

    def __init__(self, outputs: Mapping[str, Node]) -> None:
        self.outputs = dict(outputs)
        self.order = toposort(self.outputs.values())
        self.reads = {str(n.attrs["name"]) for n in self.order if n.op == "scalar"}

    def __call__(self, at: Mapping[str, Any]) -> dict[str, Numbers]:
        """Every output, for columns of inputs and attributes by name."""
        made: dict[int, Any] = {}
        with np.errstate(all="ignore"):
            for node in self.order:
                made[id(node)] = _value(node, at, [made[id(x)] for x in node.inputs])
        return {name: np.asarray(made[id(node)], np.float64) for name, node in self.outputs.items()}


def _value(node: Node, at: Mapping[str, Any], operands: list[Any]) -> Any:
    if node.op == "const":
        return np.float64(node.attrs["value"])
    if node.op == "scalar":
        name = str(node.attrs["name"])
        return 1.0 if name.startswith("count:") else np.asarray(at[name], np.float64)
    if node.op in ("index", "column"):
        return 0.0
    if node.op == CAST or node.op in REDUCTIONS:
        return operands[0]
    function: Callable[..., Any] = PRIMS[node.op].numpy
    return function(*operands)


@cache
def probe_of(op: OpDef, structural: Settings, switches: Settings) -> Probe | None:
    """The probe of an op with these flags; None if its formula needs whole arrays, as those on matrices do."""
    if op.is_matrix:
        return None
    inputs = [(i.name, "float64", Extent.HOST) for i in op.inputs]
    try:
        _, outputs = trace(op, inputs, dict(structural), dict(switches), {})
    except SymoptError:
        return None
    known = {*PRIMS, *REDUCTIONS, CAST, "const", "scalar", "index", "column"}
    if any(n.op not in known for n in toposort(outputs.values())):
        return None
    return Probe(outputs)

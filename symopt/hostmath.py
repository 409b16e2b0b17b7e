"""Arithmetic on numbers of the host: float64, once per step, for one tensor or for a column of tensors.

Every engine calls this module, so none can disagree on a number. A column is a NumPy array with one number for each
instance of a kernel; a float stands for a column of equal numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .expr import Node, toposort
from .prims import CAST, PRIMS

Column = float | bool | npt.NDArray[Any]


def _div(x: float, y: float) -> float:
    if y != 0:
        return x / y
    return math.nan if x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1, y)


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _fmod(x: float, y: float) -> float:
    return math.nan if y == 0 or math.isinf(x) else math.fmod(x, y)


# Python's own operators are IEEE's, but for division by zero and the like, where they raise.
_SCALAR: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _div, "fmod": _fmod,
    "neg": operator.neg, "abs": abs, "sqrt": _sqrt, "lt": operator.lt, "le": operator.le, "eq": operator.eq,
    "floor": lambda x: float(np.floor(x)), "ceil": lambda x: float(np.ceil(x)),
    "trunc": lambda x: float(np.trunc(x)), "rint": lambda x: float(np.rint(x)),
    "ne": operator.ne, "and": lambda a, b: a and b, "or": lambda a, b: a or b, "where": lambda c, x, y: x if c else y,
}  # fmt: skip


def _apply_columns(op: str, operands: Sequence[Column]) -> Column:
    """One primitive on columns; numbers of the operating system's library are made one by one, as for floats."""
    prim = PRIMS[op]
    if prim.host is None:
        with np.errstate(all="ignore"):
            return prim.numpy(*operands)  # type: ignore[no-any-return]
    columns = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in operands))
    return np.array([prim.host(*map(float, row)) for row in zip(*columns, strict=True)])


class HostProgram:
    """A compiled list of host expressions: call it with the values of the leaves, get the values of the roots."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.leaves: list[tuple[int, Any]] = []
        self.steps: list[tuple[Callable[..., Any], str, Callable[[list[Any]], Sequence[Any]], int]] = []
        slots: dict[int, int] = {}
        self.initial: list[Any] = []
        for node in toposort(roots):
            if node.op == CAST:
                slots[id(node)] = slots[id(node.inputs[0])]  # whoever stores the number rounds it
                continue
            slot = slots[id(node)] = len(self.initial)
            self.initial.append(node.attrs["value"] if node.op == "const" else 0.0)
            if node.op == "scalar":
                self.leaves.append((slot, node.attrs["name"]))
            elif node.op != "const":
                scalar = PRIMS[node.op].host or _SCALAR[node.op]
                self.steps.append((scalar, node.op, _taker([slots[id(x)] for x in node.inputs]), slot))
        self.roots = [slots[id(root)] for root in roots]

    def __call__(self, values: Mapping[Any, Column]) -> list[Any]:
        memory = self.initial.copy()
        has_columns = False
        for slot, name in self.leaves:
            value = memory[slot] = values[name]
            has_columns = has_columns or type(value) is np.ndarray
        for scalar, op, take, slot in self.steps:
            inputs = take(memory)
            is_column = has_columns and any(type(x) is np.ndarray for x in inputs)
            memory[slot] = _apply_columns(op, inputs) if is_column else scalar(*inputs)
        return [memory[slot] for slot in self.roots]


def _taker(slots: list[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """What takes the values of these slots out of a list."""
    return (
        operator.itemgetter(*slots) if len(slots) > 1 else operator.itemgetter(slice(slots[0], slots[0] + 1))
    )


def constant_value(node: Node) -> float | None:
    """The number a host expression always has, or None if it depends on a leaf."""
    order = toposort([node])
    if any(n.op not in PRIMS and n.op not in ("const", CAST) for n in order):
        return None
    return float(HostProgram([node])({})[0])

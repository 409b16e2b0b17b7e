"""Arithmetic on numbers of the host: float64, once per step, for one tensor or for a column of tensors.

Every engine calls this module, so none can disagree on a number. A column is a NumPy array with one number for each
instance of a kernel; a float stands for a column of equal numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .expr import Node, toposort
from .prims import CAST, PRIMS

Column = float | bool | npt.NDArray[Any]


def _div(x: float, y: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.float64(x) / np.float64(y))


def _sqrt(x: float) -> float:
    return float(np.sqrt(x)) if x >= 0 else float("nan")


def _fmod(x: float, y: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.fmod(x, y))


# Python's own operators where they are IEEE's; NumPy's where Python would raise.
_SCALAR: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _div, "fmod": _fmod,
    "neg": operator.neg, "abs": abs, "sqrt": _sqrt, "lt": operator.lt, "le": operator.le, "eq": operator.eq,
    "ne": operator.ne, "and": lambda a, b: a and b, "or": lambda a, b: a or b, "where": lambda c, x, y: x if c else y,
}  # fmt: skip


def apply(op: str, operands: Sequence[Column]) -> Column:
    """One primitive on floats or columns."""
    prim = PRIMS[op]
    scalar = prim.host or _SCALAR[op]
    if not any(isinstance(x, np.ndarray) for x in operands):
        return scalar(*operands)
    if prim.host is None:
        with np.errstate(all="ignore"):
            return prim.numpy(*operands)  # type: ignore[no-any-return]
    columns = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in operands))
    return np.array([scalar(*map(float, row)) for row in zip(*columns, strict=True)])


class HostProgram:
    """A compiled list of host expressions: call it with the values of the leaves, get the values of the roots."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.names: list[Any] = []
        self.steps: list[tuple[str, tuple[int, ...], int]] = []
        self.constants: list[tuple[int, float]] = []
        slots: dict[int, int] = {}
        leaves: list[tuple[int, Any]] = []
        for node in toposort(roots):
            slot = slots[id(node)] = len(slots)  # a cast gives its own up again
            if node.op == "const":
                self.constants.append((slot, node.attrs["value"]))
            elif node.op == "scalar":
                leaves.append((slot, node.attrs["name"]))
            elif node.op == CAST:
                slots[id(node)] = slots[id(node.inputs[0])]  # the table of scalars rounds when it stores
            else:
                self.steps.append((node.op, tuple(slots[id(x)] for x in node.inputs), slot))
        self.leaves = leaves
        self.roots = [slots[id(root)] for root in roots]
        self.size = max(slots.values(), default=-1) + 1

    def __call__(self, values: Mapping[Any, Column]) -> list[Column]:
        memory: list[Any] = [0.0] * self.size
        for slot, number in self.constants:
            memory[slot] = number
        for slot, name in self.leaves:
            memory[slot] = values[name]
        for op, operands, slot in self.steps:
            memory[slot] = apply(op, [memory[k] for k in operands])
        return [memory[slot] for slot in self.roots]


def constant_value(node: Node) -> float | None:
    """The number a host expression always has, or None if it depends on a leaf."""
    order = toposort([node])
    if any(n.op not in PRIMS and n.op not in ("const", CAST) for n in order):
        return None
    return float(HostProgram([node])({})[0])

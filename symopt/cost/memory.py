"""What a step keeps in memory: the bytes of every variable, by what it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ..dtypes import ITEMSIZE
from ..expr import PICK, Node, origin
from ..forms import op_of
from ..opdef import OpDef
from ..passes.calls import size_of
from ..passes.traffic import INDEX
from ..planned import Planned

Role = Literal["weight", "gradient", "state", "kept", "read", "number"]
ROLES: dict[Role, str] = {
    "weight": "weights",
    "gradient": "gradients",
    "state": "optimizer states",
    "kept": "other arrays that the step writes",
    "read": "other arrays that it reads",
    "number": "numbers of the host",
}


@dataclass(frozen=True, slots=True)
class VariableCost:
    """One variable. `bytes`: the nbytes of its array; of a row_sparse one, those of the rows listed and their numbers.
    A number of the host has no array: 0."""

    name: str
    role: Role
    shape: tuple[int, ...]
    dtype: str
    stype: str
    bytes: int


def variables(planned: Planned) -> list[VariableCost]:
    """Every variable of the graph, in order of first use."""
    roles = _roles(planned)
    types, found = planned.types, []
    for node in types.order:
        if node.is_variable:
            shape = types.shape(node) or ()
            dtype, stype = types.dtype(node) or "float32", types.stype(node) or "default"
            n_bytes = size_of(shape) * ITEMSIZE[dtype]
            role = roles[node.name]
            if role == "number":
                dtype, n_bytes = "float64", 0
            elif stype == "row_sparse" and node.name in planned.listed:
                entries = planned.listed[node.name]
                n_bytes = entries * (size_of(shape[1:]) * ITEMSIZE[dtype] + INDEX)
            found.append(VariableCost(node.name, role, shape, dtype, stype, n_bytes))
    return found


def _roles(planned: Planned) -> Mapping[str, Role]:
    """What each variable is for. One that is several things is what it is first in: state, weight, gradient, kept."""
    types = planned.types
    first: dict[Role, set[str]] = {"state": set(), "weight": set(), "gradient": set(), "kept": set()}
    for node in types.order:
        if not node.inputs or node.op == PICK:
            continue
        first["kept"].update(out.name for out in node.attrs.get("__out__", ()))
        op = op_of(node)
        for role, given in _taken(op, node):
            first[role].update(_variables_in(given, planned) if role == "gradient" else _name(given))
    found: dict[str, Role] = {}
    for node in types.order:
        if node.is_variable:
            role = next((role for role, names in first.items() if node.name in names), "read")
            found[node.name] = "number" if types.is_host(node) else role
    return found


def _taken(op: OpDef, node: Node) -> Iterator[tuple[Role, Node]]:
    """What an op takes its inputs for, where that is a weight, a gradient or a state."""
    states = set(op.state_positions)
    weights = {part.inputs[0] for part in op.parts} or {0}
    for k, spec in enumerate(op.inputs):
        if k in states:
            yield "state", node.inputs[k]
        elif op.is_update and k in weights:
            yield "weight", node.inputs[k]
        elif op.is_update and spec.kind in ("tensor", "tensors"):
            yield "gradient", node.inputs[k]


def _name(node: Node) -> Iterator[str]:
    if node.is_variable:
        yield node.name


def _variables_in(gradient: Node, planned: Planned) -> Iterator[str]:
    """The variables of a gradient's shape that it is made of by ordinary ops: clipped, scaled, averaged."""
    shape = planned.types.shape(gradient)
    seen: set[int] = set()
    stack = [gradient]
    while stack:
        node = origin(stack.pop())[0]
        if id(node) in seen or planned.types.shape(node) != shape:
            continue
        seen.add(id(node))
        if node.is_variable:
            yield node.name
        elif not op_of(node).is_update:
            stack.extend(node.inputs)

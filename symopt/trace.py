"""Run a formula once on placeholders and keep what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .build import Builder
from .dtypes import COMPUTE, component
from .errors import AttributeValueError, GraphError
from .expr import Extent, Node, Type
from .opdef import OpDef
from .prims import PAIR
from .tensor import Tensor, Updated


def trace(
    op: OpDef,
    inputs: list[tuple[str, str, Extent]],
    structural: Mapping[str, Any],
    switches: Mapping[str, bool],
    device: Mapping[str, tuple[str, Extent]],
    tall: bool = False,
) -> tuple[Builder, dict[str, Node]]:
    """The primitives of an op's formula: a name for each output, and the node that computes it, complex or not.

    `inputs`: (name, stored dtype, extent) by position; an extent of HOST makes the input a number. `structural`:
    the attributes that decide what is computed; `switches`: whether a clip or bound with a known sign is on;
    `device`: attributes given as one-element arrays, read like further inputs; `tall`: the weight's matrices have more
    rows than columns.
    """
    builder = Builder(_compute_dtype(op, inputs), matrices=op.is_matrix, tall=tall)
    operands = [
        _load(builder, i, name, _load_dtype(op, builder, dtype, extent), Type(dtype, extent, op.grid(name)))
        for i, (name, dtype, extent) in enumerate(inputs)
    ]
    keywords: dict[str, Any] = dict(structural)
    for k, (name, type_) in enumerate(device.items()):
        keywords[name] = _load(builder, len(inputs) + k, name, builder.compute, Type(*type_))
    for name in op.numeric:
        if name not in keywords:
            on: dict[str, Any] = {"on": switches[name]} if name in switches else {}
            keywords[name] = Tensor(builder, builder.leaf("scalar", "float64", Extent.HOST, name=name, **on))
    accepted = {k: v for k, v in keywords.items() if k in op.keywords}
    try:
        result = op.formula(*operands, **accepted)
    except ValueError as error:
        if isinstance(error, GraphError):
            raise
        raise AttributeValueError(f"{op.name}: {error}") from None
    return builder, _outputs(op, builder, result)


def _compute_dtype(op: OpDef, inputs: list[tuple[str, str, Extent]]) -> str:
    """An update op computes in the weight's dtype, widened, or in its master copy's; any other in its first array's."""
    if op.is_update and inputs:
        return component(COMPUTE[inputs[max(op.master, 0)][1]])
    numeric = [dtype for _, dtype, extent in inputs if extent == Extent.ELEMENT] or [d for _, d, _ in inputs]
    return component(COMPUTE[numeric[0]]) if numeric else "float64"


def _load_dtype(op: OpDef, builder: Builder, dtype: str, extent: Extent) -> str:
    """What an input is rounded to when it is read. Conditions of ordinary ops keep their own dtype."""
    return builder.compute if op.is_update or extent == Extent.TENSOR else component(COMPUTE[dtype])


def _load(builder: Builder, index: int, name: str, as_: str, stored: Type) -> Tensor:
    if stored.extent == Extent.HOST:
        return Tensor(builder, builder.leaf("scalar", "float64", Extent.HOST, name=name))
    node = builder.load(*stored, index=index, name=name)
    return Tensor(builder, *(builder.cast(x, as_) for x in (node.inputs if node.op == PAIR else (node,))))


def _outputs(op: OpDef, builder: Builder, result: Any) -> dict[str, Node]:
    if isinstance(result, Updated):
        if set(result.states) != set(op.states):
            raise GraphError(f"{op.name}: the formula must update exactly its states {', '.join(op.states)}")
        weight = {} if result.weight is None else {"output": result.weight}
        found = {**weight, **{s: result.states[s] for s in op.states}}
    else:
        found = {"output": result}
        if op.states:
            raise GraphError(f"{op.name}: an update op returns updated(weight, {', '.join(op.states)})")
    nodes = {k: _node(builder, v) for k, v in found.items()}
    return {k: builder.on_grid(node, op.grid(k), f"{op.name}: {k}") for k, node in nodes.items()}


def _node(builder: Builder, value: Any) -> Node:
    if not isinstance(value, Tensor):
        return builder.const(value)
    return value.node if value.imag is None else builder.pair(value.node, value.imag)

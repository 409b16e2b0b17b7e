"""Run a formula once on placeholders and keep what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .build import Builder
from .dtypes import COMPUTE
from .errors import AttributeValueError, GraphError
from .expr import Extent, Node
from .lang import Tensor, Updated
from .opdef import OpDef


def trace(
    op: OpDef,
    inputs: list[tuple[str, str, Extent]],
    structural: Mapping[str, Any],
    switches: Mapping[str, bool],
    device: Mapping[str, tuple[str, Extent]],
) -> tuple[Builder, dict[str, Node]]:
    """The primitives of an op's formula: a name for each output, and the node that computes it.

    `inputs`: (name, stored dtype, extent) by position; an extent of HOST makes the input a number. `structural`:
    the attributes that decide what is computed; `switches`: whether a clip or bound with a known sign is on;
    `device`: attributes given as one-element arrays, read like further inputs.
    """
    numeric = [dtype for _, dtype, extent in inputs if extent == Extent.ELEMENT] or [d for _, d, _ in inputs]
    builder = Builder(COMPUTE[numeric[0]] if numeric else "float64")
    operands = [_load(builder, i, name, dtype, extent) for i, (name, dtype, extent) in enumerate(inputs)]
    keywords: dict[str, Any] = dict(structural)
    for k, (name, (dtype, extent)) in enumerate(device.items()):
        keywords[name] = _load(builder, len(inputs) + k, name, dtype, extent)
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


def _load(builder: Builder, index: int, name: str, dtype: str, extent: Extent) -> Tensor:
    if extent == Extent.HOST:
        return Tensor(builder, builder.leaf("scalar", "float64", extent, name=name))
    node = builder.leaf("load", dtype, extent, index=index, name=name)
    # A one-element array may have another dtype than the arrays: it is rounded to the dtype of the computation.
    return Tensor(builder, builder.cast(node, builder.compute if extent == Extent.TENSOR else COMPUTE[dtype]))


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
    return {k: v.node if isinstance(v, Tensor) else builder.const(v) for k, v in found.items()}

"""One op on given values, as calls of traced bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from ..expr import Extent, Node
from ..grids import WHOLE, shape_on, sizes
from ..opdef import OpDef
from ..shapes import switches
from ..tensor import Tensor
from ..trace import trace
from .ir import DENSE, LIBRARY, REDUCE, STANDARD, Attribute, Body, Call, HostCall, Param, Shape, Source, Value
from .rounding import SALT, SALT_LIMIT
from .stages import Signature, Stage, make_stages

_STAGES: dict[Signature, tuple[Stage, ...]] = {}
_HOST: dict[Signature, Node] = {}


@dataclass(slots=True)
class Operands:
    """An op with the values it is applied to. `given`: attributes that are values; `structural`: those that decide
    what is computed. `tuples`: of one tensor of several, where its attributes are: (tuple attribute, index)."""

    node: Node
    op: OpDef
    inputs: list[Value]
    given: dict[str, Value]
    structural: tuple[tuple[str, Any], ...]
    tuples: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def switches(self) -> tuple[tuple[str, bool], ...]:
        """Whether each clip or bound with a known sign is on."""
        return switches(self.op, self.node, self.given)

    def sources(self, names: tuple[str, ...]) -> tuple[Source, ...]:
        """Where the numbers of a body come from: Symbols, inputs that are numbers, counts, attributes."""
        named: dict[str, Source] = dict(self.given)
        for value, spec in zip(self.inputs, self.op.inputs, strict=True):
            if value.host:
                named[spec.name] = value
        if any(name.startswith("count:") for name in names):
            named.update(_counts(self.inputs[0].shape, self.op.is_matrix))
        if SALT in names:
            named[SALT] = float(crc32(self.inputs[0].name.encode()) % SALT_LIMIT)
        return tuple([named[n] if n in named else self._attribute(n) for n in names])

    def _attribute(self, name: str) -> Attribute:
        attrs = self.node.attrs
        if name in self.tuples:
            key, index = self.tuples[name]
            if key in attrs:
                return Attribute(self.node, key, attrs[key], index)
        return Attribute(self.node, name, attrs[name] if name in attrs else self.op.attrs[name].default)


def host_call(operands: Operands) -> HostCall:
    """The op on numbers of the host."""
    op = operands.op
    specs = tuple((spec.name, "float64", Extent.HOST) for spec in op.inputs)
    switches = operands.switches()
    key = Signature(op, specs, operands.structural, switches, (), (), DENSE, -1)
    if key not in _HOST:
        _HOST[key] = trace(op, list(specs), dict(operands.structural), dict(switches), {})[1]["output"]
    names = (*(spec.name for spec in op.inputs), *op.numeric)
    leaves = dict(zip(names, operands.sources(names), strict=True))
    return HostCall(_HOST[key], leaves, Value(operands.node.name, (), "float64", host=True), operands.node)


def device_calls(
    operands: Operands, outputs: tuple[Value, ...], domain: Shape, mode: str, sparse: int
) -> list[Call]:
    """The op on arrays: a call for each stage of its formula; the last ones make the outputs."""
    op, given = operands.op, operands.given
    specs = tuple(
        [
            (spec.name, v.dtype, _extent(v, spec.kind, op, domain))
            for v, spec in zip(operands.inputs, op.inputs, strict=True)
        ]
    )
    arrays = [v for v in operands.inputs if not v.host] + [v for v in given.values() if not v.host]
    device = tuple([(n, v.dtype, Extent.TENSOR) for n, v in given.items() if not v.host])
    results = tuple(
        [
            Param(n, v.dtype, _result(v, n, op, domain), op.grid(n))
            for n, v in zip(op.outputs, outputs, strict=True)
        ]
    )
    tall = op.is_matrix and domain[-2] > domain[-1]
    key = Signature(op, specs, operands.structural, operands.switches(), device, results, mode, sparse, tall)
    stages = _STAGES.get(key)
    if stages is None:
        stages = _STAGES[key] = make_stages(key)
    calls: list[Call] = []
    for stage in stages:
        body = stage.body
        values = tuple([calls[i].outputs[0] if earlier else arrays[i] for earlier, i in stage.wiring])
        made = tuple([outputs[k] for k in stage.results])
        if not made:
            shape = _between(body, op, domain)
            made = (Value(f"{operands.node.name}.{len(calls)}", shape, body.outputs[0].dtype),)
        over = _run_over(body, domain) if op.is_matrix else domain
        if body.mode == DENSE and not op.is_matrix and not _spans(body):
            over = outputs[0].shape
        calls.append(Call(body, over, values, made, operands.sources(body.scalars), operands.node))
    return calls


def _counts(shape: Shape, matrices: bool) -> dict[str, float]:
    """How many elements there are: what `count:` leaves stand for."""
    if not matrices:
        return {"count:row": float(size_of(shape[1:])), "count:tensor": float(size_of(shape))}
    numbers = zip(("matrices", "column", "row"), sizes(WHOLE, shape), strict=True)
    return {"count:tensor": float(size_of(shape)), **{f"count:{of}": float(n) for of, n in numbers}}


def _between(body: Body, op: OpDef, domain: Shape) -> Shape:
    """The shape of what a stage makes for later ones."""
    if body.mode == REDUCE:
        return (1,)
    return shape_on(body.outputs[0].grid, domain) if op.is_matrix else domain


def _run_over(body: Body, shape: Shape) -> Shape:
    """The domain of a body on matrices: all their rows, one after the other. Those of a library keep them apart."""
    n_matrices, n_rows, n_columns = sizes(WHOLE if body.mode == LIBRARY else body.grid, shape)
    return (n_matrices, n_rows, n_columns) if body.mode == LIBRARY else (n_matrices * n_rows, n_columns)


def _same(data: Tensor) -> Tensor:
    return data


_MOVE = OpDef(_same, name="copy", is_update=False)


def identity(dtype: str, mode: str) -> Body:
    """Moves an array; in STANDARD mode reads a row_sparse one as dense: zero in the rows it does not have."""
    param = ("data", dtype, Extent.ELEMENT)
    output = (Param("output", dtype, Extent.ELEMENT),)
    sparse = 0 if mode == STANDARD else -1
    key = Signature(_MOVE, (param,), (), (), (), output, mode, sparse)
    if key not in _STAGES:
        _STAGES[key] = make_stages(key)
    return _STAGES[key][0].body


def copy_call(source: Value, target: Value, node: Node) -> Call:
    """A call that copies one array into another of the same shape and dtype."""
    return Call(identity(source.dtype, DENSE), target.shape, (source,), (target,), (), node)


def size_of(shape: Shape) -> int:
    """Number of elements."""
    size = 1
    for n in shape:
        size *= n
    return size


def _extent(value: Value, kind: str, op: OpDef, domain: Shape) -> Extent:
    if value.host:
        return Extent.HOST
    if op.is_matrix and kind != "scalar":
        return Extent.ELEMENT  # on a grid of its own
    if kind == "row_state":
        return Extent.ROW
    if kind == "scalar":
        return Extent.TENSOR
    if value.shape == domain:
        return Extent.ELEMENT
    return Extent.TENSOR if size_of(value.shape) == 1 else Extent.ROW


def _result(value: Value, name: str, op: OpDef, domain: Shape) -> Extent:
    if op.is_matrix:
        return Extent.ELEMENT
    if name != "output":
        return (
            Extent.ROW if next(i.kind for i in op.inputs if i.name == name) == "row_state" else Extent.ELEMENT
        )
    if value.base is not None:
        return Extent.TENSOR
    if value.shape == domain:
        return Extent.ELEMENT
    return Extent.TENSOR if size_of(value.shape) == 1 and size_of(domain) != 1 else Extent.ROW


def _spans(body: Body) -> bool:
    """Whether a body runs over elements or rows, not over one number per tensor."""
    return any(p.extent > Extent.TENSOR for p in (*body.params, *body.outputs))

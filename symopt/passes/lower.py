"""Ops to calls. Each distinct signature is traced once; ten thousand nodes of one signature share one body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import StorageError, built_at
from ..expr import PICK, VARIABLE, Extent, Node, origin
from ..infer import Types
from ..opdef import STATE_KINDS, OpDef, get_op
from ..shapes import domain_of, reach, structural
from ..trace import trace
from .ir import DENSE, LISTED, REDUCE, STANDARD, Attribute, Body, Call, HostCall, Lowered, Param, Shape, Source, Value
from .stages import Signature, Stage, make_stages
from .writes import Writes


_STAGES: dict[Signature, tuple[Stage, ...]] = {}
_HOST: dict[Signature, Node] = {}


def lower(roots: Sequence[Node], types: Types) -> Lowered:
    """The calls of a graph, in an order that respects data flow."""
    return _Lowering(roots, types).run()


class _Lowering:
    def __init__(self, roots: Sequence[Node], types: Types) -> None:
        self.roots = roots
        self.types = types
        self.result = Lowered([], [], {}, {}, {}, ())
        self.writes = Writes()
        self.dense: dict[int, Value] = {}

    def run(self) -> Lowered:
        for node in self.types.order:
            if node.op == VARIABLE:
                self._variable(node)
            elif node.op != PICK:
                self._op(node)
        self.result.heads = tuple(self.value(root) for root in self.roots)
        self.result.writes = self.writes.resolve(self.result)
        return self.result

    def value(self, node: Node) -> Value:
        made, index = origin(node)
        return self.result.values[id(made)][index]

    def _variable(self, node: Node) -> None:
        types = self.types
        shape = types.shape(node)
        assert shape is not None
        host = types.is_host(node)
        dtype = "float64" if host else types.dtype(node) or "float32"
        sparse = types.stype(node) == "row_sparse"
        value = Value(node.name, shape, dtype, variable=node.name, host=host, sparse=sparse)
        self.result.variables[node.name] = value
        self.result.values[id(node)] = (value,)

    def _op(self, node: Node) -> None:
        op = get_op(node.op)
        count = len(node.inputs) if op.is_variadic else len(op.inputs)
        inputs = [self.value(n) for n in node.inputs[:count]]
        given = {
            name: self.value(n)
            for name, n in zip(node.attrs.get("__scalars__", ()), node.inputs[count:], strict=True)
        }
        if self.types.is_host(node):
            outputs = self._host(node, op, inputs, given)
        else:
            outputs = self._device(node, op, inputs, given)
        self.result.values[id(node)] = outputs
        self._record_writes(node, op, outputs)

    def _record_writes(self, node: Node, op: OpDef, outputs: tuple[Value, ...]) -> None:
        state_inputs = [i for i, spec in enumerate(op.inputs) if spec.kind in STATE_KINDS]
        for k, i in enumerate(state_inputs, 1):
            self.writes.state(node, op.inputs[i].name, node.inputs[i], outputs[k])
        for variable in node.attrs.get("__out__", ()):
            self.writes.out(node, variable, outputs[0], self.result.variables[variable.name])

    # ---- numbers of the host

    def _host(self, node: Node, op: OpDef, inputs: list[Value], given: dict[str, Value]) -> tuple[Value, ...]:
        specs = tuple((spec.name, "float64", Extent.HOST) for spec in op.inputs)
        signature = self._signature(node, op, specs, {}, (), DENSE, -1, set(given))
        if signature not in _HOST:
            _, roots = trace(op, list(specs), dict(signature.structural), dict(signature.switches), {})
            _HOST[signature] = roots["output"]
        leaves: dict[str, Source] = {spec.name: v for spec, v in zip(op.inputs, inputs, strict=True)}
        for name in op.numeric:
            leaves[name] = given[name] if name in given else _attribute(node, op, name)
        value = Value(node.name, (), "float64", host=True)
        self.result.host_calls.append(HostCall(_HOST[signature], leaves, value, node))
        return (value,)

    # ---- arrays

    def _device(self, node: Node, op: OpDef, inputs: list[Value], given: dict[str, Value]) -> tuple[Value, ...]:
        if op.is_variadic:
            return self._each(node, op, inputs, given)
        mode, sparse = self._mode(node, op, inputs)
        if mode == DENSE:
            inputs = [self._densify(v, node) for v in inputs]
        shapes = self._output_shapes(node, op, inputs)
        dtype = self.types.dtype(node)
        assert dtype is not None
        outputs = tuple(
            Value(node.name if k == 0 else f"{node.name}.{name}", shape, dtype)
            for k, (name, shape) in enumerate(zip(op.outputs, shapes, strict=True))
        )
        domain = _domain(inputs, shapes[0], op)
        self._instantiate(node, op, inputs, given, outputs, domain, mode, sparse)
        return outputs

    def _output_shapes(self, node: Node, op: OpDef, inputs: list[Value]) -> list[Shape]:
        shape = self.types.shape(node)
        assert shape is not None
        return [shape, *(v.shape for v, spec in zip(inputs, op.inputs, strict=True) if spec.kind in STATE_KINDS)]

    def _each(self, node: Node, op: OpDef, inputs: list[Value], given: dict[str, Value]) -> tuple[Value, ...]:
        """An op of any number of arrays: its formula on each, the results side by side in one output."""
        dtype = self.types.dtype(node)
        assert dtype is not None
        whole = Value(node.name, (len(inputs),), dtype)
        whole.parts = tuple(Value(f"{node.name}[{k}]", (1,), dtype, base=(whole, k)) for k in range(len(inputs)))
        for value, part in zip(inputs, whole.parts, strict=True):
            value = self._densify(value, node)
            self._instantiate(node, op, [value], given, (part,), value.shape, DENSE, -1)
        return (whole,)

    def _mode(self, node: Node, op: OpDef, inputs: list[Value]) -> tuple[str, int]:
        """How a row_sparse input is read: which rows the formula runs over, and which input that is."""
        sparse = [
            i for i, (v, spec) in enumerate(zip(inputs, op.inputs, strict=True)) if v.sparse and spec.kind == "tensor"
        ]
        sparse = [i for i in sparse if i > 0]
        if not op.is_update or not sparse:
            return DENSE, -1
        if len(sparse) > 1:
            raise StorageError(f"{op.name} {node.name!r}: one input may be row_sparse{built_at(node.where)}")
        if reach(op, structural(op, node, len(inputs[0].shape))) == Extent.TENSOR:
            return DENSE, -1
        lazy = node.attrs.get("lazy_update", op.attrs["lazy_update"].default)
        return (LISTED if lazy and not op.standard else STANDARD), sparse[0]

    def _densify(self, value: Value, node: Node) -> Value:
        if not value.sparse or value.variable is None:
            return value
        if id(value) not in self.dense:
            body = _identity(value.dtype, STANDARD)
            dense = Value(f"{value.name}.dense", value.shape, value.dtype)
            self.result.calls.append(Call(body, value.shape, (value,), (dense,), (), node))
            self.dense[id(value)] = dense
        return self.dense[id(value)]

    def _instantiate(
        self,
        node: Node,
        op: OpDef,
        inputs: list[Value],
        given: dict[str, Value],
        outputs: tuple[Value, ...],
        domain: Shape,
        mode: str,
        sparse: int,
    ) -> None:
        specs = tuple(
            (spec.name, v.dtype, _extent(v, spec.kind, domain))
            for v, spec in zip(inputs, op.inputs, strict=True)
        )
        arrays = [v for v, (_, _, extent) in zip(inputs, specs, strict=True) if extent != Extent.HOST]
        device = tuple((n, v.dtype, Extent.TENSOR) for n, v in given.items() if not v.host)
        arrays += [v for v in given.values() if not v.host]
        results = tuple(
            Param(name, v.dtype, _result_extent(v, name, op, domain)) for name, v in zip(op.outputs, outputs, strict=True)
        )
        signature = self._signature(node, op, specs, device, results, mode, sparse, set(given))
        if signature not in _STAGES:
            _STAGES[signature] = make_stages(signature)
        made: list[Value] = []
        for stage in _STAGES[signature]:
            values = tuple(made[i] if earlier else arrays[i] for earlier, i in stage.wiring)
            if stage.body.mode == REDUCE and stage is not _STAGES[signature][-1]:
                partial = Value(f"{node.name}.sum", (1,), stage.body.outputs[0].dtype)
                made.append(partial)
                results_ = (partial,)
            else:
                results_ = outputs
            final_domain = domain if stage.body.mode != DENSE or _spans(stage.body) else outputs[0].shape
            scalars = self._sources(node, op, stage.body.scalars, inputs, given)
            self.result.calls.append(Call(stage.body, final_domain, values, results_, scalars, node))

    def _sources(
        self, node: Node, op: OpDef, names: tuple[str, ...], inputs: list[Value], given: dict[str, Value]
    ) -> tuple[Source, ...]:
        """Where the numbers of a body come from: Symbols, inputs that are numbers, counts, attributes."""
        named: dict[str, Source] = dict(given)
        for value, spec in zip(inputs, op.inputs, strict=True):
            if value.host:
                named[spec.name] = value
        if any(name.startswith("count:") for name in names):
            named["count:row"] = float(_size(inputs[0].shape[1:]))
            named["count:tensor"] = float(_size(inputs[0].shape))
        attrs, specs = node.attrs, op.attrs
        return tuple(
            [
                named[name] if name in named else Attribute(node, name, attrs[name] if name in attrs else specs[name].default)
                for name in names
            ]
        )

    def _signature(
        self,
        node: Node,
        op: OpDef,
        inputs: tuple[tuple[str, str, Extent], ...],
        device: Any,
        outputs: tuple[Param, ...],
        mode: str,
        sparse: int,
        given: set[str],
    ) -> Signature:
        switches = tuple(
            (a.name, node.attrs.get(a.name, a.default) >= 0)
            for a in op.attrs.values()
            if a.switch and a.name not in given
        )
        shape = self.types.shape(node.inputs[0]) if node.inputs else ()
        flags = structural(op, node, len(shape or ()))
        return Signature(op, inputs, flags, switches, tuple(device), outputs, mode, sparse)


def _attribute(node: Node, op: OpDef, name: str) -> Attribute:
    return Attribute(node, name, node.attrs.get(name, op.attrs[name].default))


def _size(shape: Shape) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _domain(inputs: list[Value], output: Shape, op: OpDef) -> Shape:
    """The shape an op's elements run over: the weight's, or the one its inputs broadcast to."""
    if op.is_update:
        return inputs[0].shape
    shapes = [v.shape for v in inputs if not v.host]
    return domain_of(shapes) if shapes else output


def _extent(value: Value, kind: str, domain: Shape) -> Extent:
    if value.host:
        return Extent.HOST
    if kind == "row_state":
        return Extent.ROW
    if kind == "scalar":
        return Extent.TENSOR
    if value.shape == domain:
        return Extent.ELEMENT
    return Extent.TENSOR if _size(value.shape) == 1 else Extent.ROW


def _result_extent(value: Value, name: str, op: OpDef, domain: Shape) -> Extent:
    if name != "output":
        return Extent.ROW if next(i.kind for i in op.inputs if i.name == name) == "row_state" else Extent.ELEMENT
    if value.base is None and (value.shape == domain):
        return Extent.ELEMENT
    if value.base is not None or (_size(value.shape) == 1 and _size(domain) != 1):
        return Extent.TENSOR
    return Extent.ROW


def _spans(body: Body) -> bool:
    """Whether a body runs over elements or rows, not over one number per tensor."""
    return any(p.extent > Extent.TENSOR for p in (*body.params, *body.outputs))


def _identity(dtype: str, mode: str) -> Body:
    """Moves an array; in STANDARD mode reads a row_sparse one as dense: zero in the rows it does not have."""
    param = ("data", dtype, Extent.ELEMENT)
    output = (Param("output", dtype, Extent.ELEMENT),)
    signature = Signature(
        get_op("identity"), (param,), (), (), (), output, mode, 0 if mode == STANDARD else -1
    )
    if signature not in _STAGES:
        _STAGES[signature] = make_stages(signature)
    return _STAGES[signature][0].body


def copy_call(source: Value, target: Value, node: Node) -> Call:
    """A call that copies one array into another of the same shape and dtype."""
    return Call(_identity(source.dtype, DENSE), target.shape, (source,), (target,), (), node)

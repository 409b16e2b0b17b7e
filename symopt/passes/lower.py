"""Ops to calls. Each distinct signature is traced once; ten thousand nodes of one signature share one body."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StorageError, built_at
from ..expr import PICK, VARIABLE, Extent, Node, origin
from ..infer import Types
from ..opdef import STATE_KINDS, OpDef, get_op
from ..shapes import domain_of, reach, structural
from .calls import Operands, copy_call, device_calls, host_call, identity
from .ir import DENSE, LISTED, STANDARD, Call, Lowered, Shape, Value
from .writes import Writes


def lower(roots: Sequence[Node], types: Types) -> Lowered:
    """The calls of a typed graph, in an order that respects data flow."""
    return _Lowering(roots, types).run()


class _Lowering:
    def __init__(self, roots: Sequence[Node], types: Types) -> None:
        self.roots = roots
        self.types = types
        self.result = Lowered([], [], {}, {}, {}, ())
        self.writes = Writes()
        self.dense: dict[int, Value] = {}  # of each sparse value that some op reads as a dense one

    def run(self) -> Lowered:
        for node in self.types.order:
            if node.op == VARIABLE:
                self._variable(node)
            elif node.op != PICK:
                self._op(node)
        self.result.writes = self.writes.resolve(self.result)
        self.result.heads = tuple(self._head(root) for root in self.roots)
        return self.result

    def _head(self, root: Node) -> Value:
        """The value of an output. A variable means its old value, also when the step overwrites its array."""
        value = self._value(root)
        if value.variable not in self.result.writes or value.host:
            return value
        old = Value(f"{value.name}.old", value.shape, value.dtype)
        self.result.calls.append(copy_call(value, old, root))
        return old

    def _value(self, node: Node) -> Value:
        made, index = origin(node)
        return self.result.values[id(made)][index]

    def _variable(self, node: Node) -> None:
        types = self.types
        shape, host = types.shape(node), types.is_host(node)
        assert shape is not None
        dtype = "float64" if host else types.dtype(node) or "float32"
        sparse = types.stype(node) == "row_sparse"
        value = Value(node.name, shape, dtype, variable=node.name, host=host, sparse=sparse)
        self.result.variables[node.name] = value
        self.result.values[id(node)] = (value,)

    def _op(self, node: Node) -> None:
        op = get_op(node.op)
        count = len(node.inputs) if op.is_variadic else len(op.inputs)
        inputs = [self._value(n) for n in node.inputs[:count]]
        extra = node.inputs[count:]
        given = (
            dict(zip(node.attrs.get("__scalars__", ()), map(self._value, extra), strict=True))
            if extra
            else {}
        )
        shape = self.types.shape(node.inputs[0])
        assert shape is not None
        operands = Operands(node, op, inputs, given, structural(op, node, len(shape)))
        if self.types.is_host(node):
            call = host_call(operands)
            self.result.host_calls.append(call)
            outputs: tuple[Value, ...] = (call.output,)
        else:
            outputs = self._each(operands) if op.is_variadic else self._device(operands)
        self.result.values[id(node)] = outputs
        self._record_writes(node, op, outputs)

    def _record_writes(self, node: Node, op: OpDef, outputs: tuple[Value, ...]) -> None:
        if op.states:
            state_inputs = [i for i, spec in enumerate(op.inputs) if spec.kind in STATE_KINDS]
            for k, i in enumerate(state_inputs, 1):
                self.writes.state(node, op.inputs[i].name, node.inputs[i], outputs[k])
        for variable in node.attrs.get("__out__", ()):
            self.writes.out(node, variable, outputs[0], self.result.variables[variable.name])

    def _device(self, operands: Operands) -> tuple[Value, ...]:
        node, op = operands.node, operands.op
        mode, sparse = _mode(operands)
        if mode == DENSE:
            operands.inputs = [self._densify(v, node) for v in operands.inputs]
        shapes = self._output_shapes(operands)
        dtype = self.types.dtype(node)
        assert dtype is not None
        outputs = tuple(
            Value(node.name if k == 0 else f"{node.name}.{name}", shape, dtype)
            for k, (name, shape) in enumerate(zip(op.outputs, shapes, strict=True))
        )
        self.result.calls += device_calls(operands, outputs, _domain(operands, shapes[0]), mode, sparse)
        return outputs

    def _output_shapes(self, operands: Operands) -> list[Shape]:
        """The output's shape is inferred; a new state has the shape of the old one."""
        shape = self.types.shape(operands.node)
        assert shape is not None
        pairs = zip(operands.inputs, operands.op.inputs, strict=True)
        return [shape, *(v.shape for v, spec in pairs if spec.kind in STATE_KINDS)]

    def _each(self, operands: Operands) -> tuple[Value, ...]:
        """An op of any number of arrays: its formula on each, the results side by side in one output."""
        node, inputs = operands.node, operands.inputs
        dtype = self.types.dtype(node)
        assert dtype is not None
        whole = Value(node.name, (len(inputs),), dtype)
        whole.parts = tuple(
            Value(f"{node.name}[{k}]", (1,), dtype, base=(whole, k)) for k in range(len(inputs))
        )
        for value, part in zip(inputs, whole.parts, strict=True):
            one = Operands(
                node, operands.op, [self._densify(value, node)], operands.given, operands.structural
            )
            self.result.calls += device_calls(one, (part,), value.shape, DENSE, -1)
        return (whole,)

    def _densify(self, value: Value, node: Node) -> Value:
        if not value.sparse:
            return value
        if id(value) not in self.dense:
            dense = Value(f"{value.name}.dense", value.shape, value.dtype)
            self.result.calls.append(
                Call(identity(value.dtype, STANDARD), value.shape, (value,), (dense,), (), node)
            )
            self.dense[id(value)] = dense
        return self.dense[id(value)]


def _mode(operands: Operands) -> tuple[str, int]:
    """How a row_sparse input is read: which rows the formula runs over, and which input that is."""
    node, op, inputs = operands.node, operands.op, operands.inputs
    sparse = [i for i, v in enumerate(inputs) if v.sparse and i > 0 and op.inputs[i].kind == "tensor"]
    if not sparse or not op.is_update:
        return DENSE, -1
    if len(sparse) > 1:
        raise StorageError(f"{op.name} {node.name!r}: only one input may be row_sparse{built_at(node.where)}")
    if reach(op, operands.structural) == Extent.TENSOR:
        return DENSE, -1  # a formula that looks at the whole tensor has no rows of its own
    lazy = dict(operands.structural)["lazy_update"]
    return (LISTED if lazy and not op.standard else STANDARD), sparse[0]


def _domain(operands: Operands, output: Shape) -> Shape:
    """The shape an op's elements run over: the weight's, or the one its inputs broadcast to."""
    if operands.op.is_update:
        return operands.inputs[0].shape
    shapes = [v.shape for v in operands.inputs if not v.host]
    return domain_of(shapes) if shapes else output

"""Ops to calls. Each distinct signature is traced once; ten thousand nodes of one signature share one body."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StorageError, built_at
from ..expr import PICK, VARIABLE, Extent, Node, origin
from ..forms import op_of, then_op
from ..infer import Types
from ..opdef import OpDef, Part
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
        op = op_of(node)
        count = len(op.inputs)
        inputs = [self._value(n) for n in node.inputs[:count]]
        extra = node.inputs[count:]
        given = (
            dict(zip(node.attrs.get("__scalars__", ()), map(self._value, extra), strict=True))
            if extra
            else {}
        )
        shape = self.types.shape(node.inputs[0])
        assert shape is not None
        one = op.parts[0].op if op.parts else op
        operands = Operands(node, op, inputs, given, structural(one, node, len(shape)))
        if self.types.is_host(node):
            call = host_call(operands)
            self.result.host_calls.append(call)
            outputs: tuple[Value, ...] = (call.output,)
        else:
            outputs = self._parts(operands) if op.parts else self._device(operands, self._result_type(node))
        self.result.values[id(node)] = outputs
        self._record_writes(node, op, outputs)

    def _record_writes(self, node: Node, op: OpDef, outputs: tuple[Value, ...]) -> None:
        for k, i in enumerate(op.state_positions, op.n_results):
            self.writes.state(node, op.inputs[i].name, node.inputs[i], outputs[k])
        for k, variable in enumerate(node.attrs.get("__out__", ())):
            self.writes.out(node, variable, outputs[k], self.result.variables[variable.name])

    def _result_type(self, node: Node) -> tuple[Shape, str]:
        shape, dtype = self.types.shape(node), self.types.dtype(node)
        assert shape is not None and dtype is not None
        return shape, dtype

    def _device(self, operands: Operands, result: tuple[Shape, str], suffix: str = "") -> tuple[Value, ...]:
        """An op on arrays: its results of the type given, then the new states, which are like the old ones."""
        node, op = operands.node, operands.op
        mode, sparse = _mode(operands)
        operands.inputs = [
            v if i == sparse else self._densify(v, node) for i, v in enumerate(operands.inputs)
        ]
        outputs = [Value(f"{node.name}{suffix}", *result)] * op.n_results
        for k in op.state_positions:
            old = operands.inputs[k]
            outputs.append(Value(f"{node.name}.{op.inputs[k].name}{suffix}", old.shape, old.dtype))
        self.result.calls += device_calls(
            operands, tuple(outputs), _domain(operands, result[0]), mode, sparse
        )
        return tuple(outputs)

    def _parts(self, operands: Operands) -> tuple[Value, ...]:
        """An op of several tensors: what it does to each. Results are outputs, or side by side in one output."""
        op = operands.op
        if not op.is_update:
            return self._stacked(operands)
        results: list[Value] = []
        states: dict[int, Value] = {}
        for k, part in enumerate(op.parts):
            one = self._one(operands, part)
            weight = one.inputs[0]
            found = self._device(one, (weight.shape, weight.dtype), f"[{k}]")
            results += found[: part.op.n_results]
            places = [part.inputs[i] for i in part.op.state_positions]
            states.update(zip(places, found[part.op.n_results :], strict=True))
        return (*results, *(states[i] for i in op.state_positions))

    def _one(self, operands: Operands, part: Part) -> Operands:
        """One tensor of several: its inputs, and its numbers of the tuples and arrays."""
        inputs = operands.inputs
        given = {name: inputs[i].element(k) for name, (i, k) in part.arrays.items()}
        return Operands(
            operands.node,
            part.op,
            [inputs[i] for i in part.inputs],
            {**operands.given, **given},
            operands.structural,
            part.attrs,
        )

    def _stacked(self, operands: Operands) -> tuple[Value, ...]:
        """The formula on each array, the results side by side, and what is made of those."""
        node, op = operands.node, operands.op
        _, dtype = self._result_type(node)
        whole = Value(node.name, (len(op.parts),), dtype)
        whole.parts = tuple(
            Value(f"{node.name}[{k}]", (1,), dtype, base=(whole, k)) for k in range(len(op.parts))
        )
        for part, made in zip(op.parts, whole.parts, strict=True):
            one = self._one(operands, part)
            one.inputs = [self._densify(v, node) for v in one.inputs]
            self.result.calls += device_calls(one, (made,), one.inputs[0].shape, DENSE, -1)
        if op.then is None:
            return (whole,)
        final = Operands(node, then_op(op), [whole], {}, ())
        return self._device(final, ((1,), dtype))

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

"""How the dtypes around one op depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from .dtypes import COMPUTE, FLOATS, NARROW
from .errors import DTypeError
from .expr import PICK, VARIABLE, Node
from .facts import Facts, mismatch, same_as
from .forms import get_op, op_of
from .opdef import STATE_KINDS, OpDef
from .shaperules import parts_of

MASTER = "float32"  # of the copy of the weight that an mp_ form works on, and of its states


class DTypeRules:
    """Tensors and states of an op share one dtype; conditions, scalars and numbers of the host may have any.

    Where the weight has a master copy, that and the states are float32, and gradients may have any dtype; with the
    attribute `state_dtype` the states have that one.
    """

    def __init__(self, facts: Facts[str], host: set[int]) -> None:
        self.facts = facts
        self.host = host

    def has_orphans(self, order: Iterable[Node]) -> bool:
        """Whether an op may have no array to take its dtype from."""
        ops = [get_op(name) for name in {node.op for node in order} - {VARIABLE, PICK}]
        return bool(self.host) or any(not _sharing(op) or _has_master(op) for op in ops)

    def relate(self, node: Node) -> None:
        if node.op == PICK:
            self._agree(node, op_of(node.inputs[0]), [("state", same_as(node)), ("output", node)])
            return
        if id(node) in self.host:
            self.facts.known[id(node)] = "float64"
            return
        op = op_of(node)
        if op.is_update:
            self._update(node, op)
            return
        rows = self._sharers(node, op, _sharing(op))
        dtype_attr = next((a for a in op.structural if op.attrs[a].kind == "dtype"), None)
        if dtype_attr is not None:
            self._agree(node, op, rows)
            self._result(node, op, node.attrs.get(dtype_attr, op.attrs[dtype_attr].default))
        elif op.result == "compute":
            dtype = self._agree(node, op, rows)
            if dtype is not None:
                self._result(node, op, COMPUTE[dtype])
        else:
            self._agree(node, op, [*rows, ("output", node)])
        for variable in node.attrs.get("__out__", ()):
            if id(variable) not in self.host:
                self._agree(node, op, [("output", node), ("out", variable)])

    # ---- update ops

    def _update(self, node: Node, op: OpDef) -> None:
        plain = op.master < 0 and not op.residual and node.attrs.get("state_dtype") is None
        if plain and not op.parts and self._is_settled(node, _sharing(op)):
            return
        for k, part in enumerate(parts_of(op)):
            shared, fixed = self._split(node, op, part)
            rows = [(op.inputs[i].name, node.inputs[i]) for i in shared]
            self._check_residual(node, op, part)
            gives_weight = op.gives == "weight" or op.master < 0
            self._agree(node, op, [*rows, ("output", node)] if k == 0 and gives_weight else rows)
            for i, dtype in fixed:
                self._fix(node, op, op.inputs[i].name, node.inputs[i], dtype)
            if not gives_weight:
                self._fix(node, op, "output", node, MASTER)
        for k, variable in enumerate(node.attrs.get("__out__", ())):
            result = node if k == 0 else node.inputs[op.like[k]]
            self._agree(node, op, [("output", result), ("out", variable)])

    def _check_residual(self, node: Node, op: OpDef, part: Sequence[int]) -> None:
        weight = node.inputs[part[0]]
        is_kahan = any(is_residual(op, op.inputs[i].name) for i in part)
        if is_kahan and self.facts.get(weight) not in (None, *NARROW):
            rule = "kahan keeps what 16-bit weights lose when they are rounded"
            row = [(op.inputs[part[0]].name, weight)]
            wanted = f"expected {' or '.join(NARROW)}"
            raise DTypeError(mismatch(node, op, rule, self.facts.known, row, 0, wanted))

    def _split(self, node: Node, op: OpDef, part: Sequence[int]) -> tuple[list[int], list[tuple[int, str]]]:
        """Inputs that share the weight's dtype, and those that have one of their own."""
        shared: list[int] = []
        fixed: list[tuple[int, str]] = []
        has_master = any(op.inputs[i].kind == "master" for i in part)
        state_dtype = MASTER if has_master else node.attrs.get("state_dtype")
        for i in part:
            name, kind = op.inputs[i]
            if kind == "master":
                fixed.append((i, MASTER))
            elif kind in STATE_KINDS and state_dtype is not None and not is_residual(op, name):
                fixed.append((i, state_dtype))
            elif kind in STATE_KINDS or i == part[0] or (kind == "tensor" and not has_master):
                shared.append(i)
        return shared, fixed

    def _fix(self, node: Node, op: OpDef, label: str, n: Node, dtype: str) -> None:
        """The dtype of an array that does not follow from the others."""
        given = self.facts.get(n)
        if given not in (None, dtype):
            rows = [(label, n)]
            rule = f"{label} must be {dtype}"
            raise DTypeError(mismatch(node, op, rule, self.facts.known, rows, 0, f"expected {dtype}"))
        self.facts.set(n, dtype)

    # ---- any op

    def guess(self, node: Node) -> None:
        """Of an op whose only arrays are conditions or single elements, the result has the dtype of the first; beside
        a master copy, gradients have the weight's."""
        if node.op == PICK or id(node) in self.host:
            return
        op = op_of(node)
        if op.is_update:
            for part in parts_of(op):
                weight = self.facts.get(node.inputs[part[0]])
                for i in part:
                    if op.inputs[i].kind == "tensor" and weight and self.facts.get(node.inputs[i]) is None:
                        self.facts.set(node.inputs[i], weight)
            return
        if self.facts.get(node) is not None:
            return
        if not self._sharers(node, op, _sharing(op)):
            found = (self.facts.get(n) for n in node.inputs if id(n) not in self.host)
            dtype = next((d for d in found if d in FLOATS), None)
            if dtype is not None:
                self.facts.set(node, COMPUTE[dtype] if op.result == "compute" else dtype)

    def _is_settled(self, node: Node, shared: Sequence[int]) -> bool:
        known = self.facts.known
        dtype = known.get(id(node.inputs[0]))
        for i in shared:
            if known.get(id(node.inputs[i])) != dtype:
                return False
        if dtype not in COMPUTE or known.get(id(node), dtype) != dtype:
            return False
        self.facts.set(node, dtype)
        out = node.attrs.get("__out__")
        return out is None or all(known.get(id(v)) == dtype for v in out)

    def _sharers(self, node: Node, op: OpDef, shared: Sequence[int]) -> list[tuple[str, Node]]:
        if op.parts:
            return list(zip(op.input_names(), node.inputs, strict=False))
        return [(op.inputs[i].name, node.inputs[i]) for i in shared if id(node.inputs[i]) not in self.host]

    def _result(self, node: Node, op: OpDef, dtype: str) -> None:
        given = self.facts.get(node)
        if given not in (None, dtype):
            rule = f"the result is needed as {given}"
            rows = [("output", node)]
            raise DTypeError(mismatch(node, op, rule, self.facts.known, rows, 0, f"is {dtype}"))
        self.facts.set(node, dtype)

    def _agree(self, node: Node, op: OpDef, rows: Sequence[tuple[str, Node]]) -> str | None:
        known = self.facts.known
        agreed = next((d for _, n in rows if (d := known.get(id(n))) is not None), None)
        if agreed is None:
            return None
        for k, (label, n) in enumerate(rows):
            dtype = known.get(id(n))
            if dtype not in (None, agreed):
                rule, wanted = f"{label} must have the dtype of {rows[0][0]}", f"expected {agreed}"
                raise DTypeError(mismatch(node, op, rule, known, rows, k, wanted))
            if agreed not in COMPUTE and dtype is not None:
                rule, wanted = f"{label} has an unsupported dtype", f"use one of {', '.join(FLOATS)}"
                raise DTypeError(mismatch(node, op, rule, known, rows, k, wanted))
            self.facts.set(n, agreed)
        return agreed


def is_residual(op: OpDef, name: str) -> bool:
    """Whether an input (of one of the tensors) keeps what rounding the weight loses."""
    return bool(op.residual) and name.startswith(op.residual)


def _has_master(op: OpDef) -> bool:
    return any(i.kind == "master" for i in (op.base or op).inputs)


@cache
def _sharing(op: OpDef) -> tuple[int, ...]:
    return tuple(i for i, spec in enumerate(op.inputs) if spec.kind not in ("scalar", "condition"))

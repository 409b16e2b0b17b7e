"""How the dtypes around one op depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from .dtypes import COMPUTE, FLOATS
from .errors import DTypeError
from .expr import PICK, VARIABLE, Node
from .facts import Facts, mismatch, same_as
from .opdef import OpDef, get_op


class DTypeRules:
    """Tensors and states of an op share one dtype; conditions, scalars and numbers of the host may have any."""

    def __init__(self, facts: Facts[str], host: set[int]) -> None:
        self.facts = facts
        self.host = host

    def has_orphans(self, order: Iterable[Node]) -> bool:
        """Whether an op may have no array to take its dtype from."""
        ops = {node.op for node in order} - {VARIABLE, PICK}
        return bool(self.host) or any(not _sharing(get_op(name)) for name in ops)

    def relate(self, node: Node) -> None:
        if node.op == PICK:
            self._agree(node, get_op(node.inputs[0].op), [("state", same_as(node)), ("output", node)])
            return
        if id(node) in self.host:
            self.facts.known[id(node)] = "float64"
            return
        op = get_op(node.op)
        shared = _sharing(op)
        if op.is_update and self._is_settled(node, shared):
            return
        rows = self._sharers(node, op, shared)
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

    def guess(self, node: Node) -> None:
        """The result of an op whose only arrays are conditions or single elements: the dtype of the first of them."""
        if node.op == PICK or id(node) in self.host or self.facts.get(node) is not None:
            return
        op = get_op(node.op)
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
        if op.is_variadic:
            count = len(node.inputs) - len(node.attrs.get("__scalars__", ()))
            return list(zip(op.input_names(count), node.inputs, strict=False))
        return [
            (op.inputs[i].name, node.inputs[i])
            for i in shared
            if op.is_update or id(node.inputs[i]) not in self.host
        ]

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


@cache
def _sharing(op: OpDef) -> tuple[int, ...]:
    return tuple(i for i, spec in enumerate(op.inputs) if spec.kind not in ("scalar", "condition"))

"""How the dtypes around one op depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from .complexrules import complex_outputs
from .dtypes import COMPLEX, COMPLEX_OF, COMPUTE, DTYPES, NARROW, component
from .errors import DTypeError, built_at
from .expr import PICK, VARIABLE, Node
from .facts import Facts, labels, mismatch, same_as, title
from .forms import get_op, op_of
from .opdef import STATE_KINDS, OpDef
from .shaperules import parts_of, plan_of

MASTER = "float32"  # of the copy of the weight that an mp_ form works on, and of its states


class DTypeRules:
    """Tensors and states of an op share one dtype; conditions, scalars and numbers of the host may have any.

    Where the weight has a master copy, that and the states are float32, and gradients may have any dtype; with the
    attribute `state_dtype` the states have that one. Of complex weights, gradients are complex too, and states that
    stay real have the dtype of the parts; ordinary ops take complex and real operands together.
    """

    def __init__(self, facts: Facts[str], host: set[int]) -> None:
        self.facts = facts
        self.host = host

    def has_orphans(self, order: Iterable[Node]) -> bool:
        """Whether an op may have no array to take its dtype from."""
        ops = [get_op(name) for name in {node.op for node in order} - {VARIABLE, PICK}]
        is_complex = not set(self.facts.known.values()).isdisjoint(COMPLEX)
        return bool(self.host) or is_complex or any(not _sharing(op) or _has_master(op) for op in ops)

    def relate(self, node: Node) -> None:
        if node.op == PICK:
            self._agree(node, op_of(node.inputs[0]), [("state", same_as(node)), ("output", node)])
            return
        if id(node) in self.host:
            self.facts.known[id(node)] = "float64"
            return
        op = op_of(node)
        self._check_real(node, op)
        if op.is_update:
            self._update(node, op)
            return
        rows = self._sharers(node, op, _sharing(op))
        dtype_attr = _dtype_attr(op)
        if self._complex_among(node, op, rows):
            self._complex(node, op, rows)
        elif dtype_attr is not None:
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
            rows = [*rows, ("output", node)] if k == 0 and gives_weight else rows
            if self._first(rows) in COMPLEX:
                if self.facts.get(node.inputs[part[0]]) is None:
                    self.facts.set(node.inputs[part[0]], self._first(rows) or "")
                self._complex_part(node, op, k, part)
                continue
            self._agree(node, op, rows)
            for i, dtype in fixed:
                self._fix(node, op, op.inputs[i].name, node.inputs[i], dtype)
            if not gives_weight:
                self._fix(node, op, "output", node, MASTER)
        for k, variable in enumerate(node.attrs.get("__out__", ())):
            result = node if k == 0 else node.inputs[op.like[k]]
            self._agree(node, op, [("output", result), ("out", variable)])

    def _check_residual(self, node: Node, op: OpDef, part: Sequence[int]) -> None:
        weight = node.inputs[part[0]]
        is_kahan = any(op.inputs[i].kind == "residual" for i in part)
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
            kind = op.inputs[i].kind
            if kind == "master":
                fixed.append((i, MASTER))
            elif kind in STATE_KINDS and state_dtype is not None and kind != "residual":
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

    def _complex_part(self, node: Node, op: OpDef, k: int, part: Sequence[int]) -> None:
        """Tensor number k of an update op: its weight and gradients are complex, states and results as traced."""
        one = op.parts[k].op if op.parts else op
        shared = [i for n, i in enumerate(part) if n == 0 or one.inputs[n].kind == "tensor"]
        rows = [(op.inputs[i].name, node.inputs[i]) for i in shared]
        if k == 0 and op.gives == "weight":
            rows.append(("output", node))
        dtype = self._agree(node, op, rows) or ""
        if one.master >= 0:
            raise DTypeError(f"{title(node, op)}: complex weights have no float32 copy{built_at(node.where)}")
        symbols = (*node.attrs.get("__scalars__", ()), *(op.parts[k].arrays if op.parts else ()))
        given = frozenset(one.inputs[part.index(i)].name for i in shared)
        found = complex_outputs(node, op, one, given, symbols)
        kept = node.attrs.get("state_dtype") or component(dtype)
        for n, i in enumerate(part[1:], 1):
            if one.inputs[n].kind in STATE_KINDS:
                is_complex = one.inputs[n].name in found
                if kept not in COMPLEX_OF and (is_complex or kept in COMPLEX):
                    text = f"{title(node, op)}: state_dtype is of the parts of {op.inputs[i].name}, so not {kept}"
                    raise DTypeError(text + built_at(node.where))
                self._fix(
                    node, op, op.inputs[i].name, node.inputs[i], COMPLEX_OF[kept] if is_complex else kept
                )
        if k == 0 and op.gives != "weight":
            self._fix(node, op, "output", node, dtype if "output" in found else component(dtype))

    # ---- ordinary ops with complex operands

    def _complex_among(self, node: Node, op: OpDef, rows: Sequence[tuple[str, Node]]) -> str | None:
        """The first complex dtype of the operands, or of the result where that does not follow from an attribute."""
        nodes = [n for _, n in rows] + ([node] if _dtype_attr(op) is None else [])
        return next((d for n in nodes if (d := self.facts.get(n)) in COMPLEX), None)

    def _complex(self, node: Node, op: OpDef, rows: Sequence[tuple[str, Node]]) -> None:
        """Operands have parts of one dtype; which of them are complex, and whether the result is, are other questions:
        nothing follows for one from another."""
        known = self.facts.known
        first = component(self._complex_among(node, op, rows) or "")
        given = [known.get(id(n)) for _, n in rows]
        for k, dtype in enumerate(given):
            if dtype is not None and component(dtype) != first:
                rule = f"{rows[k][0]} must fit the other operands"
                wanted = f"expected {first} or {COMPLEX_OF[first]}"
                raise DTypeError(mismatch(node, op, rule, known, rows, k, wanted))
        if None in given:
            return
        one = op.parts[0].op if op.parts else op
        names = [one.inputs[0].name] * len(rows) if op.parts else [label for label, _ in rows]
        found = frozenset(n for n, dtype in zip(names, given, strict=True) if dtype in COMPLEX)
        is_complex = "output" in complex_outputs(node, op, one, found, node.attrs.get("__scalars__", ()))
        attr = _dtype_attr(op)
        dtype = COMPLEX_OF[first] if is_complex else first
        if attr:
            dtype = node.attrs.get(attr, op.attrs[attr].default)
        if is_complex and dtype not in COMPLEX:
            text = f"{title(node, op)}: complex values cannot become {dtype}; abs makes them real"
            raise DTypeError(text + built_at(node.where))
        self._result(node, op, dtype)

    def _guess_complex(self, node: Node, op: OpDef, rows: Sequence[tuple[str, Node]]) -> None:
        """Of the operands of unknown dtype, one is like the others, or like the result: a variable if there is one."""
        unknown = [n for _, n in rows if self.facts.get(n) is None]
        dtype = self._complex_among(node, op, rows)
        if unknown and dtype:
            self.facts.set(next((n for n in unknown if n.is_variable), unknown[0]), dtype)

    # ---- any op

    def _check_real(self, node: Node, op: OpDef) -> None:
        plan = plan_of(op)
        for i in (*plan.single, *plan.vectors, *range(len(op.inputs), len(node.inputs))):
            if self.facts.get(node.inputs[i]) in COMPLEX:
                row = [(labels(node, op)[i], node.inputs[i])]
                rule = f"{row[0][0]} must be real"
                raise DTypeError(mismatch(node, op, rule, self.facts.known, row, 0, "expected real numbers"))

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
        rows = self._sharers(node, op, _sharing(op))
        self._guess_complex(node, op, rows)
        if self.facts.get(node) is None and not rows:
            found = (self.facts.get(n) for n in node.inputs if id(n) not in self.host)
            dtype = next((component(d) for d in found if d), None)
            if dtype is not None:
                self.facts.set(node, COMPUTE[dtype] if op.result == "compute" else dtype)

    def _is_settled(self, node: Node, shared: Sequence[int]) -> bool:
        known = self.facts.known
        dtype = known.get(id(node.inputs[0]))
        for i in shared:
            if known.get(id(node.inputs[i])) != dtype:
                return False
        if dtype not in COMPUTE or dtype in COMPLEX or known.get(id(node), dtype) != dtype:
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

    def _first(self, rows: Sequence[tuple[str, Node]]) -> str | None:
        return next((d for _, n in rows if (d := self.facts.get(n)) is not None), None)

    def _agree(self, node: Node, op: OpDef, rows: Sequence[tuple[str, Node]]) -> str | None:
        known = self.facts.known
        agreed = self._first(rows)
        if agreed is None:
            return None
        for k, (label, n) in enumerate(rows):
            dtype = known.get(id(n))
            if dtype not in (None, agreed):
                rule, wanted = f"{label} must have the dtype of {rows[0][0]}", f"expected {agreed}"
                raise DTypeError(mismatch(node, op, rule, known, rows, k, wanted))
            if agreed not in COMPUTE and dtype is not None:
                rule, wanted = f"{label} has an unsupported dtype", f"use one of {', '.join(DTYPES)}"
                raise DTypeError(mismatch(node, op, rule, known, rows, k, wanted))
            self.facts.set(n, agreed)
        return agreed


def _has_master(op: OpDef) -> bool:
    return any(i.kind == "master" for i in (op.base or op).inputs)


@cache
def _dtype_attr(op: OpDef) -> str | None:
    """The attribute that says the result's dtype, if there is one; of update ops, none."""
    return next((a for a in op.structural if op.attrs[a].kind == "dtype" and not op.is_update), None)


@cache
def _sharing(op: OpDef) -> tuple[int, ...]:
    return tuple(i for i, spec in enumerate(op.inputs) if spec.kind not in ("scalar", "condition"))

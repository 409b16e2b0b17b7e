"""How the shapes around one op depend on each other, for each kind of op."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from .errors import AttributeValueError, ShapeError, built_at
from .expr import PICK, VARIABLE, Extent, Node
from .facts import Facts, labels, mismatch, same_as, title
from .forms import op_of
from .opdef import GRIDS, OpDef
from .shapes import (
    Shape,
    domain_of,
    extent_of,
    factor_shape,
    fits,
    is_complete,
    merge,
    reduced,
    row_shape,
    structural,
)

ONE_SHAPE = "every input must have the shape of {first}"
BROADCAST = "inputs must have one shape, one element, or one value per row"
Row = tuple[str, Node]


class Plan(NamedTuple):
    """Positions of an op's inputs by what their shape must be: the op's own, one value per row (or per column of a
    matrix), one element, one number per tensor. An op of several tensors has a plan for each."""

    full: tuple[int, ...]
    rows: tuple[int, ...]
    single: tuple[int, ...]
    vectors: tuple[int, ...]


def parts_of(op: OpDef) -> tuple[tuple[int, ...], ...]:
    """The positions of the inputs that belong together: all, or those of each tensor."""
    return tuple(part.inputs for part in op.parts) or (tuple(range(len(op.inputs))),)


@cache
def plans_of(op: OpDef) -> tuple[Plan, ...]:
    return tuple(_plan(op, part) for part in parts_of(op))


@cache
def plan_of(op: OpDef) -> Plan:
    """The plan of all inputs together."""
    return _plan(op, range(len(op.inputs)))


def _plan(op: OpDef, positions: Iterable[int]) -> Plan:
    by_kind: dict[str, list[int]] = {}
    for i in positions:
        by_kind.setdefault(op.inputs[i].kind, []).append(i)
    rows, columns, single, vectors = (
        tuple(by_kind.pop(k, ())) for k in ("row_state", "column_state", "scalar", "vector")
    )
    full = tuple(sorted(i for found in by_kind.values() for i in found))
    return Plan(full, (*rows, *columns), single, vectors)


class ShapeRules:
    """`relate` draws what must be so, `guess` what MXNet assumes of operands that nothing else is known of.

    `arrays`: nodes of shape () that an update op takes as weight, gradient or state: no numbers of the host.
    """

    def __init__(self, facts: Facts[Shape]) -> None:
        self.facts = facts
        self.arrays: set[int] = set()

    def name_scalars(self, order: Iterable[Node]) -> None:
        """Variables that are read as one element only, and of unknown shape, get shape ()."""
        single: dict[int, Node] = {}
        other: set[int] = set()
        for node in order:
            if node.op in (VARIABLE, PICK):
                continue
            op = op_of(node)
            positions = plan_of(op).single
            for i, n in enumerate(node.inputs):
                if i >= len(op.inputs) or i in positions:
                    single[id(n)] = n
                else:
                    other.add(id(n))
            other.update(map(id, node.attrs.get("__out__", ())))
        for key, n in single.items():
            if n.op == VARIABLE and key not in other and self.facts.get(n) is None:
                self.facts.known[key] = ()

    def relate(self, node: Node) -> None:
        if node.op == PICK:
            self._agree(node, op_of(node.inputs[0]), [("state", same_as(node)), ("output", node)], ONE_SHAPE)
            return
        op = op_of(node)
        if op.is_update:
            for k, plan in enumerate(plans_of(op)):
                self._update(node, op, plan, k == 0)
            self._vectors(node, op)
        elif op.parts:
            self._result(node, op, (1,) if op.then else (len(op.parts),))
        else:
            self._ordinary(node, op)
        if len(node.inputs) > len(op.inputs) or plan_of(op).single:
            self._check_single(node, op)
        for k, variable in enumerate(node.attrs.get("__out__", ())):
            result = node if k == 0 else node.inputs[op.like[k]]
            if self.facts.get(variable) != self.facts.get(result):
                rows = [("output", result), ("out", variable)]
                self._agree(node, op, rows, "out= needs the shape of the result")

    def guess(self, node: Node) -> None:
        if node.op == PICK:
            return
        op = op_of(node)
        if op.is_update or op.parts or len(op.inputs) == 1:
            return
        operands = [node.inputs[i] for i in plan_of(op).full]
        given = [self.facts.get(n) for n in operands]
        if all(map(is_complete, given)):
            return
        if self._extent(node, op, None) == Extent.ELEMENT:
            given.append(self.facts.get(node))
        found = [s for s in given if s and is_complete(s)]  # () is a number of the host: it says nothing
        if found:
            self._operands(node, op, domain_of(found))

    # ---- update ops

    def _update(self, node: Node, op: OpDef, plan: Plan, gives: bool) -> None:
        """One tensor of an update op; `gives`: the node's own output has its shape."""
        known = self.facts.known
        inputs = node.inputs
        shape = known.get(id(inputs[plan.full[0]]))
        for i in plan.full:
            if known.get(id(inputs[i])) != shape:
                break
        else:
            if shape is not None and -1 not in shape and (not gives or known.get(id(node), shape) == shape):
                if gives:
                    self.facts.set(node, shape)
                self._rest(node, op, plan, shape)
                return
        rows = [(op.inputs[i].name, inputs[i]) for i in plan.full]
        agreed = self._agree(node, op, [*rows, ("output", node)] if gives else rows, ONE_SHAPE)
        if agreed is not None:
            self._rest(node, op, plan, agreed)

    def _rest(self, node: Node, op: OpDef, plan: Plan, shape: Shape) -> None:
        if op.is_matrix and len(shape) < 2:
            row = [(op.inputs[plan.full[0]].name, node.inputs[plan.full[0]])]
            rule = f"{row[0][0]} must be a matrix or a stack of matrices"
            raise ShapeError(mismatch(node, op, rule, self.facts.known, row, 0, "expected two axes or more"))
        if shape == ():
            self.arrays.update(id(node.inputs[i]) for i in (*plan.full, *plan.rows))
        for i in plan.rows:
            given = self.facts.get(node.inputs[i])
            wanted = _factor_shape(op, i, shape, given)
            try:
                agreed = merge(given, wanted)
            except ShapeError:
                rows = [(op.inputs[k].name, node.inputs[k]) for k in (plan.full[0], i)]
                what = op.inputs[i].kind.removesuffix("_state")
                rule = f"{op.inputs[i].name} must have one value per {what} of {rows[0][0]}"
                expected = f"expected {_factor_shape(op, i, shape, None)}"
                raise ShapeError(mismatch(node, op, rule, self.facts.known, rows, 1, expected)) from None
            if agreed is not None:
                self.facts.set(node.inputs[i], agreed)

    def _vectors(self, node: Node, op: OpDef) -> None:
        for i in plan_of(op).vectors:
            wanted = (len(op.parts),)
            try:
                merge(self.facts.get(node.inputs[i]), wanted)
            except ShapeError:
                row = [(op.inputs[i].name, node.inputs[i])]
                rule = f"{op.inputs[i].name} must have one number for each of {wanted[0]} tensors"
                text = mismatch(node, op, rule, self.facts.known, row, 0, f"expected {wanted}")
                raise ShapeError(text) from None
            self.facts.set(node.inputs[i], wanted)

    # ---- ordinary ops

    def _ordinary(self, node: Node, op: OpDef) -> None:
        known = self.facts.known
        operands = [node.inputs[i] for i in plan_of(op).full]
        domain = known.get(id(operands[0])) if operands else ()
        if len(operands) > 1:
            domain = self._domain(node, op, operands)
        extent = self._extent(node, op, domain)
        if extent == Extent.ELEMENT and len(operands) == 1:
            self._agree(node, op, [(op.inputs[0].name, operands[0]), ("output", node)], ONE_SHAPE)
        elif domain is not None and extent is not None:
            self._result(node, op, reduced(extent, domain, _keepdims(node, op)))
        elif extent == Extent.TENSOR and not _keepdims(node, op):
            self._result(node, op, (1,))

    def _domain(self, node: Node, op: OpDef, operands: Sequence[Node]) -> Shape | None:
        shapes = [s for n in operands if (s := self.facts.get(n)) is not None and -1 not in s]
        if len(shapes) < len(operands):
            return None
        domain = domain_of(shapes)
        for k, shape in enumerate(shapes):
            if not fits(shape, domain):
                rows = list(zip((op.inputs[i].name for i in plan_of(op).full), operands, strict=True))
                wanted = f"expected {domain}"
                raise ShapeError(mismatch(node, op, BROADCAST, self.facts.known, rows, k, wanted))
        return domain

    def _operands(self, node: Node, op: OpDef, shape: Shape) -> None:
        for i in plan_of(op).full:
            given = self.facts.get(node.inputs[i])
            if not is_complete(given):
                try:
                    self.facts.set(node.inputs[i], merge(given, shape) or shape)
                except ShapeError:
                    row = [(op.inputs[i].name, node.inputs[i])]
                    wanted = f"expected {shape}"
                    text = mismatch(node, op, BROADCAST, self.facts.known, row, 0, wanted)
                    raise ShapeError(text) from None

    def _extent(self, node: Node, op: OpDef, domain: Shape | None) -> Extent | None:
        """What the output holds one value of; None while that depends on an unknown number of dimensions."""
        if domain is None and any(
            op.attrs[a].kind == "axis" and node.attrs.get(a) is not None for a in op.structural
        ):
            return None
        try:
            return extent_of(op, structural(op, node, None if domain is None else len(domain)))
        except AttributeValueError as error:
            raise AttributeValueError(f"{error}{built_at(node.where)}") from None
        except ValueError as error:
            raise ShapeError(f"{title(node, op)}: {error}{built_at(node.where)}") from None

    # ---- any op

    def _check_single(self, node: Node, op: OpDef) -> None:
        count = len(node.inputs) - len(node.attrs.get("__scalars__", ()))
        for i in (*plan_of(op).single, *range(count, len(node.inputs))):
            shape = self.facts.get(node.inputs[i])
            if shape and any(n not in (1, -1) for n in shape):
                names = labels(node, op)
                rule = f"{names[i]} must have one element"
                row = [(names[i], node.inputs[i])]
                raise ShapeError(mismatch(node, op, rule, self.facts.known, row, 0, "expected ()"))

    def _result(self, node: Node, op: OpDef, shape: Shape) -> None:
        try:
            agreed = merge(shape, self.facts.get(node))
        except ShapeError:
            rows = [*zip(labels(node, op), node.inputs, strict=True), ("output", node)]
            text = mismatch(node, op, "the result is needed in another shape", self.facts.known, rows,
                            len(rows) - 1, f"is {shape}")  # fmt: skip
            raise ShapeError(text) from None
        self.facts.set(node, agreed or shape)

    def _agree(self, node: Node, op: OpDef, rows: Sequence[Row], rule: str) -> Shape | None:
        """Give all of `rows` the one shape that follows from what is known of each."""
        known = self.facts.known
        agreed: Shape | None = None
        for k, (_, n) in enumerate(rows):
            try:
                agreed = merge(agreed, known.get(id(n)))
            except ShapeError:
                text = mismatch(node, op, rule.format(first=rows[0][0]), known, rows, k, f"expected {agreed}")
                raise ShapeError(text) from None
        if agreed is not None:
            for _, n in rows:
                self.facts.set(n, agreed)
        return agreed


def _factor_shape(op: OpDef, i: int, shape: Shape, given: Shape | None) -> Shape:
    """The shape of an input with one value per row or column, with or without axes of length 1 as it is given."""
    if op.is_matrix:
        return factor_shape(GRIDS[op.inputs[i].kind], shape, None if given is None else len(given))
    flat = given is not None and len(given) == 1 and len(shape) > 1
    return row_shape(shape)[:1] if flat else row_shape(shape)


def _keepdims(node: Node, op: OpDef) -> bool:
    attr = op.attrs.get("keepdims")
    return attr is not None and bool(node.attrs.get("keepdims", attr.default))

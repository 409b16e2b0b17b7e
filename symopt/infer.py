"""Shape, dtype and storage type of every node, from what is known of some of them.

The rules are read off the OpDefs. Facts travel both ways: a gradient's shape is its weight's, and the other way round.
A variable of shape () is a number of the host, unless an update op takes it for its weight, gradient or state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from .dtyperules import DTypeRules
from .dtypes import COMPLEX, MXNET_NAMES
from .errors import DTypeError, ShapeError, StorageError, built_at
from .expr import PICK, VARIABLE, Extent, Node, children, toposort
from .facts import Facts, labels, mismatch, same_as, solve
from .forms import op_of
from .opdef import OpDef
from .shaperules import ShapeRules, parts_of
from .shapes import Shape, merge, parse_shape, reach, structural

F = TypeVar("F")
STYPES = {"-1": "default", "0": "default", "1": "row_sparse"}  # MXNet's numbers; -1: not said
STORAGE_NAMES = ("default", "row_sparse")


class Types:
    """What is known of a graph: `order` holds its nodes, inputs first. None: unknown; -1: an unknown dimension.

    Takes variables, op nodes (their output 0) and picks, also picks made afterwards.
    """

    def __init__(self, order: list[Node]) -> None:
        self.order = order
        self.shapes: Facts[Shape] = Facts()
        self.dtypes: Facts[str] = Facts()
        self.sparse: set[int] = set()
        self.host: set[int] = set()

    def shape(self, node: Node) -> Shape | None:
        return self.shapes.known.get(id(_known_as(node, self.shapes)))

    def dtype(self, node: Node) -> str | None:
        return self.dtypes.known.get(id(_known_as(node, self.dtypes)))

    def stype(self, node: Node) -> str:
        return "row_sparse" if id(node) in self.sparse else "default"

    def is_host(self, node: Node) -> bool:
        """Whether the value is a number that the host knows before the kernels start."""
        return id(node) in self.host


def infer(
    roots: Sequence[Node],
    shapes: Mapping[str, Shape | None] = {},
    dtypes: Mapping[str, str] | None = None,
    stypes: Mapping[str, str] | None = None,
    *,
    partial: bool = False,
    order: list[Node] | None = None,
) -> Types:
    """Everything that follows from the shapes, dtypes and storage types of some variables, given by name.

    ShapeError, DTypeError and StorageError name the op and the input that does not fit. What stays unknown is None.
    `partial`: only what must be so; else the operands of an operator are taken to have one shape when nothing
    says otherwise, as MXNet has it. `order`: the nodes under the roots, inputs first, if known already.
    """
    types = Types(toposort(roots, children) if order is None else order)
    variables = [node for node in types.order if node.op == VARIABLE]
    _read_shapes(variables, shapes, types)
    rules = ShapeRules(types.shapes)
    unknown = len(types.shapes.known) < len(variables) or any(
        -1 in s for s in set(types.shapes.known.values())
    )
    if unknown:
        rules.name_scalars(types.order)
    solve(types.order, types.shapes, rules.relate, rules.guess if unknown and not partial else None)
    _find_host(types, variables, rules.arrays)
    _read_dtypes(variables, dtypes or {}, types)
    dtype_rules = DTypeRules(types.dtypes, types.host)
    solve(
        types.order,
        types.dtypes,
        dtype_rules.relate,
        dtype_rules.guess if dtype_rules.has_orphans(types.order) else None,
    )
    _read_stypes(variables, stypes or {}, types)
    return types


def _known_as(node: Node, facts: Facts[F]) -> Node:
    while node.op == PICK and id(node) not in facts.known:
        node = same_as(node)
    return node


# ---- what variables say of themselves


def _read_shapes(variables: Iterable[Node], given: Mapping[str, Shape | None], types: Types) -> None:
    known = types.shapes.known
    for node in variables:
        shape = given.get(node.name)
        if shape is not None:
            shape = tuple(shape)
        text = node.attrs.get("__shape__")
        if text is not None:
            try:
                shape = merge(shape, parse_shape(text))
            except ShapeError as error:
                raise ShapeError(f"variable {node.name!r}: shape {error}{built_at(node.where)}") from None
        if shape is not None:
            known[id(node)] = shape


def _read_dtypes(variables: Iterable[Node], given: Mapping[str, str], types: Types) -> None:
    known = types.dtypes.known
    for node in variables:
        dtype = given.get(node.name)
        code = node.attrs.get("__dtype__")
        if code is not None and code != "-1":
            declared = _dtype_of(code)
            if declared is None:
                raise DTypeError(f"variable {node.name!r}: __dtype__ {code!r} is not supported: {_CODES}")
            if id(node) not in types.host and dtype not in (None, declared):
                text = f"variable {node.name!r} is declared {declared}, given {dtype}"
                raise DTypeError(text + built_at(node.where))
            dtype = declared
        if dtype is not None:
            known[id(node)] = dtype
        if dtype in COMPLEX and id(node) in types.host:
            text = f"variable {node.name!r} is a number of the host, which is real; as an array it has shape (1,)"
            raise DTypeError(text + built_at(node.where))
    for key in types.host:
        known[key] = "float64"


_CODES = "use one of " + ", ".join(f"{code} ({name})" for code, name in MXNET_NAMES.items())
_CODES += ", " + ", ".join(COMPLEX)


def _dtype_of(code: str) -> str | None:
    if code in COMPLEX:
        return code
    return MXNET_NAMES.get(int(code)) if code.isascii() and code.isdigit() and len(code) < 4 else None


def _read_stypes(variables: Iterable[Node], given: Mapping[str, str], types: Types) -> None:
    for node in variables:
        stype = given.get(node.name)
        code = node.attrs.get("__storage_type__")
        if code is not None and code not in STYPES:
            raise StorageError(
                f"variable {node.name!r}: __storage_type__ {code!r} is not default (0) or row_sparse (1)"
            )
        if stype is not None and stype not in STORAGE_NAMES:
            raise StorageError(
                f"variable {node.name!r}: storage {stype!r} is not one of {', '.join(STORAGE_NAMES)}"
            )
        if code == "0" and stype == "row_sparse":
            text = f"variable {node.name!r} is declared of default storage, given row_sparse"
            raise StorageError(text + built_at(node.where))
        if (stype or STYPES.get(code or "0")) == "row_sparse":
            types.sparse.add(id(node))
    if types.sparse:
        _check_storage(types)


def _check_storage(types: Types) -> None:
    for node in types.order:
        if node.op in (VARIABLE, PICK):
            continue
        op = op_of(node)
        for part in parts_of(op) if op.is_update else ():
            _check_part(node, op, part, types)


def _check_part(node: Node, op: OpDef, part: Sequence[int], types: Types) -> None:
    names = labels(node, op)
    sparse = [i for i in part[1:] if op.inputs[i].kind == "tensor" and id(node.inputs[i]) in types.sparse]
    if len(sparse) > 1:
        rows = [(names[i], node.inputs[i]) for i in part]
        stypes = {id(n): types.stype(n) for _, n in rows}
        rule = "one input at most may be row_sparse"
        text = mismatch(node, op, rule, stypes, rows, part.index(sparse[1]), "expected default")
        raise StorageError(text)


# ---- numbers of the host


def _find_host(types: Types, variables: Iterable[Node], arrays: set[int]) -> None:
    known = types.shapes.known
    host = types.host
    host.update(id(n) for n in variables if known.get(id(n)) == () and id(n) not in arrays)
    if not host:
        return
    for node in types.order:
        if node.op in (VARIABLE, PICK) or host.isdisjoint(map(id, node.inputs)):
            continue
        op = op_of(node)
        if op.is_update or op.parts or _folds(node, op, types):
            _refuse_host(node, op, host)
        elif all(id(n) in host for n in node.inputs):
            host.add(id(node))


def _folds(node: Node, op: OpDef, types: Types) -> bool:
    shape = types.shape(node.inputs[0])
    try:
        return reach(op, structural(op, node, len(shape or ()))) != Extent.ELEMENT
    except ValueError:  # an axis that only an unknown number of dimensions makes right
        return True


def _refuse_host(node: Node, op: OpDef, host: set[int]) -> None:
    count = len(node.inputs) - len(node.attrs.get("__scalars__", ()))
    for i, n in enumerate(node.inputs[:count]):
        if id(n) in host and op.inputs[i].kind != "scalar":
            name = labels(node, op)[i]
            rule = f"{name} must be an array, not a number of the host"
            raise ShapeError(mismatch(node, op, rule, {id(n): ()}, [(name, n)], 0, "give it shape (1,)"))

"""Shapes: how they agree, what broadcasts to what, and how far a formula looks."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from .errors import ShapeError
from .expr import Extent, Node, toposort
from .grids import shape_on
from .opdef import OpDef
from .prims import REDUCTIONS
from .trace import trace

Shape = tuple[int, ...]  # -1 is a dimension that is not known yet

EXTENTS = {"row_state": Extent.ROW, "scalar": Extent.TENSOR}
ALLOWED_AXES = "None (all elements) or every axis but the first (each row)"


def is_complete(shape: Shape | None) -> bool:
    """Whether every dimension is known."""
    return shape is not None and -1 not in shape


def merge(a: Shape | None, b: Shape | None) -> Shape | None:
    """What both say together; ShapeError when they contradict each other."""
    if a is None or a == b:
        return b
    if b is None:
        return a
    if len(a) != len(b) or any(x != y and x != -1 and y != -1 for x, y in zip(a, b, strict=True)):
        raise ShapeError(f"{a} is not {b}")
    return tuple(y if x == -1 else x for x, y in zip(a, b, strict=True))


def has_one_element(shape: Shape) -> bool:
    return all(n == 1 for n in shape)


def row_shape(shape: Shape) -> Shape:
    """The shape of one value per row: (rows, 1, ..., 1)."""
    return (*shape[:1], *(1 for _ in shape[1:]))


def factor_shape(grid: str, shape: Shape, ndim: int | None) -> Shape:
    """The shape of one value per row (grid "r1") or column ("1c") of matrices of `shape`. Where an array of as many
    axes is given, the other axis has length 1.

    >>> factor_shape("r1", (5, 3, 4), None), factor_shape("1c", (5, 3, 4), 3)
    ((5, 3), (5, 1, 4))
    """
    full = shape_on(grid, shape)
    if ndim == len(shape):
        return full
    return full[:-1] if grid == "r1" else (*full[:-2], full[-1])


def fits(shape: Shape, domain: Shape) -> bool:
    """Whether an input of this shape is the domain, one element, or one value per row of it."""
    return shape == domain or has_one_element(shape) or (len(shape) > 1 and shape == row_shape(domain))


def domain_of(shapes: Iterable[Shape]) -> Shape:
    """The shape that an op on inputs of these shapes runs over: the one that the most others fit.

    >>> domain_of([(4, 1), (1,), (4, 3)])
    (4, 3)
    """
    distinct = list(dict.fromkeys(shapes))
    return max(distinct, key=lambda d: (sum(fits(s, d) for s in distinct), len(d)))


def over_rows(axis: Sequence[int] | int | None, ndim: int) -> bool:
    """Whether a reduction over `axis` gives one value per row; False: one per tensor. ValueError for other axes.

    >>> over_rows(None, 2), over_rows((1,), 2), over_rows((0, 1), 2)
    (False, True, False)
    """
    if axis is None or axis == ():
        return False
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    found = {a + ndim if a < 0 else a for a in axes}
    if ndim <= 1 and found <= {0, ndim - 1}:
        return False
    if found == set(range(ndim)):
        return False
    if ndim > 1 and found == set(range(1, ndim)):
        return True
    raise ValueError(f"axis = {axis} of an array of {ndim} dimensions must be {ALLOWED_AXES}")


def structural(op: OpDef, node: Node, ndim: int | None) -> tuple[tuple[str, Any], ...]:
    """The attributes that decide what a node computes, as its formula takes them (axis: True over each row)."""
    found = []
    for name in op.structural:
        value = node.attrs.get(name, op.attrs[name].default)
        if op.attrs[name].kind == "axis":
            value = False if value is None else over_rows(value, ndim or 0)
        found.append((name, value))
    return tuple(found)


def switches(op: OpDef, node: Node, symbols: Collection[str]) -> tuple[tuple[str, bool], ...]:
    """Whether each clip or bound of a node is on; of those given as Symbols nobody knows."""
    return tuple(
        [
            (a.name, node.attrs.get(a.name, a.default) >= 0)
            for a in op.attrs.values()
            if a.switch and a.name not in symbols
        ]
    )


def reach(op: OpDef, structural: tuple[tuple[str, Any], ...]) -> Extent:
    """How far one value of the result looks: its own ELEMENT, its ROW, or the whole TENSOR."""
    if op.is_matrix:
        return Extent.TENSOR
    return _traced(op, structural)[1]


def extent_of(op: OpDef, structural: tuple[tuple[str, Any], ...]) -> Extent:
    """What the op's output holds one value of: each ELEMENT, each ROW, or the TENSOR."""
    return _traced(op, structural)[0]


@cache
def _traced(op: OpDef, structural: tuple[tuple[str, Any], ...]) -> tuple[Extent, Extent]:
    _, outputs = trace(op, formula_inputs(op, {}), dict(structural), {}, {})
    type_ = outputs["output"].type
    assert type_ is not None
    folds = [REDUCTIONS[n.op].extent for n in toposort(outputs.values()) if n.op in REDUCTIONS]
    return max(type_.extent, Extent.TENSOR), min(folds, default=Extent.ELEMENT)


def formula_inputs(op: OpDef, dtypes: Mapping[str, str]) -> list[tuple[str, str, Extent]]:
    """Inputs to trace a formula on to see what it does; float32 unless said otherwise."""
    return [(i.name, dtypes.get(i.name, "float32"), EXTENTS.get(i.kind, Extent.ELEMENT)) for i in op.inputs]


def reduced(extent: Extent, shape: Shape, keepdims: bool) -> Shape:
    """The shape of an op's output that holds one value of `extent` of its domain `shape`."""
    if extent == Extent.ELEMENT:
        return shape
    if extent == Extent.ROW:
        return row_shape(shape) if keepdims else shape[:1] or (1,)
    return (1,) * max(len(shape), 1) if keepdims else (1,)


@lru_cache(maxsize=4096)
def parse_shape(text: str) -> Shape | None:
    """The shape that an attribute `__shape__` says: unknown dimensions are -1 or None; ShapeError for anything else."""
    try:
        value = ast.literal_eval(text.strip()) if len(text) <= 1000 else text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        value = text
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        shape = tuple(-1 if n is None else n for n in value)
        if all(type(n) is int and n >= -1 for n in shape):
            return shape
    raise ShapeError(f"__shape__ = {text[:80]!r} is not a tuple of dimensions such as '(2, 3)'")

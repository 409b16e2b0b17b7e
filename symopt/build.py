"""Makes typed primitive nodes, each only once: equal operations on equal inputs are the same node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .dtypes import COMPLEX, COMPLEX_OF, COMPONENT, COMPUTE, component
from .errors import GraphError, Where
from .expr import Extent, Node, Type
from .grids import WHOLE, join, mismatch, text
from .prims import CAST, PAIR, PRIMS, REDUCTIONS
from .routines import ROUTINES


class Builder:
    """A table of primitive nodes under construction. `compute` is the dtype of numbers that meet no array.

    `matrices`: rows are those of matrices, and values are on grids; what is one per row is an element on a grid of its
    own. `tall`: these matrices have more rows than columns.
    """

    def __init__(self, compute: str, *, matrices: bool = False, tall: bool = False) -> None:
        self.compute = compute
        self.matrices = matrices
        self.tall = tall
        self._made: dict[object, Node] = {}

    def make(self, op: str, *inputs: Node, where: Where | None = None, **attrs: Any) -> Node:
        """The node `op(*inputs)`; numbers of the host that meet array values are rounded once to their dtype."""
        prim = PRIMS.get(op)
        if op in REDUCTIONS:
            type_ = self._reduced(op, self._numeric(inputs), inputs[0])
            inputs = tuple(self._on_device(x, type_.dtype) for x in inputs)
        elif prim is not None:
            extent = max(x.type.extent for x in inputs if x.type)
            dtype = self._numeric(inputs) if extent > Extent.HOST else "float64"
            if extent > Extent.HOST:
                inputs = tuple(self._on_device(x, dtype) for x in inputs)
            grid = WHOLE
            if self.matrices and extent > Extent.TENSOR:
                grid = join((_grid(x) for x in inputs if _has_grid(x)), op, where)
                inputs = tuple(self._spread(x, grid) for x in inputs)
            type_ = Type(dtype if prim.result == "same" else "bool", extent, grid)
        else:
            raise KeyError(op)
        return self._intern(op, inputs, attrs, type_, where)

    def remake(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """`node` on other inputs of the same dtypes; its extent follows theirs."""
        assert node.type is not None
        extent = node.type.extent
        if node.op in REDUCTIONS:
            extent = extent if self.matrices else REDUCTIONS[node.op].extent
        elif inputs:
            extent = max(x.type.extent for x in inputs if x.type)
            if node.type.dtype == "bool" and extent == Extent.HOST and node.type.extent > extent:
                extent = Extent.TENSOR  # a number of the host turned into a condition of the kernel
        grid = node.type.grid if self.matrices else WHOLE
        return self._intern(node.op, inputs, node.attrs, Type(node.type.dtype, extent, grid), node.where)

    def cast(self, x: Node, dtype: str, where: Where | None = None) -> Node:
        """x rounded to `dtype`; a number of the host stays one per tensor but has that dtype. Both parts of a pair; a
        real number becomes a pair whose imaginary part is zero."""
        assert x.type is not None
        if x.type.dtype == dtype:
            return x
        if dtype in COMPLEX:
            real, imag = x.inputs if x.op == PAIR else (x, self.const(0))
            return self.pair(self.cast(real, component(dtype)), self.cast(imag, component(dtype)))
        if x.type.dtype == "float64" and dtype in ("float16", "bfloat16") and x.type.extent > Extent.HOST:
            # Processors have no direct instruction: every engine takes two steps.
            return self.cast(self.cast(x, "float32", where), dtype, where)
        return self._intern(CAST, (x,), {}, x.type._replace(dtype=dtype), where)

    def select(self, condition: Node, x: Node, y: Node) -> Node:
        """x or y, both of one stored dtype: a choice moves bits and computes nothing."""
        assert condition.type is not None and x.type is not None and y.type is not None
        if x.op == PAIR:
            parts = (self.select(condition, *both) for both in zip(x.inputs, y.inputs, strict=True))
            return self.pair(*parts)
        extent = max(condition.type.extent, x.type.extent, y.type.extent)
        return self._intern("where", (condition, x, y), {}, x.type._replace(extent=extent), None)

    def apply(self, op: str, inputs: tuple[Node, ...], type_: Type) -> Node:
        """A primitive whose operands are of several dtypes, as they are."""
        return self._intern(op, inputs, {}, type_, None)

    def noise(self, of: Type, seed: Node, salt: Node) -> Node:
        """A float32 in [0, 1) for each value of a type, made from the index of its element, or of its row."""
        type_ = Type("float32", max(of.extent, Extent.TENSOR), of.grid)
        index = self.leaf("index", "index", type_.extent, type_.grid)
        numbers = (self.cast(seed, "float32"), self.cast(salt, "float32"))
        return self.apply("noise", (index, *numbers), type_)

    def leaf(
        self,
        op: str,
        dtype: str,
        extent: Extent,
        grid: str = WHOLE,
        where: Where | None = None,
        **attrs: Any,
    ) -> Node:
        """A leaf: one of prims.LEAVES."""
        return self._intern(op, (), attrs, Type(dtype, extent, grid), where)

    def routine(self, op: str, inputs: tuple[Node, ...], where: Where | None = None, to: str = "") -> Node:
        """The routine `op` of a library, on whole arrays; `to` is the grid to spread one to."""
        for x in inputs:
            if not _has_grid(x):
                raise GraphError(f"{op}: a number is no matrix{f', in {where}' if where else ''}")
        inputs = tuple(self._number(x) for x in inputs)
        given = [_grid(x) for x in inputs]
        grid = to or ROUTINES[op].grid(*given)
        if not grid:
            raise mismatch(op, given, where)
        return self._intern(op, inputs, {}, Type(self._numeric(inputs), Extent.ELEMENT, grid), where)

    def on_grid(self, x: Node, grid: str, what: str) -> Node:
        """x as it is stored in an array on `grid`."""
        if not self.matrices or not _has_grid(x) or _grid(x) == grid:
            return x
        if x.op == PAIR:
            return self.pair(*(self.on_grid(part, grid, what) for part in x.inputs))
        if join((_grid(x), grid), what) != grid:
            raise GraphError(
                f"{what}: a value of ({text(_grid(x))}) does not fit the array of ({text(grid)})"
            )
        return self._spread(x, grid)

    def load(self, dtype: str, extent: Extent, grid: str = WHOLE, **attrs: Any) -> Node:
        """What an array of any dtype holds: a leaf, or a pair of leaves."""
        if dtype not in COMPLEX:
            return self.leaf("load", dtype, extent, grid, **attrs)
        parts = (self.leaf("load", COMPONENT[dtype], extent, grid, **attrs, part=k) for k in (0, 1))
        return self.pair(*parts)

    def pair(self, real: Node, imag: Node) -> Node:
        """A complex number of its parts."""
        dtype = self._numeric((real, imag))
        parts = (self._on_device(real, dtype), self._on_device(imag, dtype))
        extent = max(x.type.extent for x in parts if x.type)
        grid = join((_grid(x) for x in parts if _has_grid(x)), PAIR) if self.matrices else WHOLE
        return self._intern(PAIR, parts, {}, Type(COMPLEX_OF[dtype], extent, grid), None)

    def const(self, value: float) -> Node:
        return self.leaf("const", "float64", Extent.HOST, value=float(value))

    def truth(self, value: bool) -> Node:
        """A condition that is known when the formula is traced."""
        return self.leaf("const", "bool", Extent.HOST, value=float(value))

    def _reduced(self, op: str, dtype: str, x: Node) -> Type:
        extent = REDUCTIONS[op].extent
        if self.matrices and extent == Extent.ROW:
            return Type(dtype, Extent.ELEMENT, _grid(x)[0] + "1")
        return Type(dtype, extent)

    def _spread(self, x: Node, grid: str) -> Node:
        """x for a place on `grid`, where it may have one value per row, but not one per column or per matrix."""
        if not _has_grid(x) or _grid(x) in (grid, grid[0] + "1"):
            return x
        spread = self.routine("spread", (x,), x.where, to=grid[0] + _grid(x)[1])
        return self.make("ne", spread, self.const(0)) if x.type and x.type.dtype == "bool" else spread

    def _number(self, x: Node) -> Node:
        """x, or 1 and 0 for a condition: arrays hold numbers."""
        if x.type and x.type.dtype == "bool":
            return self.cast(self.make("where", x, self.const(1), self.const(0)), self.compute)
        return x

    def _numeric(self, inputs: tuple[Node, ...]) -> str:
        for x in inputs:
            if x.type and x.type.dtype != "bool" and not is_host(x):
                return COMPUTE[x.type.dtype]
        return self.compute

    def _on_device(self, x: Node, dtype: str) -> Node:
        assert x.type is not None
        if x.type.dtype == "bool":
            if x.type.extent > Extent.HOST:
                return x
            number = self.make("where", x, self.const(1), self.const(0))
            return self.make_device_bool(self.cast(number, dtype), dtype)
        return self.cast(x, dtype) if x.type.dtype != dtype else x

    def make_device_bool(self, x: Node, dtype: str) -> Node:
        """The condition x != 0 of a number passed to a kernel: kernels take numbers, not conditions."""
        zero = self.cast(self.const(0), dtype)
        return self._intern("ne", (x, zero), {}, Type("bool", Extent.TENSOR), None)

    def _intern(
        self, op: str, inputs: tuple[Node, ...], attrs: Mapping[str, Any], type_: Type, where: Where | None
    ) -> Node:
        key = (op, tuple(map(id, inputs)), tuple((k, repr(v)) for k, v in attrs.items()), type_)
        node = self._made.get(key)
        if node is None:
            node = self._made[key] = Node(op, inputs, attrs, "", where, type_)
        return node


def _has_grid(x: Node) -> bool:
    return x.type is not None and x.type.extent > Extent.TENSOR


def _grid(x: Node) -> str:
    assert x.type is not None
    return x.type.grid


def is_host(x: Node) -> bool:
    """Whether the host knows the value before the step starts (rounded or not)."""
    return x.type is not None and x.type.extent == Extent.HOST


def kernel_inputs(x: Node) -> tuple[Node, ...]:
    """The inputs of x that a kernel computes: a number comes from the host, whatever it is made of there."""
    return () if is_number(x) else x.inputs


def is_number(x: Node) -> bool:
    """Whether a kernel gets x as an argument: float64 of the host, or that rounded once."""
    if not is_host(x) or x.type is None:
        return False
    return x.type.dtype == "float64" or (
        x.op == CAST and x.type.dtype == "float32" and x.inputs[0].type == Type("float64", Extent.HOST)
    )

"""From a traced formula to bodies: one for each value that must be complete before the next can start, then those of
what is stored. Such values are reductions over the whole tensor; and in formulas on matrices reductions of rows, and
functions of a library with the arrays they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..build import Builder
from ..expr import Extent, Node, Type, toposort
from ..opdef import OpDef
from ..prims import NEED_ROWS, REDUCTIONS
from ..routines import ROUTINES
from ..trace import trace
from .ir import DENSE, LIBRARY, LISTED, REDUCE, STANDARD, Body, Param
from .rounding import lost, stored


@dataclass(frozen=True)
class Signature:
    """All that the bodies of an op depend on. `tall`: of one on matrices, whether they have more rows than columns."""

    op: OpDef
    inputs: tuple[tuple[str, str, Extent], ...]
    structural: tuple[tuple[str, Any], ...]
    switches: tuple[tuple[str, bool], ...]
    device: tuple[tuple[str, str, Extent], ...]
    outputs: tuple[Param, ...]
    mode: str
    sparse: int
    tall: bool = False


class Stage(NamedTuple):
    """One body of an op. `wiring[k]` says what its param k is: (False, input) or (True, earlier stage). `results`: the
    op's outputs that it makes; none if it only makes what later stages read."""

    body: Body
    wiring: tuple[tuple[bool, int], ...]
    results: tuple[int, ...] = ()


def make_stages(signature: Signature) -> tuple[Stage, ...]:
    """The bodies of an op in the order they run; the last ones give its outputs."""
    device = {name: (dtype, extent) for name, dtype, extent in signature.device}
    structural, switches = dict(signature.structural), dict(signature.switches)
    builder, named = trace(signature.op, list(signature.inputs), structural, switches, device, signature.tall)
    roots = _stored(signature, builder, named)
    stages = _Stages(signature, builder, roots)
    for node in toposort(roots):
        stages.visit(node)
    stages.finish(roots)
    return tuple(stages.made)


class _Stages:
    """The stages made so far. `replaced`: what each node of the formula is read as by now."""

    def __init__(self, signature: Signature, builder: Builder, roots: list[Node]) -> None:
        self.signature = signature
        self.builder = builder
        self.made: list[Stage] = []
        self.replaced: dict[int, Node] = {}
        self.slots = _slots(signature)
        self.views = _views(roots)
        self.whole = _operands(roots, self.views)

    def visit(self, node: Node) -> None:
        """Cut at a node whose value must be complete before what reads it can start."""
        reduction = REDUCTIONS.get(node.op)
        if reduction is not None and (reduction.extent == Extent.TENSOR or self.builder.matrices):
            self._reduction(node, REDUCE if reduction.extent == Extent.TENSOR else DENSE)
        elif id(node) in self.views:
            return
        elif node.op in ROUTINES:
            self._cut(node, self._now(node), LIBRARY, _type(node).grid, ROUTINES[node.op].noun)
        elif id(node) in self.whole and not _is_array(self._now(node)):
            self._cut(node, self._now(node), DENSE, _type(node).grid, "x")

    def finish(self, roots: list[Node]) -> None:
        """The stages of what is stored: one for each grid."""
        final = substitute(self.builder, roots, self.replaced)
        outputs = self.signature.outputs
        if (
            len(final) == 1
            and self.made
            and final[0] is self._latest
            and _type(final[0]).grid == outputs[0].grid
        ):
            self.made[-1] = self.made[-1]._replace(results=(0,))  # the result is the cut itself
            return
        for grid in dict.fromkeys(p.grid for p in outputs):
            found = tuple(k for k, p in enumerate(outputs) if p.grid == grid)
            stored = tuple(final[k] for k in found)
            stage = _stage(
                self.signature,
                stored,
                self.slots,
                self.signature.mode,
                grid,
                tuple(outputs[k] for k in found),
            )
            self.made.append(stage._replace(results=found))

    def _reduction(self, node: Node, mode: str) -> None:
        root = self._now(node)
        operand = root.inputs[0]
        grid = _type(operand).grid
        if mode == REDUCE and any(_is_per_row(n, grid) for n in toposort([root])):
            # Blocks of a reduction cut across rows: what is per row is spread over the elements first.
            value = Type(_type(operand).dtype, Extent.ELEMENT, grid)
            self._add(operand, DENSE, grid, value, "spread")
            root = self.builder.remake(root, (self._latest,))
        self._cut(node, root, mode, grid, node.op)

    def _now(self, node: Node) -> Node:
        """The node on what was made so far."""
        return substitute(self.builder, [node], self.replaced)[0]

    def _cut(self, node: Node, root: Node, mode: str, grid: str, name: str) -> None:
        """A stage of its own for `node`, which is read from its result from now on."""
        self._add(root, mode, grid, _type(root), name)
        self.replaced[id(node)] = self._latest

    def _add(self, root: Node, mode: str, grid: str, type_: Type, name: str) -> None:
        self.made.append(_stage(self.signature, (root,), self.slots, mode, grid))
        # Negative indices until renumbered: results of stages, from 1.
        self._latest = Node("load", (), {"index": -len(self.made), "name": name}, "", None, type_)


def _views(roots: list[Node]) -> set[int]:
    """Transposes that only matrix products read: those take them as they lie in memory."""
    users: dict[int, set[str]] = {}
    order = toposort(roots)
    for node in order:
        for x in node.inputs:
            users.setdefault(id(x), set()).add(node.op)
    return {id(n) for n in order if n.op == "transpose" and users.get(id(n)) == {"matmul"}} - set(
        map(id, roots)
    )


def _operands(roots: list[Node], views: set[int]) -> set[int]:
    """What functions of a library read, as it is or transposed: arrays that must be whole."""
    order = toposort(roots)
    return {id(x) for n in order if n.op in ROUTINES or id(n) in views for x in n.inputs} - views


def _is_array(node: Node) -> bool:
    """Whether a value lies in memory as it is; parts of complex numbers lie between the others."""
    return node.op == "load" and "part" not in node.attrs


def _is_per_row(node: Node, grid: str) -> bool:
    """Whether a value in a stage over `grid` needs the rows: it is one per row, or a number in one."""
    is_row = node.op == "load" and _relative(_type(node), grid).extent == Extent.ROW
    return is_row or node.op in NEED_ROWS


def _relative(type_: Type, grid: str) -> Type:
    """What a value is in a body over `grid`: on another one, it is one per row there. "": whole arrays on any grid."""
    if grid and type_.extent == Extent.ELEMENT and type_.grid != grid:
        return Type(type_.dtype, Extent.ROW, type_.grid)
    return type_


def _stored(signature: Signature, builder: Builder, named: dict[str, Node]) -> list[Node]:
    """What is written, in storage dtype; in STANDARD mode lazy outputs keep their value in untouched rows."""
    op = signature.op
    structural = dict(signature.structural)
    lazy = op.is_update and signature.mode == STANDARD and structural["lazy_update"]
    seed = _seed(signature, builder) if structural.get("rounding") == "stochastic" else None
    roots: list[Node] = []
    for k, param in enumerate(signature.outputs):
        value = named[param.name]
        if param.name == op.residual:
            value = lost(builder, value, stored(builder, value, signature.outputs[0].dtype, seed, 0))
        root = stored(builder, value, param.dtype, seed, k)
        if lazy and param.name not in op.standard:
            old = op.inputs[0].name if param.name == "output" else param.name
            index = [i.name for i in op.inputs].index(old)
            touched = builder.leaf("touched", "bool", Extent.ROW)
            kept = builder.load(param.dtype, signature.inputs[index][2], index=index, name=old)
            root = builder.select(touched, root, kept)
        roots.append(root)
    return roots


def _seed(signature: Signature, builder: Builder) -> Node:
    """The attribute `seed`: a number of the host, or read from an array if it was given as one."""
    for k, (name, dtype, extent) in enumerate(signature.device):
        if name == "seed":
            index = len(signature.inputs) + k
            return builder.cast(builder.leaf("load", dtype, extent, index=index, name=name), "float32")
    return builder.leaf("scalar", "float64", Extent.HOST, name="seed")


def _slots(signature: Signature) -> dict[int, int]:
    """From an input's position in the op to its position among the arrays (numbers of the host are left out)."""
    both = (*signature.inputs, *signature.device)
    arrays = [i for i, p in enumerate(both) if p[2] != Extent.HOST]
    return {i: k for k, i in enumerate(arrays)}


def _stage(
    signature: Signature,
    roots: tuple[Node, ...],
    slots: dict[int, int],
    mode: str,
    grid: str,
    outputs: tuple[Param, ...] = (),
) -> Stage:
    """A body of these roots that has just the params they read, plus the sparse one and what lazy outputs keep."""
    order = toposort(roots)
    loads = {n.attrs["index"]: n for n in order if n.op == "load"}
    used = dict.fromkeys(sorted(i for i in loads if i >= 0))
    carried: list[int] = []
    if mode in (LISTED, STANDARD):
        used.setdefault(signature.sparse)
    if mode == LISTED:
        names = [i.name for i in signature.op.inputs]
        carried = [0 if p.name == "output" else names.index(p.name) for p in signature.outputs]
        for index in carried:
            used.setdefault(index)
    earlier = sorted((i for i in loads if i < 0), reverse=True)
    position = {index: k for k, index in enumerate((*sorted(used), *earlier))}
    both = (*signature.inputs, *signature.device)
    over = "" if mode == LIBRARY else grid  # a library takes arrays on any grid
    body = Body(
        op=signature.op.name,
        params=tuple(_param(loads.get(i), both[i] if i >= 0 else None, over) for i in position),
        scalars=tuple(dict.fromkeys(n.attrs["name"] for n in order if n.op == "scalar")),
        outputs=outputs or _made(roots[0], mode, over),
        roots=tuple(_renumber(roots, position, over)),
        mode=mode,
        sparse=position.get(signature.sparse, -1) if mode in (LISTED, STANDARD) else -1,
        carries=tuple(position[i] for i in carried),
        grid=grid,
    )
    wiring = [(False, slots[i]) for i in sorted(used)] + [(True, -i - 1) for i in earlier]
    return Stage(body, tuple(wiring))


def _param(load: Node | None, given: tuple[str, str, Extent] | None, over: str) -> Param:
    """What a body reads: an input of the op as it is `given`, or the result of an earlier stage."""
    if load is None:
        assert given is not None
        return Param(*given)
    type_ = _relative(_type(load), over)
    return Param(load.attrs["name"], given[1] if given else type_.dtype, type_.extent, type_.grid)


def _made(root: Node, mode: str, over: str) -> tuple[Param, ...]:
    """What a stage before the last ones makes: a number per tensor, or a whole array."""
    type_ = _relative(Type(_type(root).dtype, Extent.ELEMENT, _type(root).grid), over)
    return (Param("output", type_.dtype, Extent.TENSOR if mode == REDUCE else type_.extent, type_.grid),)


def _type(node: Node) -> Type:
    assert node.type is not None
    return node.type


def _renumber(roots: tuple[Node, ...], position: dict[int, int], over: str) -> list[Node]:
    builder = Builder("float32")
    replaced: dict[int, Node] = {}
    for node in toposort(roots):
        if node.op in ("load", "index", "column"):
            attrs = {**node.attrs, "index": position[node.attrs["index"]]} if node.op == "load" else {}
            type_ = _relative(_type(node), over)
            replaced[id(node)] = builder.leaf(node.op, type_.dtype, type_.extent, where=node.where, **attrs)
    return substitute(builder, roots, replaced)


def substitute(builder: Builder, roots: Any, replaced: dict[int, Node]) -> list[Node]:
    """The roots again with some nodes replaced; `replaced` (by id) gains every node that was made anew."""
    for node in toposort(roots, lambda n: () if id(n) in replaced else n.inputs):
        if id(node) not in replaced:
            replaced[id(node)] = builder.remake(node, tuple(replaced[id(x)] for x in node.inputs))
    return [replaced[id(root)] for root in roots]

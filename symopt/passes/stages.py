"""From a traced formula to bodies: one for each reduction over the whole tensor, then one for what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..build import Builder
from ..expr import Extent, Node, Type, toposort
from ..opdef import OpDef
from ..prims import NEED_ROWS, REDUCTIONS
from ..trace import trace
from .ir import DENSE, LISTED, REDUCE, STANDARD, Body, Param
from .rounding import lost, stored


@dataclass(frozen=True)
class Signature:
    """All that the bodies of an op depend on."""

    op: OpDef
    inputs: tuple[tuple[str, str, Extent], ...]
    structural: tuple[tuple[str, Any], ...]
    switches: tuple[tuple[str, bool], ...]
    device: tuple[tuple[str, str, Extent], ...]
    outputs: tuple[Param, ...]
    mode: str
    sparse: int


class Stage(NamedTuple):
    """One body of an op. `wiring[k]` says what its param k is: (False, input) or (True, earlier stage)."""

    body: Body
    wiring: tuple[tuple[bool, int], ...]


def make_stages(signature: Signature) -> tuple[Stage, ...]:
    """The bodies of an op in the order they run; the last one gives its outputs."""
    device = {name: (dtype, extent) for name, dtype, extent in signature.device}
    builder, named = trace(
        signature.op, list(signature.inputs), dict(signature.structural), dict(signature.switches), device
    )
    roots = _stored(signature, builder, named)
    slots = _slots(signature)
    stages: list[Stage] = []
    replaced: dict[int, Node] = {}
    for node in toposort(roots):
        reduction = REDUCTIONS.get(node.op)
        if reduction is not None and reduction.extent == Extent.TENSOR:
            root = substitute(builder, [node], replaced)[0]
            if any(_is_per_row(n) for n in toposort([root])):
                # Blocks of a reduction cut across rows: what is per row is spread over the elements first.
                stages.append(_stage(signature, root.inputs, slots, DENSE))
                value = Type(_type(root.inputs[0]).dtype, Extent.ELEMENT)
                root = builder.remake(root, (_load_stage(len(stages), value, "spread"),))
            stages.append(_stage(signature, (root,), slots, REDUCE))
            replaced[id(node)] = _load_stage(len(stages), _type(node), node.op)
    final = tuple(substitute(builder, roots, replaced))
    if len(final) == 1 and final[0].op == "load" and stages and final[0].attrs["index"] == -len(stages):
        return tuple(stages)  # the result is the reduction itself
    stages.append(_stage(signature, final, slots, signature.mode, signature.outputs))
    return tuple(stages)


def _load_stage(count: int, type_: Type, name: str) -> Node:
    """The result of stage number `count`, from 1, as a param of later ones: negative indices until renumbered."""
    return Node("load", (), {"index": -count, "name": name}, "", None, type_)


def _is_per_row(node: Node) -> bool:
    return node.op in NEED_ROWS or (node.op == "load" and _type(node).extent == Extent.ROW)


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
            kept = builder.leaf("load", param.dtype, signature.inputs[index][2], index=index, name=old)
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
    params = [Param(*both[i]) for i in sorted(used)]
    params += [Param(loads[i].attrs["name"], *_type(loads[i])) for i in earlier]
    body = Body(
        op=signature.op.name,
        params=tuple(params),
        scalars=tuple(dict.fromkeys(n.attrs["name"] for n in order if n.op == "scalar")),
        outputs=outputs or _made(roots[0], mode),
        roots=tuple(_renumber(roots, position)),
        mode=mode,
        sparse=position.get(signature.sparse, -1) if mode in (LISTED, STANDARD) else -1,
        carries=tuple(position[i] for i in carried),
    )
    wiring = [(False, slots[i]) for i in sorted(used)] + [(True, -i - 1) for i in earlier]
    return Stage(body, tuple(wiring))


def _made(root: Node, mode: str) -> tuple[Param, ...]:
    """What a stage before the last one makes: a number per tensor, or a whole array."""
    return (Param("output", _type(root).dtype, Extent.TENSOR if mode == REDUCE else Extent.ELEMENT),)


def _type(node: Node) -> Type:
    assert node.type is not None
    return node.type


def _renumber(roots: tuple[Node, ...], position: dict[int, int]) -> list[Node]:
    builder = Builder("float32")
    replaced: dict[int, Node] = {}
    for node in toposort(roots):
        if node.op == "load":
            attrs = {**node.attrs, "index": position[node.attrs["index"]]}
            replaced[id(node)] = builder.leaf("load", *_type(node), node.where, **attrs)
    return substitute(builder, roots, replaced)


def substitute(builder: Builder, roots: Any, replaced: dict[int, Node]) -> list[Node]:
    """The roots again with some nodes replaced; `replaced` (by id) gains every node that was made anew."""
    for node in toposort(roots, lambda n: () if id(n) in replaced else n.inputs):
        if id(node) not in replaced:
            replaced[id(node)] = builder.remake(node, tuple(replaced[id(x)] for x in node.inputs))
    return [replaced[id(root)] for root in roots]

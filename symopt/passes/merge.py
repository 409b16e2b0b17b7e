"""Regions to kernels: one merged, simplified formula for each distinct region, shared by all regions like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..build import Builder, is_number, kernel_inputs
from ..dtypes import COMPUTE, component
from ..expr import Extent, Node, toposort
from ..hostmath import constant_value
from ..prims import CAST, PAIR
from .ir import (
    LIBRARY,
    LISTED,
    REDUCE,
    STANDARD,
    Body,
    Buffer,
    Call,
    Instance,
    Kernel,
    Param,
    Region,
    Source,
    Value,
)
from .partition import needs_rows
from .schedule import Schedule
from .simplify import simplify

Key = tuple[object, ...]
_KERNELS: dict[Key, Kernel] = {}


class _Wiring:
    """How the calls of a region hang together, in numbers only: equal regions have equal wiring."""

    def __init__(self, region: Region, plan: Schedule) -> None:
        self.values: list[Value] = []  # one for each buffer
        self.buffers: list[Buffer] = []
        self.inputs: list[
            tuple[tuple[int, int], ...]
        ] = []  # per call: (-1, buffer) or (earlier call, its output)
        self.stores: list[tuple[int, int, int]] = []  # (call, output, buffer)
        self.sparse = -1
        made: dict[int, tuple[int, int]] = {}
        place: dict[tuple[int, Extent], int] = {}
        for c, call in enumerate(region.calls):
            self.inputs.append(tuple(self._input(call, k, made, place) for k in range(len(call.inputs))))
            if call.body.sparse >= 0:
                self.sparse = self.inputs[-1][call.body.sparse][1]
            for k, value in enumerate(call.outputs):
                made[id(value)] = (c, k)
        for c, call in enumerate(region.calls):
            for k, value in enumerate(call.outputs):
                if id(value) in plan.needed or (value.base is not None and id(value.base[0]) in plan.needed):
                    self._store(call, c, k, value, plan, place)

    def _input(
        self, call: Call, k: int, made: dict[int, tuple[int, int]], place: dict[tuple[int, Extent], int]
    ) -> tuple[int, int]:
        value, param = call.inputs[k], call.body.params[k]
        if id(value) in made:
            return made[id(value)]
        key = (id(value), param.extent)
        if key not in place:
            place[key] = self._add(param, param.name, value, read=True)
        return (-1, place[key])

    def _store(
        self, call: Call, c: int, k: int, value: Value, plan: Schedule, place: dict[tuple[int, Extent], int]
    ) -> None:
        param = call.body.outputs[k]
        variable = plan.in_place.get(id(value))
        if variable is not None:
            for (_, extent), index in place.items():
                if self.values[index].variable == variable and extent == param.extent:
                    self.buffers[index] = self.buffers[index]._replace(write=True)
                    self.stores.append((c, k, index))
                    return
        name = param.name if param.name != "output" else "out"
        self.stores.append((c, k, self._add(param, name, value, write=True)))

    def _add(self, param: Param, name: str, value: Value, *, read: bool = False, write: bool = False) -> int:
        taken = {b.name for b in self.buffers}
        unique, n = name, 1
        while unique in taken:
            n += 1
            unique = f"{name}{n}"
        self.buffers.append(Buffer(unique, value.dtype, param.extent, read, write, param.grid))
        self.values.append(value)
        return len(self.buffers) - 1

    def key(self, region: Region) -> Key:
        return (
            region.mode,
            tuple(id(call.body) for call in region.calls),
            tuple(self.inputs),
            tuple(self.stores),
            tuple(self.buffers),
        )


def merge(region: Region, plan: Schedule) -> tuple[Kernel, Instance]:
    """The kernel of a region, and the values and numbers this region runs it on."""
    wiring = _Wiring(region, plan)
    key = wiring.key(region)
    kernel = _KERNELS.get(key)
    if kernel is None:
        kernel = _KERNELS[key] = _make(region, wiring)
    leaves: list[Source] = []
    for c, name in kernel.leaves:
        call = region.calls[c]
        leaves.append(call.scalars[call.body.scalars.index(name)])
    return kernel, Instance(region.domain, tuple(wiring.values), tuple(leaves), region)


def _make(region: Region, wiring: _Wiring) -> Kernel:
    builder = Builder("float32")
    results: list[list[Node]] = []
    for c, call in enumerate(region.calls):
        results.append(_inline(builder, call.body, c, wiring, results))
    targets = [buffer for _, _, buffer in wiring.stores]
    roots = [results[c][k] for c, k, _ in wiring.stores]
    present, widened, absent = _variants(builder, roots, wiring, region.mode)
    stores = tuple(zip(present, targets, strict=True))
    every = [*present, *widened, *absent]
    order = toposort(every, kernel_inputs)
    used = {n.attrs["index"] for n in order if n.op == "load"} | set(targets) | {wiring.sparse}
    buffers = tuple(b._replace(read=b.read and i in used) for i, b in enumerate(wiring.buffers))
    scalars = _scalars(order, every)
    names = dict.fromkeys(n.attrs["name"] for n in toposort(scalars) if n.op == "scalar")
    ops = list(dict.fromkeys(call.body.op.strip("_") for call in region.calls))
    if region.mode == LIBRARY:
        ops.append(roots[0].op)
    return Kernel(
        name="_".join(ops[:4]) + (f"_and_{len(ops) - 4}_more" if len(ops) > 4 else ""),
        mode=region.mode,
        rows=region.mode != REDUCE and any(needs_rows(call.body) for call in region.calls),
        buffers=buffers,
        stores=stores,
        scalars=scalars,
        leaves=tuple(names),
        sparse=wiring.sparse,
        widened=tuple(zip(widened, targets, strict=False)),
        absent=tuple(zip(absent, targets, strict=False)),
    )


def _variants(
    builder: Builder, roots: list[Node], wiring: _Wiring, mode: str
) -> tuple[list[Node], list[Node], list[Node]]:
    """The formula for a row with gradient, for one whose gradient was summed up first, and for one without."""
    if mode not in (LISTED, STANDARD):
        return roots, [], []
    buffer = wiring.buffers[wiring.sparse]
    load = builder.load(buffer.dtype, buffer.extent, index=wiring.sparse, name=buffer.name)
    stored = load.inputs if load.op == PAIR else (load,)
    summed = [_summed(builder, wiring, x.attrs) for x in stored]
    pairs = list(zip(summed, stored, strict=True))
    widened = simplify(builder, _choose(builder, roots, touched=True))
    present = simplify(builder, widened, {id(s): builder.cast(x, dtype_of(s)) for s, x in pairs})
    if mode == LISTED:
        return present, widened, []
    zeros = {id(s): builder.cast(builder.const(0), dtype_of(s)) for s in summed}
    absent = _choose(builder, roots, touched=False)
    return present, widened, simplify(builder, absent, zeros)


def _summed(builder: Builder, wiring: _Wiring, attrs: Mapping[str, Any]) -> Node:
    """The sparse gradient as formulas read it: a sum of rows in the dtype of the computation, not rounded. `attrs`: of
    the load that is replaced; they say which part of a complex number it is."""
    name, dtype, extent, *_ = wiring.buffers[wiring.sparse]
    attrs = {**attrs, "index": wiring.sparse, "name": name}
    return builder.leaf("load", component(COMPUTE[dtype]), extent, **attrs)


def _choose(builder: Builder, roots: list[Node], touched: bool) -> list[Node]:
    done: dict[int, Node] = {}
    for node in toposort(roots):
        if node.op == "where" and node.inputs[0].op == "touched":
            done[id(node)] = done[id(node.inputs[1 if touched else 2])]
        else:
            done[id(node)] = builder.remake(node, tuple(done[id(x)] for x in node.inputs))
    return [done[id(root)] for root in roots]


def dtype_of(node: Node) -> str:
    assert node.type is not None
    return node.type.dtype


def _inline(builder: Builder, body: Body, c: int, wiring: _Wiring, results: list[list[Node]]) -> list[Node]:
    """A body's roots with its params and scalars replaced by the kernel's."""
    replaced: dict[int, Node] = {}
    wide: set[int] = set()  # loads of the sparse gradient
    for node in toposort(body.roots):
        if node.op == "load":
            producer, index = wiring.inputs[c][node.attrs["index"]]
            if producer >= 0:
                made = results[producer][index]
                replaced[id(node)] = made.inputs[node.attrs["part"]] if made.op == PAIR else made
            elif index == wiring.sparse:
                # The sum itself where the formula widens it; what is moved in 16 bits is rounded first.
                summed = _summed(builder, wiring, node.attrs)
                replaced[id(node)] = builder.cast(summed, component(wiring.buffers[index].dtype))
                wide.add(id(node))
            else:
                buffer = wiring.buffers[index]
                attrs = {**node.attrs, "index": index, "name": buffer.name}
                replaced[id(node)] = builder.leaf("load", component(buffer.dtype), buffer.extent, **attrs)
        elif (
            node.op == CAST
            and id(node.inputs[0]) in wide
            and dtype_of(node) == COMPUTE[dtype_of(node.inputs[0])]
        ):
            replaced[id(node)] = _summed(builder, wiring, node.inputs[0].attrs)
        elif node.op == "scalar":
            assert node.type is not None
            replaced[id(node)] = builder.leaf("scalar", *node.type, node.where, name=(c, node.attrs["name"]))
    return simplify(builder, list(body.roots), replaced)


def _scalars(order: list[Node], roots: list[Node]) -> tuple[Node, ...]:
    """Numbers of the host that the kernel takes: host nodes that a node of the device reads, or that are stored."""
    found: dict[int, Node] = {}
    for node in order:
        for x in node.inputs:
            if is_number(x) and not is_number(node):
                found[id(x)] = x
    for root in roots:
        if is_number(root):
            found[id(root)] = root
    return tuple(x for x in found.values() if constant_value(x) is None)

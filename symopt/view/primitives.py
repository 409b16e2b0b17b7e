"""The formulas as primitives: what the calls of every launch compute, and the numbers of the host."""

from __future__ import annotations

from collections.abc import Hashable

from ..build import is_number
from ..expr import Extent, Node, toposort
from ..grids import shape_on
from ..listing import output_name
from ..passes.ir import Attribute, Call, HostCall, Instance, Source, Value
from ..planned import Planned
from ..prims import CAST
from .gather import Gathering
from .model import Item, Kind, Link
from .symbols import bytes_of, variable_kinds

ALIASES = ("load", "scalar")  # leaves that stand for something shown elsewhere


def primitive_items(planned: Planned, each: bool) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
    """Variables, then what the host computes, then the primitives launch by launch."""
    return _Primitives(planned, each).run()


class _Primitives:
    def __init__(self, planned: Planned, each: bool) -> None:
        self.planned = planned
        self.program = planned.needed()
        self.each = each
        self.kinds = variable_kinds(planned)
        self.found = Gathering()
        self.made: dict[int, int] = {}  # by id of a value: the item that makes it
        self.roles: dict[Hashable, int] = {}  # by role of an array in a launch: its item
        lowered = self.program.lowered
        self.stored = dict(zip(map(id, lowered.heads), map(output_name, planned.roots), strict=True))
        self.stored.update({id(v): name for name, v in lowered.writes.items()})

    def run(self) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
        for call in self.program.lowered.host_calls:
            self._host_call(call)
        for k, launch in enumerate(self.program.launches):
            for i, instance in enumerate(launch.instances):
                if self.each or i == 0:
                    self._instance(k, instance, 1 if self.each else len(launch.instances))
                else:
                    self._like(k, instance)
        return self.found.done()

    # ---- values that formulas read

    def _value(self, value: Value, count: int = 1) -> int:
        """The item that an array or number of the host comes from."""
        for v in (value, *value.parts, value.whole):
            if id(v) in self.made:
                return self.made[id(v)]
        whole = value.whole
        kind: Kind = self.kinds.get(whole.variable or "", "array")
        listed = self.planned.listed.get(whole.variable or "") if whole.sparse else None
        item = Item(
            kind,
            "null",
            whole.name,
            whole.shape,
            whole.dtype,
            "row_sparse" if whole.sparse else "default",
            None if whole.host else bytes_of(whole.shape, whole.dtype, listed),
            count=count,
        )
        number = self.made[id(whole)] = self.found.add(id(whole), item)
        return number

    def _source(self, source: Source, name: str, key: Hashable, group: str) -> int:
        """The item that a number comes from."""
        if isinstance(source, Value):
            return self._value(source)
        value = source.number(source.default) if isinstance(source, Attribute) else source
        attrs = {"value": f"{value:g}"}
        return self.found.add(
            key, Item("number", "number", name, (), "float64", "default", group=group, attrs=attrs)
        )

    # ---- calls

    def _host_call(self, call: HostCall) -> None:
        numbers: dict[int, int] = {}
        for node in toposort([call.root]):
            if node.op == "scalar":
                name = str(node.attrs["name"])
                key = (id(call), name)
                numbers[id(node)] = self._source(call.leaves[name], name, key, call.node.name)
            else:
                numbers[id(node)] = self._add(node, (id(call), id(node)), (), call.node.name, (), 1, numbers)
        self.made[id(call.output)] = numbers[id(call.root)]

    def _instance(self, k: int, instance: Instance, count: int) -> None:
        for c, call in enumerate(instance.region.calls):
            numbers: dict[int, int] = {}
            for node in toposort(call.body.roots):
                numbers[id(node)] = self._node(node, k, c, call, count, numbers)
            for j, (value, root) in enumerate(zip(call.outputs, call.body.roots, strict=True)):
                number = self.made[id(value)] = numbers[id(root)]
                self.roles.setdefault((k, c, j), number)
                if id(value) in self.stored and root.op not in ALIASES:
                    self.found.mark(number, stored=self.stored[id(value)])

    def _node(self, node: Node, k: int, c: int, call: Call, count: int, numbers: dict[int, int]) -> int:
        if node.op == "load":
            index = node.attrs["index"]
            number = self._value(call.inputs[index], count)
            if call.inputs[index].variable is not None:
                self.roles.setdefault((k, c, "reads", index), number)
            return number
        key = (k, c, id(call) if self.each else 0, id(node))
        if node.op == "scalar":
            name = str(node.attrs["name"])
            source = call.scalars[call.body.scalars.index(name)]
            return self._source(source, name, key, call.node.name)
        if node.op == CAST and is_number(node):
            return numbers[id(node.inputs[0])]  # a number, rounded once on its way to the kernel
        shape = _shape(node, call)
        return self._add(node, key, shape, call.node.name, (k,), count, numbers)

    def _like(self, k: int, instance: Instance) -> None:
        """Another instance of a launch: its arrays are those of the first one that play the same part."""
        for c, call in enumerate(instance.region.calls):
            for index, value in enumerate(call.inputs):
                role = self.roles.get((k, c, "reads", index))
                if role is not None and value.variable is not None:
                    self.made.setdefault(id(value), role)
            for j, value in enumerate(call.outputs):
                self.made[id(value)] = self.roles[k, c, j]

    def _add(
        self,
        node: Node,
        key: Hashable,
        shape: tuple[int, ...],
        group: str,
        kernels: tuple[int, ...],
        count: int,
        numbers: dict[int, int],
    ) -> int:
        assert node.type is not None
        is_constant = node.op == "const"
        item = Item(
            "number" if is_constant else "primitive",
            node.op,
            f"{node.attrs['value']:g}" if is_constant else node.op,
            shape,
            node.type.dtype,
            "default",
            None,
            kernels,
            group,
            attrs={"per": node.type.extent.name.lower()},
            where=node.where,
            count=count,
        )
        number = self.found.add(key, item)
        for port, x in enumerate(node.inputs):
            self.found.link(numbers[id(x)], number, port)
        return number


def _shape(node: Node, call: Call) -> tuple[int, ...]:
    """The shape of what a primitive makes in a call."""
    assert node.type is not None
    extent, domain = node.type.extent, call.domain
    if extent <= Extent.TENSOR:
        return ()
    if node.type.grid != "rc" and len(domain) > 1:
        return shape_on(node.type.grid, domain)
    return domain[:1] if extent == Extent.ROW else domain

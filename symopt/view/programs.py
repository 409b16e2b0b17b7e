"""The program: launches of kernels, and every value that an array holds in the course of the step."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from ..passes.ir import Instance, Launch, Value
from ..planned import Planned
from .gather import Gathering
from .kernels import over
from .model import Item, Kind, Link
from .symbols import bytes_of, variable_kinds


def program_items(planned: Planned, each: bool) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
    """Arrays before the step, then every launch with what it stores, then copies made at the end."""
    return _Program(planned, each).run()


class _Program:
    def __init__(self, planned: Planned, each: bool) -> None:
        self.planned = planned
        self.program = planned.needed()
        self.kinds = variable_kinds(planned)
        self.found = Gathering()
        self.classes = {} if each else _classes(self.program.launches, self.program.storage)
        self.stored_by: dict[Hashable, int] = {}
        self.counts: dict[Hashable, int] = {}
        for key in self.classes.values():
            self.counts[key] = self.counts.get(key, 0) + 1

    def run(self) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
        values = self.program.lowered.variables.values()
        for value in values:
            if not value.host:
                self._array(value)
        for k, launch in enumerate(self.program.launches):
            self._launch(k, launch)
        for value, variable in self.program.copies:
            item = Item("array", "copy", variable, value.shape, value.dtype, "default", _bytes(value))
            self.found.link(self._array(value), self.found.add(("copy", variable), item))
        return self.found.done()

    def _launch(self, k: int, launch: Launch) -> None:
        kernel = launch.kernel
        number = self.found.add(
            ("launch", k),
            Item(
                "kernel",
                kernel.mode,
                kernel.name,
                kernels=(k,),
                attrs={"over": over(kernel)},
                count=len(launch.instances),
            ),
        )
        ports: dict[int, int] = {}
        for instance in launch.instances:
            for value in reads_of(instance):
                source = self._array(value)
                self.found.link(source, number, ports.setdefault(source, len(ports)))
        outputs: dict[int, int] = {}
        for instance in launch.instances:
            for value in stores_of(instance, self.program.storage):
                target = self._stored(value, k, number, ports)
                self.found.link(number, target, 0, outputs.setdefault(target, len(outputs)))

    def _stored(self, value: Value, k: int, number: int, ports: dict[int, int]) -> int:
        """The item of what launch k stores. A value that is there already was copied for this launch to write into: it
        is read here, and another one from now on."""
        key = self.classes.get(id(value), id(value))
        if self.stored_by.setdefault(key, k) != k:
            old = self.found.numbers.pop(key)
            self.found.link(old, number, ports.setdefault(old, len(ports)))
            self.stored_by[key] = k
        return self._array(value, k)

    def _array(self, value: Value, kernel: int = -1) -> int:
        value = value.whole
        key = self.classes.get(id(value), id(value))
        if key in self.found.numbers:
            return self.found.numbers[key]
        listed = self.planned.listed.get(value.variable or "") if value.sparse else None
        kind: Kind = self.kinds[value.variable] if value.variable is not None else "array"
        item = Item(
            kind,
            "null" if value.variable is not None else "array",
            value.name,
            value.shape,
            value.dtype,
            "row_sparse" if value.sparse else "default",
            bytes_of(value.shape, value.dtype, listed),
            (kernel,) if kernel >= 0 else (),
            attrs=self._place(value),
            count=self.counts.get(key, 1),
        )
        return self.found.add(key, item)

    def _place(self, value: Value) -> dict[str, str]:
        """Where a value made by the step is kept."""
        key = self.program.storage.get(id(value))
        if value.variable is not None or key is None:
            return {}
        return {"kept in": f"buffer {key}" if isinstance(key, int) else f"variable {key}"}


def reads_of(instance: Instance) -> Iterable[Value]:
    """The arrays that an instance of a kernel reads, each once, in the order its calls name them."""
    made = {id(v) for call in instance.region.calls for v in call.outputs}
    read = (v.whole for call in instance.region.calls for v in call.inputs if id(v) not in made)
    return dict.fromkeys(v for v in read if not v.host)


def stores_of(instance: Instance, storage: Mapping[int, str | int]) -> Iterable[Value]:
    """The arrays that an instance stores: of the values that it makes, those which have a place."""
    made = (v.whole for call in instance.region.calls for v in call.outputs)
    return dict.fromkeys(v for v in made if id(v) in storage)


def _classes(launches: Iterable[Launch], storage: Mapping[int, str | int]) -> dict[int, Hashable]:
    """Values by id to what they have in common with others: dtype, who makes them and who reads them, as what."""
    uses: dict[int, set[Hashable]] = {}
    values: dict[int, Value] = {}
    for k, launch in enumerate(launches):
        for instance in launch.instances:
            for n, value in enumerate(reads_of(instance)):
                uses.setdefault(id(value), set()).add((k, "read", n))
                values[id(value)] = value
            for n, value in enumerate(stores_of(instance, storage)):
                uses.setdefault(id(value), set()).add((k, "stored", n))
                values[id(value)] = value
    return {
        key: (values[key].dtype, values[key].sparse, values[key].variable is None, frozenset(found))
        for key, found in uses.items()
    }


def _bytes(value: Value) -> int | None:
    return bytes_of(value.shape, value.dtype)

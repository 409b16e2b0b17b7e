"""What an engine runs on: the arrays of a step and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..build import Builder
from ..dtypes import ITEMSIZE
from ..expr import Extent, Node, toposort
from ..hostmath import HostProgram
from ..passes.ir import Attribute, HostCall, Launch, Program, Source, Value
from ..passes.simplify import simplify
from ..sparse import RowSparseArray

if TYPE_CHECKING:
    from .watched import Found

Array = npt.NDArray[Any]
Key = str | int  # of a storage: the name of a variable, or the number of an executor's own buffer


@dataclass(eq=False)
class Memory:
    """The arrays behind a program's storage: variables by name, the executor's own buffers by number.

    `sparse`: row_sparse variables. `numbers`: variables of the host. `overrides`: attributes changed since the graph
    was built, by (id of node, name); `changes` counts how often that happened.
    """

    arrays: dict[str | int, Array] = field(default_factory=dict)
    sparse: dict[str, RowSparseArray] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    overrides: dict[tuple[int, str], float] = field(default_factory=dict)
    changes: int = 0


class Numbers:
    """The numbers of one step: host variables, attributes, and what host ops make of them."""

    def __init__(self, program: Program, memory: Memory) -> None:
        self.memory = memory
        self.program = program
        lowered = program.lowered
        self.variables = [(id(v), name) for name, v in lowered.variables.items() if v.host]
        self.outputs = [id(call.output) for call in lowered.host_calls]
        self.run, self.sources = _join(lowered.host_calls)
        self.values: dict[int, float] = {}
        self._made = [(k, id(x)) for k, x in enumerate(self.sources) if isinstance(x, Value)]
        self._leaves: dict[int, float] = {}
        self._attributes_at = -1

    def evaluate(self) -> None:
        """Compute every host value; nothing is stored in variables yet."""
        numbers = self.memory.numbers
        values = self.values = {key: numbers[name] for key, name in self.variables}
        if self.outputs:
            if self._attributes_at != self.memory.changes:
                self._attributes_at = self.memory.changes
                fixed = ((k, x) for k, x in enumerate(self.sources) if not isinstance(x, Value))
                self._leaves = {k: self.number(source) for k, source in fixed}
            for k, key in self._made:
                self._leaves[k] = values[key]
            values.update(zip(self.outputs, self.run(self._leaves), strict=True))

    def number(self, source: Source) -> float:
        """The number behind a scalar of a formula."""
        if isinstance(source, Value):
            return self.values[id(source)]
        if isinstance(source, Attribute):
            return source.number(self.memory.overrides.get((id(source.node), source.name), source.default))
        return source

    def commit(self) -> None:
        """Store what the step made of host variables."""
        lowered = self.program.lowered
        for name, value in lowered.writes.items():
            if value.host:
                self.memory.numbers[name] = self.values[id(value)]


class Location(NamedTuple):
    """Where a launch has the address of an array: of which tensor, which buffer, how far into the array it points."""

    tensor: int
    buffer: int
    offset: int  # bytes


def locations(launch: Launch, program: Program) -> Iterator[tuple[str | int, Location]]:
    """The storage of every array that a launch points at. Sparse gradients have none: they are read at each step."""
    for t, instance in enumerate(launch.instances):
        for b, value in enumerate(instance.values):
            if b != launch.kernel.sparse:
                whole, index = value.base if value.base else (value, 0)
                yield program.storage[id(whole)], Location(t, b, index * ITEMSIZE[value.dtype])


class Pointing(Protocol):
    """A launch whose tables hold addresses."""

    launch: Launch

    def point(self, tensor: int | Array, buffer: int, address: int | Array) -> None:
        """Let a buffer of a tensor, or of several, be the array at `address`."""


class _Column(NamedTuple):
    """Addresses that lie below each other in the table of a launch."""

    launch: Pointing
    tensors: Array
    buffer: int
    which: Array  # of the arrays replaced is that of each tensor
    offsets: Array


class Pointers:
    """Which tables hold the address of which array: looked up when an array is first replaced."""

    FEW = 4  # arrays that are pointed to one by one

    def __init__(self, launches: Sequence[Pointing], program: Program, but: Collection[Key] = ()) -> None:
        self._launches = launches
        self._program = program
        self._but = but
        self._found: dict[Key, list[tuple[Pointing, Location]]] = {}
        self._keys: tuple[Key, ...] = ()  # that the columns are for: often the same, step after step
        self._columns: list[_Column] = []

    def redirect(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """Point to where the arrays of these storages lie now. Those of `but` are left alone."""
        if not self._found:
            for launch in self._launches:
                for key, location in locations(launch.launch, self._program):
                    if key not in self._but:
                        self._found.setdefault(key, []).append((launch, location))
        if len(keys) <= self.FEW:
            for key, address in zip(keys, addresses.tolist(), strict=True):
                for launch, at in self._found.get(key, ()):
                    launch.point(at.tensor, at.buffer, address + at.offset)
            return
        if keys != self._keys:
            self._keys, self._columns = keys, self._columns_of(keys)
        for column in self._columns:
            column.launch.point(column.tensors, column.buffer, addresses[column.which] + column.offsets)

    def _columns_of(self, keys: tuple[Key, ...]) -> list[_Column]:
        found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        launches: dict[int, Pointing] = {}
        for k, key in enumerate(keys):
            for launch, at in self._found.get(key, ()):
                launches[id(launch)] = launch
                found.setdefault((id(launch), at.buffer), []).append((at.tensor, k, at.offset))
        columns = []
        for (number, buffer), rows in found.items():
            tensors, which, offsets = np.array(list(zip(*rows, strict=True)), np.int64)
            columns.append(_Column(launches[number], tensors, buffer, which, offsets))
        return columns


Monitor = Callable[[str, Array], None]


class Engine(Protocol):
    """Runs a program on a memory. `stale`: whether some number changed since the last step. `found`: what a guard found
    in the last step, or in earlier ones that it learned of now; so many steps were `left_out` for it."""

    stale: bool
    numbers: Numbers
    found: list[Found]
    left_out: int

    def prepare(self) -> None:
        """Check what can go wrong; nothing has been written when this raises."""

    def run(self) -> None:
        """One step."""

    def synchronize(self) -> None:
        """Wait until every step is done; raise what one of them ran into."""

    def rebound(self, keys: tuple[Key, ...], addresses: Array) -> None:
        """The arrays of these storages were replaced by others, which lie at these addresses."""


def _join(calls: list[HostCall]) -> tuple[HostProgram, list[Source]]:
    """All host calls as one program; its leaves are numbered, and this is where each comes from."""
    builder = Builder("float64")
    made: dict[int, Node] = {}
    sources: list[Source] = []
    for call in calls:
        replaced: dict[int, Node] = {}
        for node in toposort([call.root]):
            if node.op == "scalar":
                source = call.leaves[node.attrs["name"]]
                if id(source) not in made:
                    made[id(source)] = builder.leaf("scalar", "float64", Extent.HOST, name=len(sources))
                    sources.append(source)
                replaced[id(node)] = made[id(source)]
        made[id(call.output)] = simplify(builder, [call.root], replaced)[0]
    return HostProgram([made[id(call.output)] for call in calls]), sources


def rounded(number: float, dtype: str) -> Any:
    """A host number as a kernel gets it: rounded once."""
    with np.errstate(over="ignore"):
        return np.float32(number) if dtype == "float32" else np.float64(number)

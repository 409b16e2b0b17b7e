"""What an engine runs on: the arrays of a step and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    def evaluate(self) -> None:
        """Compute every host value; nothing is stored in variables yet."""
        numbers = self.memory.numbers
        values = self.values = {key: numbers[name] for key, name in self.variables}
        if self.outputs:
            results = self.run({k: self.number(source) for k, source in enumerate(self.sources)})
            values.update(zip(self.outputs, results, strict=True))

    def number(self, source: Source) -> float:
        """The number behind a scalar of a formula."""
        if isinstance(source, Attribute):
            return source.number(self.memory.overrides.get((id(source.node), source.name), source.default))
        if isinstance(source, Value):
            return self.values[id(source)]
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

    def point(self, tensor: int, buffer: int, address: int) -> None:
        """Let a buffer of a tensor be the array at `address`."""


class Pointers:
    """Which tables hold the address of which array: looked up when an array is first replaced."""

    def __init__(self, launches: Sequence[Pointing], program: Program) -> None:
        self._launches = launches
        self._program = program
        self._found: dict[str | int, list[tuple[Pointing, Location]]] = {}

    def redirect(self, addresses: Mapping[str | int, int]) -> None:
        """Point to where the arrays of these storages lie now."""
        if not self._found:
            for launch in self._launches:
                for key, location in locations(launch.launch, self._program):
                    self._found.setdefault(key, []).append((launch, location))
        for key, address in addresses.items():
            for launch, location in self._found.get(key, ()):
                launch.point(location.tensor, location.buffer, address + location.offset)


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

    def rebound(self, keys: set[str | int]) -> None:
        """The arrays of these storages were replaced."""


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

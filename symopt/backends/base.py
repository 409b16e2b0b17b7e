"""What an engine runs on: the arrays of a step and its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..hostmath import Column, HostProgram
from ..passes.ir import Attribute, Program, Source, Value
from ..sparse import RowSparseArray

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
        self.compiled = [(HostProgram([c.root]), c) for c in program.lowered.host_calls]
        self.values: dict[int, float] = {}

    def evaluate(self) -> None:
        """Compute every host value; nothing is stored in variables yet."""
        lowered = self.program.lowered
        self.values = {id(v): self.memory.numbers[name] for name, v in lowered.variables.items() if v.host}
        for run, call in self.compiled:
            leaves: dict[Any, Column] = {name: self.number(source) for name, source in call.leaves.items()}
            self.values[id(call.output)] = float(run(leaves)[0])

    def number(self, source: Source) -> float:
        """The number behind a scalar of a formula."""
        if isinstance(source, Attribute):
            return self.memory.overrides.get((id(source.node), source.name), source.default)
        if isinstance(source, Value):
            return self.values[id(source)]
        return source

    def commit(self) -> None:
        """Store what the step made of host variables."""
        lowered = self.program.lowered
        for name, value in lowered.writes.items():
            if value.host:
                self.memory.numbers[name] = self.values[id(value)]


class Engine(Protocol):
    """Runs a program on a memory."""

    def prepare(self) -> None:
        """Check what can go wrong; nothing has been written when this raises."""

    def run(self) -> None:
        """One step."""

    def rebound(self, keys: set[str | int]) -> None:
        """The arrays of these storages were replaced."""


def rounded(number: float, dtype: str) -> Any:
    """A host number as a kernel gets it: rounded once."""
    with np.errstate(over="ignore"):
        return np.float32(number) if dtype == "float32" else np.float64(number)
